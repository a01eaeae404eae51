import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Attachments } from "./attachments.js";
import { KeyArena } from "./key-arena.js";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

describe("attachments", () => {
  it("hold what a map of keys to leases holds, whatever is attached, moved and detached", () => {
    const key = fc.nat(300).map((number) => `key-${number}`.padEnd(4 + (number % 40), "x"));
    const step = fc.record({ key, lease: fc.integer({ min: -1, max: 9 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 1500 }), (steps) => {
        const attachments = new Attachments();
        const model = new Map<string, number>();
        for (const { key, lease } of steps) {
          if (lease < 0) {
            attachments.detach(bytes(key));
            model.delete(key);
          } else {
            attachments.attach(bytes(key), lease);
            model.set(key, lease);
          }
        }
        assert.equal(attachments.size, model.size);
        for (let lease = 0; lease < 10; lease++) {
          const expected = [...model].filter(([, held]) => held === lease).map(([name]) => name);
          assert.deepEqual(
            attachments.keys(lease).map((name) => name.toString("latin1")),
            expected.sort(),
          );
          assert.equal(attachments.count(lease), expected.length);
        }
        for (const [name, lease] of model) assert.equal(attachments.leaseOf(bytes(name)), lease);
      }),
      { numRuns: 60 },
    );
  });

  it("give memory back when most keys are gone, and keep those that are left", () => {
    const attachments = new Attachments();
    const name = (number: number): Buffer => bytes(`registry/services/instance-${number}`);
    for (let number = 0; number < 200_000; number++) attachments.attach(name(number), number % 1000);
    const full = attachments.bytes;
    for (let number = 0; number < 200_000; number++) if (number % 50 !== 0) attachments.detach(name(number));
    assert.ok(full - attachments.bytes > 4 << 20, `${full} bytes before, ${attachments.bytes} after`);
    for (let number = 0; number < 200_000; number += 50)
      assert.equal(attachments.leaseOf(name(number)), number % 1000);
    assert.equal(attachments.size, 4000);
  });

  it("use memory again that keys left behind", () => {
    const attachments = new Attachments();
    for (let round = 0; round < 200; round++) {
      for (let number = 0; number < 1000; number++) attachments.attach(bytes(`${round}/${number}`), 1);
      for (const key of attachments.keys(1)) attachments.detach(key);
    }
    assert.equal(attachments.size, 0);
    assert.ok(attachments.bytes < 1 << 20, `${attachments.bytes} bytes`);
  });
});

describe("the key arena", () => {
  it("takes keys longer than a segment", () => {
    const arena = new KeyArena();
    const long = Buffer.alloc(1 << 20, "k");
    arena.add(long);
    assert.ok(arena.equals(arena.segment, arena.offset, long));
    assert.deepEqual(arena.get(arena.segment, arena.offset, long.length), long);
  });
});
