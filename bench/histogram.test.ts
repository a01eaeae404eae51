import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LatencyHistogram } from "./histogram.js";

test("every quantile is the exact one to three significant digits", () => {
  const latency = fc.oneof(
    fc.double({ min: 0, max: 5, noNaN: true }),
    fc.double({ min: 0, max: 1000, noNaN: true }),
    fc.double({ min: 0, max: 2_000_000, noNaN: true }),
  );
  fc.assert(
    fc.property(
      fc.array(latency, { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (all, share) => {
        const histogram = new LatencyHistogram();
        for (const ms of all) histogram.record(ms);
        const micros = all.map((ms) => Math.round(ms * 1000)).sort((a, b) => a - b);
        const exact = micros[Math.max(1, Math.ceil(share * micros.length)) - 1]!;
        const found = histogram.quantileMs(share) * 1000;
        assert.ok(found >= exact - 1e-6 && found <= exact * (1 + 1 / 1024) + 1e-6, `${found} for ${exact}`);
      },
    ),
    { numRuns: 500 },
  );
});

test("microseconds below two milliseconds are kept exactly", () => {
  const histogram = new LatencyHistogram();
  for (let micros = 1; micros <= 2000; micros++) histogram.record(micros / 1000);
  assert.equal(histogram.quantileMs(0.5), 1);
  assert.equal(histogram.quantileMs(0.999), 1.998);
  assert.equal(histogram.summary().maxMs, 2);
  assert.equal(histogram.summary().meanMs, 1.0005);
});

test("an empty histogram has zeros, and values out of range count at the edges", () => {
  const histogram = new LatencyHistogram();
  assert.deepEqual(histogram.summary(), {
    count: 0,
    meanMs: 0,
    p50Ms: 0,
    p90Ms: 0,
    p99Ms: 0,
    p999Ms: 0,
    maxMs: 0,
  });
  histogram.record(-1);
  histogram.record(1e12);
  assert.equal(histogram.quantileMs(0.5), 0);
  assert.equal(histogram.quantileMs(1), (2 ** 31 - 1) / 1000);
  assert.equal(histogram.count, 2);
});
