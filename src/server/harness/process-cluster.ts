// Some nodes on loopback, each its own process, in a temporary folder: what tests start, break and
// ask. Ports are free ones, chosen at start.

import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { type StatusResponse, StatusResponseSchema } from "../../gen/etcdserverpb/rpc_pb.js";
import { Status } from "../../rpc/call.js";
import { RpcChannel } from "../../rpc/client.js";
import { NodeProcess, nodeFolder } from "./node-process.js";

/** Ports nobody listens on at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(0, "127.0.0.1", resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Asks again until `probe` gives a value; fails with `what` (and the last error) after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | undefined>,
): Promise<T> {
  const until = performance.now() + timeoutMs;
  let last: unknown = "no answer";
  while (performance.now() < until) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    await delay(50);
  }
  throw new Error(`${what}: not within ${timeoutMs} ms (${String(last)})`);
}

/** One unary call on a connection of its own. Rejects unless the status is OK. */
export async function callOnce(
  port: number,
  path: string,
  request: Uint8Array,
  timeoutMs = 5000,
): Promise<Uint8Array> {
  const channel = new RpcChannel({ host: "127.0.0.1", port });
  try {
    await channel.connect();
    return await new Promise<Uint8Array>((resolve, reject) => {
      channel.unary(path, request, { timeoutMs }, (end, message) => {
        if (end.code === Status.OK && message !== undefined) resolve(Buffer.from(message));
        else reject(new Error(`status ${end.code}: ${end.message}`));
      });
    });
  } finally {
    channel.close();
  }
}

export interface ProcessClusterOptions {
  readonly nodes?: number;
  readonly extra?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** An existing folder to use, below which every node gets one by its name ("n1", …). A new one by default. */
  readonly folder?: string;
}

export class ProcessCluster {
  private constructor(
    readonly folder: string,
    readonly nodes: NodeProcess[],
  ) {}

  /** Starts the nodes and waits until all of them know a leader. */
  static async start(options: ProcessClusterOptions = {}): Promise<ProcessCluster> {
    const count = options.nodes ?? 3;
    const ports = await freePorts(count * 2);
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), "quorate-test-"));
    const names = Array.from({ length: count }, (_, at) => `n${at + 1}`);
    const initialCluster = names.map((name, at) => `${name}=http://127.0.0.1:${ports[count + at]}`).join(",");
    const nodes = names.map(
      (name, at) =>
        new NodeProcess({
          name,
          clientPort: ports[at]!,
          peerPort: ports[count + at]!,
          dataDir: nodeFolder(folder, name),
          initialCluster,
          ...(options.extra === undefined ? {} : { extra: options.extra }),
          ...(options.env === undefined ? {} : { env: options.env }),
        }),
    );
    const cluster = new ProcessCluster(folder, nodes);
    for (const node of nodes) node.start();
    try {
      await cluster.ready();
    } catch (error) {
      const output = nodes.map((node) => `--- ${node.plan.name}\n${node.output.slice(-2000)}`).join("\n");
      await cluster.destroy();
      throw new Error(`${String(error)}\n${output}`);
    }
    return cluster;
  }

  get endpoints(): string[] {
    return this.nodes.map((node) => node.endpoint);
  }

  status(node: NodeProcess): Promise<StatusResponse> {
    return callOnce(node.plan.clientPort, "/etcdserverpb.Maintenance/Status", new Uint8Array(0), 2000).then(
      (bytes) => fromBinary(StatusResponseSchema, bytes),
    );
  }

  /** Every running node knows the same leader. */
  async ready(timeoutMs = 30_000): Promise<NodeProcess> {
    return eventually("one leader known to all", timeoutMs, async () => {
      const running = this.nodes.filter((node) => node.running);
      const all = await Promise.all(running.map((node) => this.status(node)));
      const leader = all[0]?.leader ?? 0n;
      if (leader === 0n || all.some((status) => status.leader !== leader)) return undefined;
      return running[all.findIndex((status) => status.header?.memberId === leader)];
    });
  }

  /** Stops all nodes and deletes the folder. */
  async destroy(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
