import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { KeyIndex, newest } from "./key-index.js";

interface State {
  create: number;
  main: number;
  version: number;
  sub: number;
}

/** The plain version: every key's revisions in a list. */
class Model {
  readonly keys = new Map<string, State[]>();

  at(key: string, revision: number): State | undefined {
    return this.keys.get(key)?.findLast((state) => state.main <= revision);
  }

  change(key: string, main: number, sub: number, deletion: boolean): void {
    const states = this.keys.get(key) ?? [];
    const last = states.at(-1);
    const alive = last !== undefined && last.version > 0;
    states.push(
      deletion
        ? { create: 0, main, version: 0, sub }
        : { create: alive ? last.create : main, main, version: alive ? last.version + 1 : 1, sub },
    );
    this.keys.set(key, states);
  }

  range(start: string, end: string | undefined, revision: number): [string, State][] {
    const found: [string, State][] = [];
    for (const key of [...this.keys.keys()].sort(order)) {
      if (order(key, start) < 0 || (end !== undefined && order(key, end) >= 0)) continue;
      const state = this.at(key, revision);
      if (state !== undefined && state.version > 0) found.push([key, state]);
    }
    return found;
  }

  /** The revisions that a compaction makes unreadable, as "main.sub". */
  compact(revision: number): string[] {
    const gone: string[] = [];
    for (const [key, states] of this.keys) {
      const boundary = states.findLastIndex((state) => state.main <= revision);
      if (boundary < 0) continue;
      const state = states[boundary]!;
      const keep = state.version > 0 || state.main === revision ? boundary : boundary + 1;
      for (const old of states.splice(0, keep)) gone.push(`${old.main}.${old.sub}`);
      if (states.length === 0) this.keys.delete(key);
    }
    return gone.sort();
  }
}

const bytes = (key: string): Uint8Array => Buffer.from(key, "latin1");
const text = (key: Uint8Array): string => Buffer.from(key).toString("latin1");
const order = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a, "latin1"), Buffer.from(b, "latin1"));

function indexRange(
  index: KeyIndex,
  start: string,
  end: string | undefined,
  revision: number,
): [string, State][] {
  const found: [string, State][] = [];
  index.scan(bytes(start), end === undefined ? undefined : bytes(end), revision, (leaf, slot) => {
    const [create, main, version, sub] = index.cell as unknown as [number, number, number, number];
    found.push([text(leaf.key(slot)), { create, main, version, sub }]);
    return true;
  });
  return found;
}

function sweep(index: KeyIndex, revision: number): string[] {
  const gone: string[] = [];
  let cursor: Uint8Array | undefined;
  do {
    cursor = index.sweepLeaf(cursor, revision, (chain, lastMain, lastSub) => {
      for (let node = chain; node !== 0; ) {
        gone.push(`${index.history.main(node)}.${index.history.sub(node)}`);
        const next = index.history.next(node);
        index.history.release(node);
        node = next;
      }
      if (lastMain !== 0) gone.push(`${lastMain}.${lastSub}`);
    });
  } while (cursor !== undefined);
  return gone.sort();
}

/** Few letters and shared prefixes, so that keys collide, nest and fall on both sides of splits. */
const keys = fc.oneof(
  fc.string({ unit: fc.constantFrom("a", "b", "\0", "\xff"), minLength: 1, maxLength: 4 }),
  fc.integer({ min: 0, max: 700 }).map((n) => `/registry/pods/${n}`),
);

const operations = fc.oneof(
  { weight: 12, arbitrary: fc.record({ op: fc.constant("put" as const), key: keys }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("remove" as const), key: keys }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("fill" as const), from: fc.nat(500), count: fc.nat(300) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("removeRange" as const), start: keys, end: fc.option(keys) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("range" as const),
      start: keys,
      end: fc.option(keys),
      back: fc.nat(40),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("compact" as const), back: fc.nat(60) }) },
);

