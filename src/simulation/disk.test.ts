// What a simulated disk keeps and loses, and in which order the rest of the world happens.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { DurableBatch } from "../consensus/engine.js";
import { emptyMembership } from "../consensus/membership/change.js";
import { EntryKind } from "../consensus/types.js";
import { Agenda } from "./agenda.js";
import { Coverage } from "./coverage.js";
import { SimulatedDisk } from "./disk.js";
import { Random } from "./random.js";
import { initialMachine } from "./state-machine.js";

const batch = (index: number, mustSync = true): DurableBatch => ({
  entries: [{ index, epoch: 1, kind: EntryKind.noop, payload: new Uint8Array() }],
  mark: { epoch: 1, index },
  mustSync,
});

function makeDisk(seed: number) {
  const agenda = new Agenda();
  const options = { meanUs: 100, stallProbability: 0, stallUs: 0 };
  const machine = initialMachine(emptyMembership);
  const disk = new SimulatedDisk(machine, agenda, new Random(seed), () => options, new Coverage());
  return { agenda, disk };
}

describe("a simulated disk", () => {
  it("keeps what it reported, in order, and a prefix of the rest, whenever it crashes", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 20 }), fc.nat(30), (seed, count, events) => {
        const { agenda, disk } = makeDisk(seed);
        const reported: number[] = [];
        for (let index = 1; index <= count; index++) {
          disk.append(batch(index), undefined, () => reported.push(index));
          if (index % 3 === 0) agenda.next()?.();
        }
        for (let i = 0; i < events; i++) agenda.next()?.();
        disk.crash();
        const kept = disk.log.entries.map(({ index }) => index);
        assert.deepEqual(
          kept,
          kept.map((_, at) => at + 1),
        );
        assert.deepEqual(
          reported,
          reported.map((_, at) => at + 1),
        );
        assert.ok(kept.length >= reported.length && kept.length <= count);
      }),
    );
  });

  it("reports nothing after a crash", () => {
    const { agenda, disk } = makeDisk(1);
    disk.append(batch(1), undefined, () => assert.fail("the process that waited is gone"));
    disk.crash();
    for (let run = agenda.next(); run !== undefined; run = agenda.next()) run();
  });

  it("writes what arrives during a write with the next one, and says which report is the last", () => {
    const { agenda, disk } = makeDisk(2);
    const reports: string[] = [];
    for (const index of [1, 2, 3]) {
      disk.append(batch(index), undefined, (last) => reports.push(`${index}${last ? " last" : ""}`));
    }
    agenda.next()?.();
    assert.deepEqual(reports, ["1 last"]);
    agenda.next()?.();
    assert.deepEqual(reports, ["1 last", "2", "3 last"]);
  });

  it("does not hold what was written without a sync until something is synced", () => {
    const { agenda, disk } = makeDisk(3);
    disk.append(batch(1, false), undefined, () => {});
    agenda.next()?.();
    assert.equal(disk.log.lastIndex, 0);
    disk.append(batch(2), undefined, () => {});
    agenda.next()?.();
    assert.equal(disk.log.lastIndex, 2);
  });
});

describe("the agenda", () => {
  it("runs events by time, and those of one instant in the order entered", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 60 }), (delays) => {
        const agenda = new Agenda();
        const seen: { delay: number; order: number }[] = [];
        delays.forEach((delay, order) => {
          agenda.after(delay, () => seen.push({ delay, order }));
        });
        for (let run = agenda.next(); run !== undefined; run = agenda.next()) run();
        const expected = delays
          .map((delay, order) => ({ delay, order }))
          .sort((a, b) => a.delay - b.delay || a.order - b.order);
        assert.deepEqual(seen, expected);
      }),
    );
  });
});

describe("the random stream", () => {
  it("follows from the seed, all 53 bits of it", () => {
    const draw = (seed: number) => {
      const random = new Random(seed);
      return [random.next32(), random.next32(), random.fork().next32()];
    };
    assert.deepEqual(draw(7), draw(7));
    assert.notDeepEqual(draw(7), draw(8));
    assert.notDeepEqual(draw(7), draw(7 + 2 ** 32));
  });

  it("is about uniform", () => {
    const random = new Random(1);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) counts[random.below(10)]!++;
    for (const count of counts) assert.ok(count > 850 && count < 1150, `${counts}`);
  });
});
