// Runs the same scenarios against etcd and Quorate, three nodes each, in turn on the same disk: only
// one cluster exists at a time, and who goes first changes from round to round.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { VersusInvocation } from "./arguments.js";
import { processCpuMicros, systemClock } from "./clock.js";
import { LocalCluster, type ServerProgram } from "./cluster.js";
import { ConnectionSet, chooseEndpoints, type OpenChannel } from "./connections.js";
import type { FailureCount } from "./errors.js";
import { fillKeys } from "./fill.js";
import type { LatencySummary } from "./histogram.js";
import { type LoadResult, runLoad } from "./load.js";
import { RequestMaker } from "./requests.js";
import { needsFill, type Scenario } from "./scenarios.js";

/** One scenario against one system in one round. */
export interface Measurement {
  readonly system: ServerProgram["name"];
  readonly round: number;
  readonly scenario: string;
  readonly completed: number;
  readonly perSecond: number;
  readonly latency: LatencySummary;
  readonly failures: readonly FailureCount[];
  readonly failed: number;
  readonly unanswered: number;
  readonly clientMicrosPerRequest: number;
  /** CPU seconds each node spent during the measurement. */
  readonly cpuSeconds: readonly number[];
  /** Resident memory of each node at the end. */
  readonly residentBytes: readonly number[];
}

export interface VersusContext {
  readonly open: OpenChannel;
  readonly signal: AbortSignal;
  readonly progress: (line: string) => void;
}

const practice: Scenario = {
  name: "practice",
  operation: "put",
  inFlight: 64,
  connections: 6,
  target: "all",
};
const drainMs = 10_000;
const fillBatch = 100;
const fillInFlight = 12;

/** Runs everything and removes the data again, also when aborted or failing. */
export async function runVersus(
  invocation: VersusInvocation,
  programs: readonly ServerProgram[],
  parentFolder: string,
  context: VersusContext,
): Promise<Measurement[]> {
  mkdirSync(parentFolder, { recursive: true });
  const folder = mkdtempSync(join(parentFolder, "versus-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  // For an end that does not wait for us; the cluster's listener, which ends the nodes, runs before.
  process.once("exit", remove);
  const measurements: Measurement[] = [];
  try {
    for (let round = 1; round <= invocation.rounds; round++) {
      const order = round % 2 === 1 ? programs : programs.toReversed();
      for (const program of order) {
        const data = join(folder, `${program.name}-${round}`);
        measurements.push(...(await runOnce(invocation, program, round, data, context)));
        rmSync(data, { recursive: true, force: true });
      }
    }
    return measurements;
  } finally {
    remove();
    process.off("exit", remove);
  }
}

async function runOnce(
  invocation: VersusInvocation,
  program: ServerProgram,
  round: number,
  folder: string,
  context: VersusContext,
): Promise<Measurement[]> {
  const cluster = await LocalCluster.start(program, folder, context.open, context.signal);
  try {
    // The first requests find programs not yet compiled and files not yet there, on both ends.
    await measure(invocation, practice, cluster, round, context);
    const measurements: Measurement[] = [];
    let filled = false;
    for (const scenario of invocation.scenarios) {
      if (needsFill(scenario) && !filled) {
        await fill(invocation, cluster, context);
        filled = true;
      }
      const measurement = await measure(invocation, scenario, cluster, round, context);
      measurements.push(measurement);
      context.signal.throwIfAborted();
      cluster.assertRunning();
      const rate = Math.round(measurement.perSecond);
      context.progress(
        `round ${round}  ${program.name}  ${scenario.name}  ${rate}/s  p99 ${measurement.latency.p99Ms} ms`,
      );
    }
    return measurements;
  } finally {
    await cluster.stop();
  }
}

async function fill(
  invocation: VersusInvocation,
  cluster: LocalCluster,
  context: VersusContext,
): Promise<void> {
  const connections = await ConnectionSet.open(
    context.open,
    cluster.endpoints,
    cluster.endpoints.length,
    systemClock,
  );
  try {
    const { keys, keyBytes, valueBytes, seed } = invocation;
    const plan = { count: keys, batch: fillBatch, inFlight: fillInFlight, keyBytes, valueBytes, seed };
    await fillKeys({ ...plan, channels: connections.channels, signal: context.signal }, systemClock);
  } finally {
    connections.close();
  }
}

async function measure(
  invocation: VersusInvocation,
  scenario: Scenario,
  cluster: LocalCluster,
  round: number,
  context: VersusContext,
): Promise<Measurement> {
  const endpoints = await chooseEndpoints(context.open, cluster.endpoints, scenario.target, systemClock);
  const connections = await ConnectionSet.open(context.open, endpoints, scenario.connections, systemClock);
  try {
    let before = cluster.costs();
    let after = before;
    const window = {
      begin: (): void => void (before = cluster.costs()),
      end: (): void => void (after = cluster.costs()),
    };
    const result = await runLoad(
      {
        channels: connections.channels,
        requests: new RequestMaker({ ...invocation, operation: scenario.operation }),
        inFlight: scenario.inFlight,
        warmUpMs: invocation.warmUpSeconds * 1000,
        durationMs: invocation.durationSeconds * 1000,
        drainMs,
        signal: context.signal,
        window,
      },
      systemClock,
      processCpuMicros,
    );
    return {
      ...figures(result),
      system: cluster.program.name,
      round,
      scenario: scenario.name,
      cpuSeconds: after.map((cost, at) => (cost?.cpuSeconds ?? 0) - (before[at]?.cpuSeconds ?? 0)),
      residentBytes: after.map((cost) => cost?.residentBytes ?? 0),
    };
  } finally {
    connections.close();
  }
}

function figures(
  result: LoadResult,
): Omit<Measurement, "system" | "round" | "scenario" | "cpuSeconds" | "residentBytes"> {
  const { completed, perSecond, latency, failures, failed, unanswered, clientMicrosPerRequest } = result;
  return {
    completed,
    perSecond,
    latency: latency.summary(),
    failures,
    failed,
    unanswered,
    clientMicrosPerRequest,
  };
}
