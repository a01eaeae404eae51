import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OpenLoopSchedule } from "./schedule.js";

test("nothing is due before its time, and everything due is handed out with its own time", () => {
  const schedule = new OpenLoopSchedule(1000, 50);
  assert.equal(schedule.take(49.9), undefined);
  assert.equal(schedule.take(52.5), 50);
  assert.equal(schedule.take(52.5), 51);
  assert.equal(schedule.take(52.5), 52);
  assert.equal(schedule.take(52.5), undefined);
  assert.equal(schedule.nextMs, 53);
});

test("however late and irregular the polls, the rate is kept without drift", () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 100_000, noNaN: true }),
      fc.array(fc.double({ min: 0, max: 50, noNaN: true }), { maxLength: 20 }),
      (rate, gaps) => {
        const schedule = new OpenLoopSchedule(rate, 0);
        let now = 0;
        let sent = 0;
        for (const gap of gaps) {
          now += gap;
          for (let at = schedule.take(now); at !== undefined; at = schedule.take(now)) {
            assert.ok(at <= now && Math.abs(at - (sent * 1000) / rate) < 1e-6);
            sent++;
          }
        }
        if (gaps.length > 0) assert.ok(Math.abs(sent - (now * rate) / 1000) <= 1 + 1e-6);
      },
    ),
  );
});

test("a rate of nothing is refused", () => {
  for (const rate of [0, -1, Number.NaN]) assert.throws(() => new OpenLoopSchedule(rate, 0), RangeError);
});
