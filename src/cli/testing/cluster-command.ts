// For tests: `quorate cluster` as a user's terminal runs it, in a process group of its own.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../main.js", import.meta.url));

export class ClusterCommand {
  /** Everything it wrote so far, to standard output and standard error. */
  output = "";
  readonly child: ChildProcess;
  /** Resolves with its exit status; null when a signal ended it. */
  readonly ended: Promise<number | null>;
  private readonly listeners = new Set<() => void>();

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [program, "cluster", ...args], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding("utf8").on("data", (chunk: string) => {
        this.output += chunk;
        for (const listener of this.listeners) listener();
      });
    this.ended = once(this.child, "close").then(([status]) => {
      for (const listener of this.listeners) listener();
      return status as number | null;
    });
  }

  /** Resolves when the output matches; rejects when the command ends before. */
  printed(pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const over = this.child.exitCode !== null || this.child.signalCode !== null;
        if (pattern.test(this.output)) resolve();
        else if (over) reject(new Error(`ended without ${pattern}: ${this.output}`));
        else return;
        this.listeners.delete(look);
      };
      this.listeners.add(look);
      look();
    });
  }

  /** Resolves when every node is healthy. */
  ready(): Promise<void> {
    return this.printed(/^Ctrl-C stops the cluster/m);
  }

  /** Ctrl-C: the signal reaches the whole group. */
  interrupt(): void {
    if (this.child.pid !== undefined) process.kill(-this.child.pid, "SIGINT");
  }

  /** Ends whatever is left of the group; for cleaning up. */
  async kill(): Promise<void> {
    try {
      if (this.child.pid !== undefined) process.kill(-this.child.pid, "SIGKILL");
    } catch (error) {
      // Nobody is left.
      if ((error as { code?: string }).code !== "ESRCH") throw error;
    }
    await this.ended;
  }
}

/** Ports on loopback that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
