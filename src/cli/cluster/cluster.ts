// `quorate cluster`: several nodes on this machine, each in a process of its own. Ctrl-C stops all of
// them; a node that dies by itself is reported, the others go on, and the exit status tells.

import { setTimeout as delay } from "node:timers/promises";
import { ConfigError, parseServerConfig } from "../../server/config.js";
import { portProblem, unhealthy } from "./health.js";
import { type NodeExit, NodeProcess } from "./node-process.js";
import { type ClusterPlan, foundCluster, type PlanOptions, planCluster, serverArguments } from "./plan.js";

export interface ClusterOptions extends PlanOptions {
  readonly logLevel: string;
  readonly verbose?: boolean;
}

const pollMs = 100;
const noticeAfterMs = 10_000;
/** A node that has not stopped by then is killed; the whole command ends within ten seconds. */
const stopLimitMs = 8000;

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const complain = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** Runs the cluster until it is stopped; returns the exit status. */
export async function runCluster(options: ClusterOptions): Promise<number> {
  const plan = planCluster(options);
  const starts = plan.nodes.map((node) => ({ node, args: serverArguments(plan, node, options.logLevel) }));
  // What the nodes would refuse is refused here, once.
  for (const { args } of starts) parseServerConfig(args, process.env, refuseFile);
  for (const node of plan.nodes)
    for (const port of [node.clientPort, node.peerPort]) {
      const problem = await portProblem(port);
      if (problem !== undefined)
        throw new ConfigError(`${problem} (${node.name}); is a cluster running already?`);
    }
  if (plan.isNew) foundCluster(plan);

  const run = new Run(
    starts.map(({ node, args }) => new NodeProcess(node, args, complain, options.verbose === true)),
  );
  run.listenForSignals();
  if (await run.healthy()) print(greeting(plan));
  return await run.end();
}

function refuseFile(path: string): string {
  throw new Error(`a file (${path}) would be the same for all nodes; use \`quorate server\``);
}

/** The nodes under way and what has become of them. */
class Run {
  private failed = false;
  private stopping = false;
  private ready = false;
  private alive: number;
  private readonly ended: Promise<void>;
  private killTimer: NodeJS.Timeout | undefined;

  constructor(private readonly nodes: readonly NodeProcess[]) {
    this.alive = nodes.length;
    this.ended = Promise.all(nodes.map(async (node) => this.exited(node, await node.exited))).then(() => {});
  }

  /** The first signal stops the nodes, the second kills them. */
  listenForSignals(): void {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.on(signal, () => {
        if (this.stopping) {
          for (const node of this.nodes) node.kill();
          process.exit(130);
        }
        complain("stopping");
        this.stop();
      });
  }

  /** True when all are healthy; false when the run is ending before that. */
  async healthy(): Promise<boolean> {
    let noticeAt = performance.now() + noticeAfterMs;
    for (const node of this.nodes)
      for (;;) {
        if (this.stopping) return false;
        if (this.failed) {
          // A cluster that does not come up whole is not worth keeping.
          this.stop();
          return false;
        }
        const problem = await unhealthy(node.plan.clientPort);
        if (problem === undefined) break;
        if (performance.now() > noticeAt) {
          complain(`still waiting for ${node.plan.name}: ${problem} (log in ${node.plan.logFile})`);
          noticeAt += noticeAfterMs;
        }
        await delay(pollMs);
      }
    this.ready = !this.stopping && !this.failed;
    return this.ready;
  }

  /** Resolves with the exit status when the last node has ended. */
  async end(): Promise<number> {
    await this.ended;
    clearTimeout(this.killTimer);
    return this.failed ? 1 : 0;
  }

  private stop(): void {
    if (this.stopping) return;
    this.stopping = true;
    for (const node of this.nodes) node.stop();
    this.killTimer = setTimeout(() => {
      for (const node of this.nodes) node.kill();
    }, stopLimitMs);
    this.killTimer.unref();
  }

  private exited(node: NodeProcess, exit: NodeExit): void {
    this.alive--;
    if (this.stopping && exit.code === 0) return;
    this.failed = true;
    const how = exit.signal === undefined ? `status ${exit.code}` : exit.signal;
    const what = this.stopping ? "did not stop cleanly" : "ended unexpectedly";
    complain(`${node.plan.name} ${what} (${how}): ${exit.lastLine}`);
    if (this.ready && !this.stopping && this.alive > 0)
      complain(`${this.alive} of ${this.nodes.length} nodes go on; log in ${node.plan.logFile}`);
  }
}

function greeting(plan: ClusterPlan): string {
  const address = (at: number): string => `127.0.0.1:${plan.nodes[at % plan.nodes.length]!.clientPort}`;
  const all = plan.nodes.map((_, at) => address(at)).join(",");
  const count = plan.nodes.length === 1 ? "one node is" : `${plan.nodes.length} nodes are`;
  return [
    `${count} ready; data and logs in ${plan.folder}`,
    "",
    ...plan.nodes.map((node, at) => `  ${node.name}  http://${address(at)}`),
    "",
    `  metrics  http://${address(0)}/metrics (every node has its own)`,
    "",
    "Try:",
    `  etcdctl --endpoints=${all} endpoint status --write-out=table`,
    `  etcdctl --endpoints=${address(0)} put greeting hello`,
    `  etcdctl --endpoints=${address(1)} get greeting`,
    "",
    "Ctrl-C stops the cluster; the same command starts it again with its data.",
  ].join("\n");
}
