import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IntervalIndex } from "./interval-index.js";
import { MatchIndex, type Watched } from "./match-index.js";

const keys = fc.uint8Array({ maxLength: 3, max: 5 });
const ends = fc.oneof(keys, fc.constant(undefined));

test("whatever was added and removed, exactly the intervals that hold a key are found", () => {
  const steps = fc.array(
    fc.record({
      remove: fc.integer({ min: 0, max: 5 }).map((n) => n < 2),
      at: fc.nat(),
      start: keys,
      end: ends,
    }),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(steps, fc.array(keys, { maxLength: 20 }), (sequence, asked) => {
      const index = new IntervalIndex<number>();
      const model: { start: Uint8Array; end: Uint8Array | undefined; name: number }[] = [];
      for (const [name, { remove, at, start, end }] of sequence.entries()) {
        if (remove && model.length > 0) {
          const [gone] = model.splice(at % model.length, 1);
          index.remove(gone!.start, gone!.end, gone!.name);
        } else {
          index.add(start, end, name);
          model.push({ start, end, name });
        }
        assert.equal(index.size, model.length);
      }
      for (const key of [...asked, ...model.flatMap(({ start, end }) => (end ? [start, end] : [start]))]) {
        const found: number[] = [];
        index.collect(key, found);
        const expected = model.filter(
          ({ start, end }) =>
            Buffer.compare(start, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0),
        );
        assert.deepEqual(found.sort(), expected.map(({ name }) => name).sort());
      }
    }),
    { numRuns: 300 },
  );
});

test("ten thousand intervals in order make a tree of logarithmic height, and leave nothing behind", () => {
  const index = new IntervalIndex<number>();
  const key = (n: number): Buffer => Buffer.from(n.toString().padStart(6, "0"));
  for (let n = 0; n < 10_000; n++) index.add(key(n), key(n + 2), n);
  assert.ok(index.height <= 1.45 * Math.log2(10_002), String(index.height));
  const found: number[] = [];
  index.collect(key(5000), found);
  assert.deepEqual(found.sort(), [4999, 5000]);
  for (let n = 0; n < 10_000; n++) index.remove(key(n), key(n + 2), n);
  assert.deepEqual([index.size, index.height], [0, 0]);
});

test("removing what is not there is a bug and said so", () => {
  const index = new IntervalIndex<number>();
  index.add(Buffer.from("a"), undefined, 1);
  assert.throws(() => index.remove(Buffer.from("a"), undefined, 2), /not in the index/);
  assert.throws(() => index.remove(Buffer.from("a"), Buffer.from("b"), 1), /not in the index/);
});

test("watchers of one key and of ranges are found together", () => {
  const index = new MatchIndex<Watched>();
  const watched = (key: string, end?: string | null): Watched => ({
    key: Buffer.from(key),
    end: end === undefined || end === null ? end : Buffer.from(end),
  });
  const single = watched("b", null);
  const again = watched("b", null);
  const range = watched("a", "c");
  const rest = watched("b", undefined);
  for (const one of [single, again, range, rest]) index.add(one);
  const at = (key: string): Watched[] => {
    const found: Watched[] = [];
    index.collect(Buffer.from(key), found);
    return found;
  };
  assert.deepEqual(new Set(at("b")), new Set([single, again, range, rest]));
  assert.deepEqual(at("a"), [range]);
  assert.deepEqual(at("z"), [rest]);
  index.remove(single);
  assert.throws(() => index.remove(single), /not in the index/);
  index.remove(rest);
  assert.deepEqual(new Set(at("b")), new Set([again, range]));
  assert.equal(index.size, 2);
});
