// Three server processes on loopback, of any program that takes etcd's flags: started on free ports
// with their data in one folder, watched until they serve, and ended by process id.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "./clock.js";
import { type Endpoint, findLeader, type OpenChannel } from "./connections.js";
import { type ProcessCost, processCost } from "./processes.js";

/** A program to start. */
export interface ServerProgram {
  readonly name: "etcd" | "quorate";
  readonly command: string;
  /** Arguments before the flags. */
  readonly args: readonly string[];
}

const nodes = 3;
const startLimitMs = 60_000;
const pollMs = 100;
const stopLimitMs = 10_000;
const logTailBytes = 2000;

interface Node {
  readonly name: string;
  readonly child: ChildProcess;
  readonly logPath: string;
  readonly exited: Promise<string>;
  exit: string | undefined;
}

/** Ports free at this moment; all are held until all are known, so they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  try {
    for (let at = 0; at < count; at++) {
      const server = createServer();
      servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(0, "127.0.0.1", resolve);
      });
    }
    return servers.map((server) => {
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("a TCP server without a port");
      return address.port;
    });
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** The flags of node `at`, counted from 0. */
export function nodeFlags(
  at: number,
  folder: string,
  clientPorts: readonly number[],
  peerPorts: readonly number[],
): string[] {
  const client = `http://127.0.0.1:${clientPorts[at]}`;
  const peer = `http://127.0.0.1:${peerPorts[at]}`;
  const members = peerPorts.map((port, member) => `node${member + 1}=http://127.0.0.1:${port}`);
  const flags = {
    name: `node${at + 1}`,
    "data-dir": join(folder, `node${at + 1}`),
    "listen-client-urls": client,
    "advertise-client-urls": client,
    "listen-peer-urls": peer,
    "initial-advertise-peer-urls": peer,
    "initial-cluster": members.join(","),
    "initial-cluster-state": "new",
    "initial-cluster-token": "bench",
    "heartbeat-interval": "100",
    "election-timeout": "1000",
  };
  return Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
}

export class LocalCluster {
  private readonly killAll = (): void => {
    for (const { child, exit } of this.running) if (exit === undefined) child.kill("SIGKILL");
  };

  private constructor(
    readonly program: ServerProgram,
    readonly endpoints: readonly Endpoint[],
    private readonly running: readonly Node[],
  ) {
    // The last resort when this process ends without having stopped them.
    process.prependOnceListener("exit", this.killAll);
  }

  /** Starts the nodes and resolves when one of them leads. Nothing is left running when it rejects. */
  static async start(
    program: ServerProgram,
    folder: string,
    open: OpenChannel,
    signal: AbortSignal,
  ): Promise<LocalCluster> {
    signal.throwIfAborted();
    const ports = await freePorts(nodes * 2);
    const clientPorts = ports.slice(0, nodes);
    mkdirSync(folder, { recursive: true });
    const running = clientPorts.map((_, at) =>
      startNode(program, at, folder, clientPorts, ports.slice(nodes)),
    );
    const cluster = new LocalCluster(
      program,
      clientPorts.map((port) => `127.0.0.1:${port}`),
      running,
    );
    try {
      await cluster.untilReady(open, signal);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  private async untilReady(open: OpenChannel, signal: AbortSignal): Promise<void> {
    const giveUpAt = performance.now() + startLimitMs;
    for (;;) {
      signal.throwIfAborted();
      this.assertRunning();
      try {
        await findLeader(open, this.endpoints, systemClock);
        return;
      } catch (error) {
        if (performance.now() > giveUpAt)
          throw new Error(`${this.program.name} has no leader`, { cause: error });
      }
      await pause(pollMs);
    }
  }

  /** Throws with the end of its log when a node is no longer running. */
  assertRunning(): void {
    for (const { name, exit, logPath } of this.running) {
      if (exit === undefined) continue;
      const log = readFileSync(logPath, "utf8").slice(-logTailBytes);
      throw new Error(`${this.program.name} ${name} ended with ${exit}; the end of its output:\n${log}`);
    }
  }

  /** CPU time and memory of each node; undefined where the system does not tell. */
  costs(): (ProcessCost | undefined)[] {
    return this.running.map(({ child }) => (child.pid === undefined ? undefined : processCost(child.pid)));
  }

  /** Asks every node to end, and makes those end that have not after ten seconds. */
  async stop(): Promise<void> {
    for (const { child, exit } of this.running) if (exit === undefined) child.kill("SIGTERM");
    const timer = setTimeout(this.killAll, stopLimitMs);
    await Promise.all(this.running.map(({ exited }) => exited));
    clearTimeout(timer);
    process.off("exit", this.killAll);
  }
}

function startNode(
  program: ServerProgram,
  at: number,
  folder: string,
  clientPorts: readonly number[],
  peerPorts: readonly number[],
): Node {
  const name = `node${at + 1}`;
  const logPath = join(folder, `${name}.log`);
  const log = openSync(logPath, "w");
  const child = spawn(program.command, [...program.args, ...nodeFlags(at, folder, clientPorts, peerPorts)], {
    stdio: ["ignore", log, log],
    // etcd refuses to start on some CPU families unless told to.
    env: process.arch === "arm64" ? { ...process.env, ETCD_UNSUPPORTED_ARCH: "arm64" } : process.env,
  });
  closeSync(log);
  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `status ${code}`));
  });
  const node: Node = { name, child, logPath, exited, exit: undefined };
  void exited.then((exit) => {
    node.exit = exit;
  });
  return node;
}
