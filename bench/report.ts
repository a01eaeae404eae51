// Prints results for people: a short table for one run, one table a scenario for a side-by-side run.
import type { Comparison, Spread } from "./comparison.js";
import type { FailureCount } from "./errors.js";
import type { LoadResult } from "./load.js";

/** Three significant digits, without exponent. */
export function figure(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en-US", {
    minimumFractionDigits: Math.min(3, digits),
    maximumFractionDigits: Math.min(3, digits),
  });
}

/** Rows as columns; the first is aligned left, the others right. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  const line = (row: readonly string[]): string =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}

function failureLines(failures: readonly FailureCount[]): string {
  return failures.map(({ status, message, count }) => `  ${count} × ${status}: ${message}\n`).join("");
}

export function loadReport(result: LoadResult): string {
  const { latency, sendLag } = result;
  const summary = latency.summary();
  const rows = [
    ["completed", `${result.completed} in ${figure(result.elapsedMs / 1000)} s`],
    ["throughput", `${figure(result.perSecond)}/s`],
    ["latency p50", `${figure(summary.p50Ms)} ms`],
    ["latency p90", `${figure(summary.p90Ms)} ms`],
    ["latency p99", `${figure(summary.p99Ms)} ms`],
    ["latency p99.9", `${figure(summary.p999Ms)} ms`],
    ["latency max", `${figure(summary.maxMs)} ms`],
    ["client CPU", `${figure(result.clientMicrosPerRequest)} µs/request`],
    ["failed", String(result.failed)],
    ["unanswered", String(result.unanswered)],
  ];
  if (sendLag !== undefined) {
    rows.push(
      ["sent late p50", `${figure(sendLag.quantileMs(0.5))} ms`],
      ["sent late p99", `${figure(sendLag.quantileMs(0.99))} ms`],
    );
  }
  return columns(rows) + failureLines(result.failures);
}

/** What --json prints for one run. */
export function loadDocument(result: LoadResult): unknown {
  const { latency, sendLag, ...rest } = result;
  return {
    ...rest,
    latency: latency.summary(),
    ...(sendLag === undefined ? {} : { sendLag: sendLag.summary() }),
  };
}

function spreadText({ median, least, most }: Spread, unit = 1): string {
  return `${figure(median / unit)} (${figure(least / unit)}–${figure(most / unit)})`;
}

function byNode(values: readonly number[], unit = 1): string {
  return values.map((value) => figure(value / unit)).join(" ");
}

const comparisonHead = [
  "",
  "per second",
  "p50 ms",
  "p99 ms",
  "server µs/op",
  "CPU s by node",
  "RSS MiB by node",
  "client µs/op",
  "failed",
];

/** All scenarios below one head; medians, with the least and the greatest in brackets. */
export function comparisonReport(comparisons: readonly Comparison[]): string {
  const failures = comparisons.flatMap(({ scenario, sides }) =>
    sides
      .filter(({ figures }) => figures.failed > 0)
      .map(({ system, figures }) => `${scenario} ${system} failures:\n${failureLines(figures.failures)}`),
  );
  return columns([comparisonHead, ...comparisons.flatMap(comparisonRows)]) + failures.join("");
}

function comparisonRows({ scenario, sides, ratios }: Comparison): string[][] {
  const rows = [[scenario]];
  for (const { system, figures } of sides) {
    rows.push([
      `  ${system}`,
      spreadText(figures.perSecond),
      spreadText(figures.p50Ms),
      spreadText(figures.p99Ms),
      spreadText(figures.serverMicros),
      byNode(figures.cpuSeconds),
      byNode(figures.residentBytes, 1 << 20),
      figure(figures.clientMicros.median),
      String(figures.failed + figures.unanswered),
    ]);
  }
  if (ratios !== undefined) {
    const { perSecond, p50, p99, serverMicros } = ratios;
    rows.push(["  quorate/etcd", ...[perSecond, p50, p99, serverMicros].map((ratio) => `${figure(ratio)}×`)]);
  }
  return rows;
}
