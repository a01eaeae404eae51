// Opens the load generator's connections: which endpoints they go to, and coming back when one breaks.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { StatusRequestSchema, StatusResponseSchema } from "../src/gen/etcdserverpb/rpc_pb.js";
import { type Channel, RpcError, Status } from "../src/rpc/call.js";
import type { Clock } from "./schedule.js";

/** "host:port". */
export type Endpoint = string;

/** All endpoints in turn, the leader only, or the one with this number, counted from 1. */
export type Target = "all" | "leader" | number;

export type OpenChannel = (endpoint: Endpoint) => Channel;

const reconnectPauseMs = 100;
const connectTimeoutMs = 5000;

/** Reads "host:port" or "http://host:port" and commas between. Throws RangeError for anything else. */
export function parseEndpoints(list: string): Endpoint[] {
  return list.split(",").map((text) => {
    const match = /^(?:http:\/\/)?((?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):(\d{1,5}))\/?$/.exec(text.trim());
    if (match === null || Number(match[2]) > 65535) throw new RangeError(`"${text}" is not host:port`);
    return match[1]!;
  });
}

export interface MemberStatus {
  readonly memberId: bigint;
  readonly leaderId: bigint;
  readonly version: string;
  readonly dbBytes: bigint;
}

/** Maintenance.Status of the member behind the channel. */
export function memberStatus(channel: Channel, timeoutMs = connectTimeoutMs): Promise<MemberStatus> {
  return new Promise((resolve, reject) => {
    const request = toBinary(StatusRequestSchema, create(StatusRequestSchema));
    channel.unary("/etcdserverpb.Maintenance/Status", request, { timeoutMs }, (end, message) => {
      if (end.code !== Status.OK || message === undefined) return reject(new RpcError(end.code, end.message));
      try {
        const { header, leader, version, dbSize } = fromBinary(StatusResponseSchema, message);
        resolve({ memberId: header?.memberId ?? 0n, leaderId: leader, version, dbBytes: dbSize });
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** Connects; rejects after five seconds even when the connection neither comes up nor fails. */
export async function connected(open: OpenChannel, endpoint: Endpoint, clock: Clock): Promise<Channel> {
  const channel = open(endpoint);
  let cancel = (): void => {};
  const late = new Promise<never>((_, reject) => {
    const message = `${endpoint} did not answer within ${connectTimeoutMs} ms`;
    cancel = clock.wake(clock.now() + connectTimeoutMs, () =>
      reject(new RpcError(Status.UNAVAILABLE, message)),
    );
  });
  try {
    await Promise.race([channel.connect(), late]);
    return channel;
  } catch (error) {
    channel.close();
    throw error;
  } finally {
    cancel();
  }
}

/** The endpoint of the member that says it is the leader. Rejects when none does. */
export async function findLeader(
  open: OpenChannel,
  endpoints: readonly Endpoint[],
  clock: Clock,
): Promise<Endpoint> {
  const problems: string[] = [];
  for (const endpoint of endpoints) {
    try {
      const channel = await connected(open, endpoint, clock);
      const status = await memberStatus(channel).finally(() => channel.close());
      if (status.leaderId !== 0n && status.leaderId === status.memberId) return endpoint;
    } catch (error) {
      problems.push(`${endpoint}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(["no endpoint is the leader", ...problems].join("; "));
}

export async function chooseEndpoints(
  open: OpenChannel,
  endpoints: readonly Endpoint[],
  target: Target,
  clock: Clock,
): Promise<readonly Endpoint[]> {
  if (target === "all") return endpoints;
  if (target === "leader") return [await findLeader(open, endpoints, clock)];
  const chosen = endpoints[target - 1];
  if (chosen === undefined) throw new RangeError(`endpoint ${target} of ${endpoints.length}`);
  return [chosen];
}

/** A set of open connections, spread evenly over endpoints; each reconnects until the set is closed. */
export class ConnectionSet {
  private closed = false;
  private readonly cancels = new Map<Channel, () => void>();

  private constructor(
    readonly channels: readonly Channel[],
    private readonly clock: Clock,
  ) {
    for (const channel of channels) channel.onClose(() => this.reconnectLater(channel));
  }

  /** Opens `count` connections; when one fails, closes the others and rejects with its reason. */
  static async open(
    open: OpenChannel,
    endpoints: readonly Endpoint[],
    count: number,
    clock: Clock,
  ): Promise<ConnectionSet> {
    const opening = Array.from({ length: count }, (_, at) =>
      connected(open, endpoints[at % endpoints.length]!, clock),
    );
    const results = await Promise.allSettled(opening);
    const channels = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return new ConnectionSet(channels, clock);
    for (const channel of channels) channel.close();
    throw failed.reason;
  }

  private reconnectLater(channel: Channel): void {
    if (this.closed || this.cancels.has(channel)) return;
    const reconnect = (): void => {
      this.cancels.delete(channel);
      // The calls it affects have been told of the failure; here it only means to try again.
      channel.connect().catch(() => this.reconnectLater(channel));
    };
    this.cancels.set(channel, this.clock.wake(this.clock.now() + reconnectPauseMs, reconnect));
  }

  close(): void {
    this.closed = true;
    for (const cancel of this.cancels.values()) cancel();
    for (const channel of this.channels) channel.close();
  }
}