test("the index answers as a plain list of revisions does, through puts, deletes and compactions", () => {
  fc.assert(
    fc.property(fc.array(operations, { maxLength: 250 }), (steps) => {
      const index = new KeyIndex();
      const model = new Model();
      let current = 1;
      let compacted = 0;
      for (const step of steps) {
        switch (step.op) {
          case "put":
            current++;
            index.put(bytes(step.key), current, 0);
            model.change(step.key, current, 0, false);
            assert.deepEqual([...index.cell], Object.values(model.at(step.key, current)!));
            break;
          case "remove": {
            const alive = (model.at(step.key, newest)?.version ?? 0) > 0;
            assert.equal(index.remove(bytes(step.key), current + 1, 7), alive);
            if (alive) model.change(step.key, ++current, 7, true);
            break;
          }
          case "fill":
            current++;
            for (let sub = 0; sub < step.count; sub++) {
              const key = `/registry/pods/${step.from + ((sub * 7919) % 400)}`;
              index.put(bytes(key), current, sub);
              model.change(key, current, sub, false);
            }
            break;
          case "removeRange": {
            const gone = model.range(step.start, step.end ?? undefined, newest).map(([key]) => key);
            const seen: string[] = [];
            const end = step.end === null ? undefined : bytes(step.end);
            const count = index.removeRange(bytes(step.start), end, current + 1, 0, (key) =>
              seen.push(text(key)),
            );
            assert.equal(count, gone.length);
            assert.deepEqual(seen, gone);
            if (gone.length > 0) current++;
            for (const [sub, key] of gone.entries()) model.change(key, current, sub, true);
            break;
          }
          case "range": {
            const revision = step.back === 0 ? newest : Math.max(compacted, current - step.back);
            const expected = model.range(step.start, step.end ?? undefined, revision);
            assert.deepEqual(indexRange(index, step.start, step.end ?? undefined, revision), expected);
            const end = step.end === null ? undefined : bytes(step.end);
            assert.equal(index.count(bytes(step.start), end, revision), expected.length);
            for (const [key] of expected) assert.ok(index.get(bytes(key), revision));
            break;
          }
          case "compact": {
            const revision = Math.max(compacted, current - step.back);
            compacted = revision;
            assert.deepEqual(sweep(index, revision), model.compact(revision));
            break;
          }
          default:
            step satisfies never;
        }
        assert.equal(index.size, model.range("", undefined, newest).length);
      }
      assert.equal(
        index.history.size,
        [...model.keys.values()].reduce((sum, states) => sum + states.length - 1, 0),
      );
    }),
    { numRuns: 150 },
  );
});

test("a state of a key with many revisions is found at every old revision, also after compactions", () => {
  const index = new KeyIndex();
  const key = bytes("hot");
  for (let main = 1; main <= 5000; main++) index.put(key, main * 2, 0);
  let other = 20_000;
  for (const compacted of [0, 1234, 4000, 9000]) {
    sweep(index, compacted);
    // The memory of what was dropped is used again at once.
    for (let n = 0; n < 2000; n++) index.put(bytes("other"), other++, 0);
    for (let revision = Math.max(2, compacted); revision <= 10_000; revision += 37) {
      assert.ok(index.get(key, revision));
      assert.equal(index.cell[1], revision - (revision % 2));
      assert.equal(index.cell[2], index.cell[1]! / 2);
    }
  }
  assert.equal(index.history.size, 500 + 7999);
});

test("deleting and compacting everything gives the memory of the leaves back", () => {
  const index = new KeyIndex();
  for (let n = 0; n < 50_000; n++) index.put(bytes(`key ${(n * 7919) % 50_000}`), n + 2, 0);
  const full = index.bytes;
  index.removeRange(bytes("\0"), undefined, 60_000, 0, () => {});
  assert.equal(index.size, 0);
  const gone = sweep(index, 60_001);
  assert.equal(gone.length, 100_000);
  assert.ok(index.bytes - index.history.bytes < full / 100);
  index.put(bytes("again"), 60_002, 0);
  assert.equal(index.countNewest(bytes("a"), bytes("b")), 1);
});

test("a key costs at most 100 bytes beyond itself, in whatever order the keys arrive", () => {
  const count = 50_000;
  const orders: [string, (n: number) => number][] = [
    ["ascending", (n) => n],
    ["descending", (n) => count - 1 - n],
    ["scattered", (n) => (n * 7919) % count],
    ["ascending in two places", (n) => (n % 2) * 1_000_000 + n],
    ["descending in two places", (n) => (n % 2) * 1_000_000 + count - n],
  ];
  for (const [name, order] of orders) {
    const index = new KeyIndex();
    for (let n = 0; n < count; n++)
      index.put(bytes(`/registry/pods/x${String(order(n)).padStart(16, "0")}`), n + 2, 0);
    assert.equal(index.size, count);
    const beyond = index.bytes / count - 32;
    assert.ok(beyond <= 100, `${beyond} bytes, ${name}`);
    let previous = "";
    index.scan(bytes("\0"), undefined, newest, (leaf, slot) => {
      const key = text(leaf.key(slot));
      assert.ok(previous < key);
      previous = key;
      return true;
    });
  }
});

test("keys of very different sizes live in one index", () => {
  const index = new KeyIndex();
  const sizes = [1, 100_000, 3, 70_000, 65_536, 10, 200_000, 90_000];
  sizes.forEach((size, at) => {
    index.put(Buffer.alloc(size, 97 + at), at + 2, 0);
  });
  const found: number[] = [];
  index.scan(bytes("\0"), undefined, newest, (leaf, slot) => {
    found.push(leaf.key(slot).length);
    return true;
  });
  assert.deepEqual(found, sizes);
});
