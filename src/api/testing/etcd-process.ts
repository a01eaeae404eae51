// A real etcd of one member for differential tests, on unix sockets in a folder of its own: no ports.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const clientSocket = "client:1";

/** "3.4.23", or undefined when there is no etcd on this machine. */
export function etcdVersion(): string | undefined {
  const { error, stdout } = spawnSync("etcd", ["--version"], { encoding: "utf8" });
  return error === undefined ? /etcd Version: (\S+)/.exec(stdout)?.[1] : undefined;
}

export class EtcdProcess {
  private readonly folder = mkdtempSync(join(tmpdir(), "etcd-"));
  private readonly process: ChildProcess;
  private output = "";

  constructor() {
    // etcd 3.4 wants host and port even here, and makes a file of them in its working folder.
    const client = `unix://${clientSocket}`;
    const peer = "unix://peer:1";
    const flags = [
      ["--name", "reference"],
      ["--data-dir", join(this.folder, "data")],
      ["--listen-client-urls", client],
      ["--advertise-client-urls", client],
      ["--listen-peer-urls", peer],
      ["--initial-advertise-peer-urls", peer],
      ["--initial-cluster", `reference=${peer}`],
    ];
    this.process = spawn("etcd", flags.flat(), { cwd: this.folder, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout!, this.process.stderr!]) {
      stream.on("data", (chunk: Buffer) => (this.output = (this.output + chunk.toString()).slice(-4000)));
    }
  }

  /** As @grpc/grpc-js wants it. */
  get address(): string {
    return `unix:${this.folder}/${clientSocket}`;
  }

  /** The last of what it printed. */
  get log(): string {
    return this.output;
  }

  async stop(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, "exit");
      this.process.kill("SIGTERM");
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
