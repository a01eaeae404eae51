// A node as a process of its own, for tests that kill, stop and restart real nodes. Everything it
// printed is kept, so that a failing test can show it.

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
const outputLimit = 200_000;

export interface NodePlan {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly dataDir: string;
  /** "name=url,…" of all members. */
  readonly initialCluster: string;
  readonly clusterState?: "new" | "existing";
  readonly token?: string;
  /** Appended to the command line. */
  readonly extra?: readonly string[];
  /** Runs instead of node itself: "strace -f node" say. */
  readonly wrapper?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class NodeProcess {
  private child: ChildProcess | undefined;
  private printed = "";
  private exit: Promise<number | string> = Promise.resolve(0);

  constructor(readonly plan: NodePlan) {}

  get clientUrl(): string {
    return `http://127.0.0.1:${this.plan.clientPort}`;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.plan.clientPort}`;
  }

  get peerUrl(): string {
    return `http://127.0.0.1:${this.plan.peerPort}`;
  }

  /** Process id; 0 when it does not run. */
  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The last of what it printed, over all its lives. */
  get output(): string {
    return this.printed;
  }

  /** Resolves with the exit status, or the name of the signal that ended it. */
  get exited(): Promise<number | string> {
    return this.exit;
  }

  /** The exit status of a node that should end by itself; one that does not is killed. */
  async ended(timeoutMs: number): Promise<number | string> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.child?.kill("SIGKILL");
    }, timeoutMs);
    const status = await this.exit;
    clearTimeout(timer);
    if (late)
      throw new Error(`${this.plan.name} still ran after ${timeoutMs} ms\n${this.printed.slice(-4000)}`);
    return status;
  }

  start(): void {
    const { plan } = this;
    const [command, ...before] = [...(plan.wrapper ?? []), process.execPath];
    const child = spawn(command!, [...before, program, "server", ...this.flags()], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...inherited(), ...plan.env },
    });
    this.child = child;
    const keep = (chunk: Buffer): void => {
      this.printed = (this.printed + chunk.toString()).slice(-outputLimit);
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    this.exit = new Promise((resolve) => {
      child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
      child.once("error", (error) => {
        keep(Buffer.from(String(error)));
        resolve("not started");
      });
    });
  }

  private flags(): string[] {
    const { plan } = this;
    return [
      `--name=${plan.name}`,
      `--data-dir=${plan.dataDir}`,
      `--listen-client-urls=${this.clientUrl}`,
      `--advertise-client-urls=${this.clientUrl}`,
      `--listen-peer-urls=${this.peerUrl}`,
      `--initial-advertise-peer-urls=${this.peerUrl}`,
      `--initial-cluster=${plan.initialCluster}`,
      `--initial-cluster-state=${plan.clusterState ?? "new"}`,
      `--initial-cluster-token=${plan.token ?? "test"}`,
      "--log-format=json",
      ...(plan.extra ?? []),
    ];
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** Ends it without warning, as a power switch would, and waits until it is gone. */
  async kill(): Promise<void> {
    if (!this.running) return;
    this.child!.kill("SIGKILL");
    await this.exit;
  }

  /** Asks it to stop and waits; kills it when it does not within ten seconds. */
  async stop(): Promise<number | string> {
    if (!this.running) return this.exit;
    this.child!.kill("SIGTERM");
    const timer = setTimeout(() => this.child?.kill("SIGKILL"), 10_000);
    const status = await this.exit;
    clearTimeout(timer);
    return status;
  }
}

/** What is addressed to the test run is not for the node, which refuses settings it does not know. */
function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("QUORATE_")));
}

/** The folder of a node below `root`. */
export function nodeFolder(root: string, name: string): string {
  return join(root, name);
}
