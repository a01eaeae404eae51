// Calls to some nodes by number, over one connection a node that is made again when it broke. What a
// test says to a cluster goes through here; every failure reaches the caller as an RpcError.

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { RpcError, Status } from "../../rpc/call.js";
import { RpcChannel } from "../../rpc/client.js";

/** A unary method: its path and the two message types. */
export interface Method<I extends DescMessage, O extends DescMessage> {
  readonly path: string;
  readonly request: I;
  readonly response: O;
}

export function method<I extends DescMessage, O extends DescMessage>(
  path: string,
  request: I,
  response: O,
): Method<I, O> {
  return { path: `/etcdserverpb.${path}`, request, response };
}

/** A paused node takes connections and never answers them: give up soon. */
const handshakeTimeoutMs = 1000;

export class ClusterClient {
  private readonly channels: RpcChannel[];

  /** @param endpoints "host:port" each. */
  constructor(endpoints: readonly string[]) {
    this.channels = endpoints.map((endpoint) => {
      const colon = endpoint.lastIndexOf(":");
      return new RpcChannel({
        host: endpoint.slice(0, colon),
        port: Number(endpoint.slice(colon + 1)),
        limits: { receiveMessageBytes: 64 << 20, handshakeTimeoutMs },
      });
    });
  }

  get size(): number {
    return this.channels.length;
  }

  /** Resolves when there is a connection to node `at`; nothing was asked of it yet if this rejects. */
  connect(at: number): Promise<void> {
    return this.channels[at]!.connect();
  }

  /** Rejects with an RpcError unless the status is OK. The connection must be there. */
  send<I extends DescMessage, O extends DescMessage>(
    at: number,
    { path, request, response }: Method<I, O>,
    init: MessageInitShape<I>,
    timeoutMs: number,
  ): Promise<MessageShape<O>> {
    const bytes = toBinary(request, create(request, init));
    return new Promise((resolve, reject) => {
      this.channels[at]!.unary(path, bytes, { timeoutMs }, (end, message) => {
        if (end.code === Status.OK && message !== undefined) resolve(fromBinary(response, message));
        else reject(new RpcError(end.code, end.message));
      });
    });
  }

  /** Connects if need be, then sends. */
  async call<I extends DescMessage, O extends DescMessage>(
    at: number,
    called: Method<I, O>,
    init: MessageInitShape<I>,
    timeoutMs = 5000,
  ): Promise<MessageShape<O>> {
    await this.connect(at);
    return this.send(at, called, init, timeoutMs);
  }

  close(): void {
    for (const channel of this.channels) channel.close();
  }
}
