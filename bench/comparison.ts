// Turns the measurements of a side-by-side run into medians, spreads and ratios.
import { type FailureCount, FailureTally } from "./errors.js";
import type { Measurement } from "./versus.js";

/** Middle, least and greatest of some figures. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export interface SideFigures {
  readonly perSecond: Spread;
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  /** Server CPU time by completed request, all nodes together. */
  readonly serverMicros: Spread;
  /** CPU seconds by node, the busiest first: the median of each rank. */
  readonly cpuSeconds: readonly number[];
  /** Memory by node, the largest first: the median of each rank. */
  readonly residentBytes: readonly number[];
  readonly clientMicros: Spread;
  readonly failed: number;
  readonly failures: readonly FailureCount[];
  readonly unanswered: number;
}

export interface Comparison {
  readonly scenario: string;
  readonly sides: readonly { readonly system: string; readonly figures: SideFigures }[];
  /** Quorate by etcd, of the medians; absent when one side did not run. */
  readonly ratios?: {
    readonly perSecond: number;
    readonly p50: number;
    readonly p99: number;
    readonly serverMicros: number;
  };
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new RangeError("no figures to compare");
  return { median: (upper + lower) / 2, least: sorted[0]!, most: sorted.at(-1)! };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Which node leads differs from round to round, so nodes are compared by rank, not by name. */
function medianByRank(rounds: readonly (readonly number[])[]): number[] {
  const ranked = rounds.map((nodes) => nodes.toSorted((a, b) => b - a));
  return ranked[0]!.map((_, rank) => spread(ranked.map((nodes) => nodes[rank]!)).median);
}

function figuresOf(all: readonly Measurement[]): SideFigures {
  const tally = new FailureTally();
  for (const { failures } of all) tally.addAll(failures);
  return {
    perSecond: spread(all.map(({ perSecond }) => perSecond)),
    p50Ms: spread(all.map(({ latency }) => latency.p50Ms)),
    p99Ms: spread(all.map(({ latency }) => latency.p99Ms)),
    serverMicros: spread(
      all.map(({ cpuSeconds, completed }) => (sum(cpuSeconds) * 1e6) / Math.max(1, completed)),
    ),
    cpuSeconds: medianByRank(all.map(({ cpuSeconds }) => cpuSeconds)),
    residentBytes: medianByRank(all.map(({ residentBytes }) => residentBytes)),
    clientMicros: spread(all.map(({ clientMicrosPerRequest }) => clientMicrosPerRequest)),
    failed: tally.total,
    failures: tally.list(),
    unanswered: sum(all.map(({ unanswered }) => unanswered)),
  };
}

/** One comparison a scenario, in the order in which they were first measured. */
export function compare(measurements: readonly Measurement[]): Comparison[] {
  const scenarios = [...new Set(measurements.map(({ scenario }) => scenario))];
  return scenarios.map((scenario) => {
    const sides = (["etcd", "quorate"] as const).flatMap((system) => {
      const all = measurements.filter((one) => one.scenario === scenario && one.system === system);
      return all.length === 0 ? [] : [{ system, figures: figuresOf(all) }];
    });
    const [etcd, quorate] = sides;
    if (etcd === undefined || quorate === undefined) return { scenario, sides };
    const ratio = (of: (figures: SideFigures) => Spread): number =>
      of(quorate.figures).median / of(etcd.figures).median;
    const ratios = {
      perSecond: ratio((figures) => figures.perSecond),
      p50: ratio((figures) => figures.p50Ms),
      p99: ratio((figures) => figures.p99Ms),
      serverMicros: ratio((figures) => figures.serverMicros),
    };
    return { scenario, sides, ratios };
  });
}
