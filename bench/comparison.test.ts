import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, spread } from "./comparison.js";
import { comparisonReport, figure } from "./report.js";
import type { Measurement } from "./versus.js";

function measurement(
  system: "etcd" | "quorate",
  round: number,
  perSecond: number,
  p99Ms: number,
): Measurement {
  const latency = { count: 1, meanMs: 1, p50Ms: p99Ms / 2, p90Ms: 1, p99Ms, p999Ms: 1, maxMs: 1 };
  return {
    system,
    round,
    scenario: "put-64",
    completed: 1000,
    perSecond,
    latency,
    failures: [{ status: "UNAVAILABLE", message: "no leader", count: round }],
    failed: round,
    unanswered: 0,
    clientMicrosPerRequest: 5,
    cpuSeconds: [1, 2, system === "etcd" ? 3 : 0],
    residentBytes: [1 << 20, 3 << 20, 2 << 20],
  };
}

test("the spread of an odd and an even number of figures", () => {
  assert.deepEqual(spread([3, 1, 2]), { median: 2, least: 1, most: 3 });
  assert.deepEqual(spread([4, 1, 2, 3]), { median: 2.5, least: 1, most: 4 });
  assert.throws(() => spread([]), RangeError);
});

test("ratios are Quorate's median by etcd's", () => {
  const [comparison] = compare([
    measurement("etcd", 1, 100, 8),
    measurement("quorate", 1, 300, 2),
    measurement("quorate", 2, 500, 4),
    measurement("etcd", 2, 300, 8),
    measurement("etcd", 3, 200, 8),
    measurement("quorate", 3, 400, 3),
  ]);
  assert.deepEqual(comparison?.ratios, { perSecond: 2, p50: 3 / 8, p99: 3 / 8, serverMicros: 0.5 });
  const [etcd] = comparison.sides;
  assert.deepEqual(etcd?.figures.cpuSeconds, [3, 2, 1]);
  assert.equal(etcd.figures.serverMicros.median, 6000);
  assert.deepEqual(etcd.figures.residentBytes, [3 << 20, 2 << 20, 1 << 20]);
  assert.equal(etcd.figures.failed, 6);
  const report = comparisonReport([comparison]);
  assert.match(report, /quorate\/etcd +2\.00× +0\.375× +0\.375×/);
  const [head, , etcdRow] = report.split("\n");
  assert.match(
    head!,
    /per second +p50 ms +p99 ms +server µs\/op +CPU s by node +RSS MiB by node +client µs\/op +failed$/,
  );
  assert.match(
    etcdRow!,
    /8\.00 \(8\.00–8\.00\) +6,000 \(6,000–6,000\) +3\.00 2\.00 1\.00 +3\.00 2\.00 1\.00 +5\.00 +6$/,
  );
  assert.match(report, /put-64 etcd failures:\n {2}6 × UNAVAILABLE: no leader\n/);
  assert.match(report, /etcd +200 \(100–300\)/);
});

test("one side alone is reported without a ratio", () => {
  const [comparison] = compare([measurement("etcd", 1, 100, 8)]);
  assert.equal(comparison?.ratios, undefined);
  assert.equal(comparison?.sides.length, 1);
  assert.ok(!comparisonReport([comparison!]).includes("quorate"));
});

test("figures have three significant digits", () => {
  assert.deepEqual([0, 0.5714, 1.2345, 12.345, 123.45, 123456].map(figure), [
    "0",
    "0.571",
    "1.23",
    "12.3",
    "123",
    "123,456",
  ]);
});
