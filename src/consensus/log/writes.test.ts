import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { LogMark } from "../types.js";
import { Writes } from "./writes.js";

test("a write makes the log durable up to its end", () => {
  const writes = new Writes(3);
  const mark = writes.handOver(1, 5);
  assert.deepEqual([writes.durable, writes.handed], [3, 5]);
  assert.equal(writes.persisted(mark), true);
  assert.equal(writes.durable, 5);
});

test("a mark stands for every write before it, and counts once", () => {
  const writes = new Writes(0);
  writes.handOver(1, 2);
  writes.handOver(1, 4);
  const last = writes.handOver(2, 4);
  assert.equal(writes.persisted(last), true);
  assert.equal(writes.durable, 4);
  assert.equal(writes.persisted(last), false);
});

test("the disk is told of a truncation only when it was given what was cut", () => {
  const writes = new Writes(0);
  writes.handOver(1, 4);
  writes.truncated(6);
  assert.equal(writes.truncateAfter, undefined);
  writes.truncated(3);
  writes.truncated(2);
  assert.deepEqual([writes.truncateAfter, writes.handed], [2, 2]);
  writes.handOver(2, 3);
  assert.equal(writes.truncateAfter, undefined);
});

test("a snapshot that is not written yet leaves nothing durable", () => {
  const writes = new Writes(4);
  writes.truncated(2);
  writes.restarted(9);
  assert.deepEqual([writes.durable, writes.handed, writes.truncateAfter], [0, 9, undefined]);
  writes.persisted(writes.handOver(3, 9));
  assert.equal(writes.durable, 9);
});

test("what is said to be durable is what a disk that writes in order holds of the present log", () => {
  // Each entry of the model is a unique number; the disk is a log of its own that lags behind.
  const act = fc.oneof(
    fc.record({ do: fc.constant("append" as const), count: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ do: fc.constant("cut" as const), count: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ do: fc.constant("write" as const) }),
    fc.record({ do: fc.constant("persist" as const), count: fc.integer({ min: 1, max: 2 }) }),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
      const writes = new Writes(0);
      let epoch = 1;
      let serial = 0;
      const log: number[] = [];
      const disk: number[] = [];
      const batches: { mark: LogMark; cut: number | undefined; from: number; entries: number[] }[] = [];
      for (const each of acts) {
        switch (each.do) {
          case "append":
            for (let i = 0; i < each.count; i++) log.push(++serial);
            break;
          case "cut":
            epoch++;
            log.length = Math.max(0, log.length - each.count);
            writes.truncated(log.length);
            break;
          case "write": {
            const cut = writes.truncateAfter;
            const from = writes.handed;
            batches.push({ mark: writes.handOver(epoch, log.length), cut, from, entries: log.slice(from) });
            break;
          }
          default:
            for (let i = 0; i < each.count; i++) {
              const batch = batches.shift();
              if (batch === undefined) break;
              if (batch.cut !== undefined) disk.length = batch.cut;
              assert.equal(disk.length, batch.from);
              disk.push(...batch.entries);
              writes.persisted(batch.mark);
            }
        }
        const { durable } = writes;
        assert.deepEqual(disk.slice(0, durable), log.slice(0, durable), "claims no more than there is");
        if (batches.length === 0 && writes.handed === log.length && writes.truncateAfter === undefined) {
          assert.equal(durable, log.length, "claims all of it when nothing is under way");
        }
      }
    }),
    { numRuns: 500 },
  );
});
