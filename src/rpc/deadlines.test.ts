import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DeadlineWheel } from "./deadlines.js";

test("every deadline expires once, never early and at most one slot late", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -50, max: 20_000 }), { maxLength: 50 }),
      fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 20, maxLength: 40 }),
      (delays, steps) => {
        let now = 1234.5;
        const wheel = new DeadlineWheel(() => now);
        const expired = new Map<number, number>();
        delays.forEach((delay, index) => {
          wheel.add(1234.5 + delay, () => {
            assert.ok(!expired.has(index), "expired twice");
            expired.set(index, now);
          });
        });
        let previous = now;
        for (const step of steps) {
          previous = now;
          now += step;
          wheel.advance();
          delays.forEach((delay, index) => {
            const at = 1234.5 + Math.max(0, delay);
            if (expired.get(index) === now) {
              assert.ok(at <= now, "early");
              assert.ok(at > previous - 20, "late");
            }
            // The slot after the one being added to, and the rounding of its start.
            if (at + 20 <= now) assert.ok(expired.has(index), `due ${at}, now ${now}`);
          });
        }
        wheel.stop();
      },
    ),
  );
});

test("a removed deadline does not expire, and removing again is harmless", () => {
  let now = 0;
  const wheel = new DeadlineWheel(() => now);
  const kept: string[] = [];
  const first = wheel.add(5, () => kept.push("first"));
  wheel.add(5, () => kept.push("second"));
  const third = wheel.add(5, () => kept.push("third"));
  wheel.remove(first);
  wheel.remove(first);
  now = 100;
  wheel.advance();
  wheel.remove(third);
  assert.deepEqual(kept.sort(), ["second", "third"]);
  assert.equal(wheel.size, 0);
});

test("a deadline added while one expires is kept for its own time", () => {
  let now = 0;
  const wheel = new DeadlineWheel(() => now);
  const kept: number[] = [];
  wheel.add(15, () => wheel.add(25, () => kept.push(now)));
  now = 30;
  wheel.advance();
  now = 50;
  wheel.advance();
  assert.deepEqual(kept, [50]);
  wheel.stop();
});
