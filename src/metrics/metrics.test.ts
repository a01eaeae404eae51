import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "prom-client";
import { FastCounterFamily, FastGauge, FastHistogram } from "./metrics.js";

test("counters, gauges and histograms appear in Prometheus text with cumulative buckets", async () => {
  const registry = new Registry();
  new FastGauge(registry, "q_gauge", "A gauge.", () => 7);
  const family = new FastCounterFamily(registry, "q_total", "A count.", ["code"]);
  family.child("OK").value += 3;
  const histogram = new FastHistogram(registry, "q_seconds", "A time.", [0.5, 1], ["stage"]);
  const series = histogram.child("fsync");
  for (const value of [0.1, 0.5, 0.7, 3]) series.observe(value);
  const text = await registry.metrics();
  assert.match(text, /^q_gauge 7$/m);
  assert.match(text, /^q_total\{code="OK"\} 3$/m);
  assert.match(text, /^q_seconds_bucket\{(stage="fsync",le="0.5"|le="0.5",stage="fsync")\} 2$/m);
  assert.match(text, /^q_seconds_bucket\{(stage="fsync",le="\+Inf"|le="\+Inf",stage="fsync")\} 4$/m);
  assert.match(text, /^q_seconds_count\{stage="fsync"\} 4$/m);
});
