import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { DeadlineHeap } from "./deadline-heap.js";
import { highOf, IdTable, idOf, lowOf } from "./lease-id.js";

const ids = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -40n, max: 40n }),
  fc.bigInt({ min: -8n, max: 8n }).map((high) => high << 32n),
);

describe("lease IDs", () => {
  it("are the same after a detour over halves, negative ones too", () => {
    fc.assert(fc.property(ids, (id) => assert.equal(idOf(highOf(id), lowOf(id)), id)));
  });

  it("lead to the slot they were added with until they are removed", () => {
    const step = fc.record({ id: ids, add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const table = new IdTable();
        const model = new Map<bigint, number>();
        for (const [slot, { id, add }] of steps.entries()) {
          if (add && !model.has(id)) {
            table.add(highOf(id), lowOf(id), slot);
            model.set(id, slot);
          } else {
            table.remove(highOf(id), lowOf(id));
            model.delete(id);
          }
        }
        assert.equal(table.size, model.size);
        for (const { id } of steps) assert.equal(table.find(highOf(id), lowOf(id)), model.get(id) ?? -1);
      }),
    );
  });
});

describe("the heap of deadlines", () => {
  it("hands out slots in the order of their times, however they were moved and removed", () => {
    const step = fc.record({
      slot: fc.nat(120),
      time: fc.option(fc.integer({ min: 0, max: 1000 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const heap = new DeadlineHeap();
        const model = new Map<number, number>();
        for (const { slot, time } of steps) {
          if (time === undefined) heap.remove(slot);
          else heap.set(slot, time);
          if (time === undefined) model.delete(slot);
          else model.set(slot, time);
          assert.equal(heap.firstTime, Math.min(...model.values()));
        }
        const left: number[] = [];
        while (heap.size > 0) {
          assert.equal(model.get(heap.first), heap.firstTime);
          left.push(heap.firstTime);
          heap.remove(heap.first);
        }
        assert.deepEqual(
          left,
          [...model.values()].sort((a, b) => a - b),
        );
      }),
    );
  });
});
