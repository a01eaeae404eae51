import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { encodeCompaction, encodePut } from "../mvcc/codec.js";
import { NaiveStore } from "../mvcc/naive-store.js";
import { putOf } from "../mvcc/request-generators.js";
import { WatchHub } from "../mvcc/watch/hub.js";
import { CommandKind, encodeCommand } from "./commands.js";
import {
  applyNext,
  commandOf,
  expected,
  type Node,
  openNode,
  type Step,
  steps,
} from "./testing/state-under-test.js";
import { everyEvent, WatchReader, type WatchSpec } from "./testing/watch-reader.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Bench {
  readonly model = new NaiveStore();
  readonly readers: WatchReader[] = [];
  readonly hub: WatchHub;

  constructor(
    readonly node: Node,
    options: { recentBytes?: number; stretchRevisions?: number; stretchBytes?: number } = {},
  ) {
    this.hub = new WatchHub({
      source: node.state,
      onFatal: (error) => {
        throw error;
      },
      ...options,
    });
  }

  watch(spec: WatchSpec, start: number): WatchReader {
    const reader = new WatchReader(spec, start === 0 ? this.node.state.currentRevision + 1 : start);
    this.readers.push(reader);
    this.hub.add(reader.watcher, start);
    return reader;
  }

  async apply(step: Step): Promise<void> {
    expected(this.model, step);
    await applyNext(this.node.state, commandOf(step)!, false);
  }

  async put(key: string, value = ""): Promise<void> {
    await this.apply({ op: "put", request: putOf(key, value) });
  }

  async compact(revision: number): Promise<void> {
    await this.apply({ op: "compaction", request: { revision, physical: true } });
  }

  resume(reader: WatchReader): void {
    reader.ready = true;
    reader.patience = Number.POSITIVE_INFINITY;
    this.hub.resume(reader);
  }

  /** Lets the background work until nobody is behind whose reader takes events. */
  async settle(): Promise<void> {
    for (let turns = 0; this.readers.some(({ watcher }) => watcher.place === "queued"); turns++) {
      assert.ok(turns < 20_000, "watchers catch up");
      await turn();
    }
  }
}

const specs: fc.Arbitrary<WatchSpec> = fc.record({
  key: fc.constantFrom("\0", "a", "c", "ca", "d"),
  end: fc.constantFrom("", "", "\0", "cb", "f"),
  puts: fc.integer({ max: 4, min: 0 }).map((n) => n > 0),
  deletes: fc.integer({ max: 4, min: 0 }).map((n) => n > 0),
  withPrevious: fc.boolean(),
});

type WatchStep =
  | { readonly do: "apply"; readonly step: Step }
  | { readonly do: "watch"; readonly spec: WatchSpec; readonly start: number; readonly patience: number }
  | { readonly do: "cancel" | "stall" | "resume"; readonly which: number }
  | { readonly do: "turns"; readonly count: number }
  | { readonly do: "write"; readonly count: number };

const applied = steps.filter((step) => commandOf(step) !== undefined);
const sequences: fc.Arbitrary<WatchStep[]> = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: applied.map((step): WatchStep => ({ do: "apply", step })) },
    {
      weight: 3,
      arbitrary: fc
        .record({
          spec: specs,
          start: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 30 })),
          patience: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 1, max: 3 })),
        })
        .map((fields): WatchStep => ({ do: "watch", ...fields })),
    },
    {
      weight: 2,
      arbitrary: fc
        .record({ what: fc.constantFrom("cancel", "stall", "resume", "resume"), which: fc.nat() })
        .map(({ what, which }) => ({ do: what, which }) as WatchStep),
    },
    {
      weight: 4,
      arbitrary: fc.integer({ min: 1, max: 4 }).map((count): WatchStep => ({ do: "turns", count })),
    },
    { weight: 2, arbitrary: fc.nat(6).map((count): WatchStep => ({ do: "write", count })) },
  ),
  { minLength: 5, maxLength: 80, size: "max" },
);

describe("watches of the replicated state", () => {
  test("are ordered, unique, atomic, filtered, reliable and bookmarkable, whatever happens", async () => {
    const options = fc.record({
      recentBytes: fc.constantFrom(1, 1000, 1 << 20),
      stretchRevisions: fc.constantFrom(1, 3, 1000),
      stretchBytes: fc.constantFrom(1, 200, 1 << 20),
      slowness: fc.nat(2),
      cacheBytes: fc.constantFrom(1, 1 << 20),
    });
    await fc.assert(
      fc.asyncProperty(sequences, options, async (sequence, { slowness, cacheBytes, ...limits }) => {
        const node = await openNode(undefined, { cacheBytes });
        node.store.slowness = slowness;
        const bench = new Bench(node, limits);
        const { model, readers, hub } = bench;
        const cancelled = new Set<WatchReader>();
        const check = (reader: WatchReader): void => {
          const all = reader.expected(model, model.current);
          const seen = reader.seen.map(({ text }) => text);
          assert.deepEqual(seen, all.slice(0, seen.length));
          const last = reader.seen.at(-1)?.revision;
          if (last !== undefined) assert.equal(seen.length, reader.expected(model, last).length);
          if (hub.isCurrent(reader.watcher)) assert.equal(seen.length, all.length);
        };
        for (const step of sequence) {
          const reader = "which" in step ? readers[step.which % readers.length] : undefined;
          switch (step.do) {
            case "apply":
              await bench.apply(step.step);
              break;
            case "watch":
              bench.watch(step.spec, step.start).patience = step.patience;
              break;
            case "cancel":
              if (reader === undefined) break;
              hub.remove(reader.watcher);
              cancelled.add(reader);
              break;
            case "stall":
              if (reader !== undefined) reader.ready = false;
              break;
            case "resume":
              if (reader !== undefined) bench.resume(reader);
              break;
            case "turns":
              for (let n = 0; n < step.count; n++) await turn();
              break;
            case "write":
              node.buffer.writeSome(step.count);
              break;
            default:
              step satisfies never;
          }
          for (const one of readers) check(one);
        }
        for (const reader of readers) bench.resume(reader);
        await bench.settle();
        for (const reader of readers) {
          check(reader);
          reader.checkPrevious(model);
          if (cancelled.has(reader)) continue;
          const all = reader.expected(model, model.current);
          if (reader.compactedAt === undefined) assert.equal(reader.seen.length, all.length);
          else assert.ok(reader.start < reader.compactedAt && reader.compactedAt <= model.compacted);
        }
        await hub.close();
        assert.equal(hub.recentBytes, 0);
        assert.equal(hub.watchers, readers.filter(({ watcher }) => watcher.place !== "ended").length);
      }),
      { numRuns: 250 },
    );
  });

  test("catch up while writes go on, and are handed over without a gap or a repeat", async () => {
    const bench = new Bench(await openNode(), { recentBytes: 2000, stretchRevisions: 7 });
    for (let n = 0; n < 300; n++) await bench.put(`k${n % 10}`, String(n));
    const early = bench.watch({ ...everyEvent, withPrevious: true }, 2);
    const middle = bench.watch({ ...everyEvent, key: "k3", end: "k5" }, 150);
    for (let n = 0; n < 300; n++) {
      await bench.put(`k${n % 10}`, `more ${n}`);
      if (n % 3 === 0) await turn();
    }
    await bench.settle();
    for (const reader of [early, middle]) {
      assert.deepEqual(
        reader.seen.map(({ text }) => text),
        reader.expected(bench.model, 601),
      );
      reader.checkPrevious(bench.model);
      assert.ok(bench.hub.isCurrent(reader.watcher));
    }
    await bench.hub.close();
  });

  test("see nothing of an entry before the disk can hold it, and then all of it", async () => {
    const bench = new Bench(await openNode(), { recentBytes: 1 });
    const { state } = bench.node;
    await bench.put("a", "1");
    const command = encodeCommand(CommandKind.put, encodePut(putOf("a", "2")));
    const id = { index: state.applied.id.index + 1, epoch: 1 };
    state.apply(command, id, false, undefined);
    bench.model.put(putOf("a", "2"));
    const reader = bench.watch(everyEvent, 2);
    for (let n = 0; n < 20; n++) await turn();
    assert.deepEqual(
      reader.seen.map(({ revision }) => revision),
      [2],
    );
    state.endEntry(id);
    await bench.settle();
    assert.deepEqual(
      reader.seen.map(({ revision }) => revision),
      [2, 3],
    );
    await bench.hub.close();
  });

  test("of a reader that stops reading keep no events, and go on where it stopped", async () => {
    const bench = new Bench(await openNode(), { recentBytes: 5000 });
    const reader = bench.watch(everyEvent, 0);
    const live = bench.watch(everyEvent, 0);
    await bench.put("k", "seen");
    reader.ready = false;
    for (let n = 0; n < 500; n++) await bench.put("k", "x".repeat(100));
    await bench.settle();
    assert.equal(reader.watcher.place, "stalled");
    assert.equal(reader.seen.length, 1);
    assert.equal(live.seen.length, 501);
    assert.ok(bench.hub.recentBytes <= 5000);
    assert.equal(bench.hub.slowWatchers, 1);
    bench.resume(reader);
    await bench.settle();
    assert.deepEqual(reader.seen, live.seen);
    assert.equal(bench.hub.slowWatchers, 0);
    await bench.hub.close();
  });

  test("end when what a reader missed was compacted, and say up to where", async () => {
    const bench = new Bench(await openNode(), { recentBytes: 1 });
    const reader = bench.watch(everyEvent, 0);
    const late = bench.watch(everyEvent, 40);
    reader.ready = false;
    for (let n = 0; n < 20; n++) await bench.put("k", String(n));
    await bench.compact(15);
    bench.resume(reader);
    await bench.settle();
    assert.deepEqual([reader.compactedAt, reader.seen.length, reader.watcher.place], [15, 0, "ended"]);
    const [at, below] = [bench.watch(everyEvent, 15), bench.watch(everyEvent, 14)];
    await bench.settle();
    assert.equal(below.compactedAt, 15);
    assert.deepEqual(
      at.seen.map(({ revision }) => revision),
      [15, 16, 17, 18, 19, 20, 21],
    );
    assert.deepEqual(
      [late.compactedAt, late.seen.length, bench.hub.isCurrent(late.watcher)],
      [undefined, 0, false],
    );
    await bench.hub.close();
  });

  test("begin at revision 1, of which there is no change, and only if nothing was compacted", async () => {
    const bench = new Bench(await openNode());
    const [empty, first] = [bench.watch(everyEvent, 1), bench.watch(everyEvent, 2)];
    assert.ok(bench.hub.isCurrent(empty.watcher));
    for (let n = 0; n < 3; n++) await bench.put("k", String(n));
    const late = bench.watch(everyEvent, 1);
    await bench.settle();
    assert.deepEqual([empty.seen.length, first.seen.length, late.seen.length], [3, 3, 3]);
    await bench.compact(2);
    const tooLate = bench.watch(everyEvent, 1);
    await bench.settle();
    assert.equal(tooLate.compactedAt, 2);
    await bench.hub.close();
  });

  test("see the deletion at the compacted revision itself (etcd 18089)", async () => {
    const bench = new Bench(await openNode());
    await bench.put("k", "1");
    await bench.apply({
      op: "deleteRange",
      request: { key: Buffer.from("k"), rangeEnd: Buffer.alloc(0), prevKv: false },
    });
    await bench.compact(3);
    await bench.node.state.settled();
    const reader = bench.watch({ ...everyEvent, withPrevious: true }, 3);
    await bench.settle();
    assert.deepEqual(reader.seen, [{ revision: 3, text: "delete k 0 3 0  0", previous: undefined }]);
    await bench.hub.close();
  });

  test("go on over an installed snapshot, or end if it has compacted what they need", async () => {
    for (const compactedRevision of [undefined, 50]) {
      const source = new Bench(await openNode());
      for (let n = 0; n < 60; n++) await source.put(`k${n % 7}`, String(n));
      const target = new Bench(await openNode());
      for (let n = 0; n < 20; n++) await target.put(`k${n % 7}`, String(n));
      const reader = target.watch(everyEvent, 0);
      const future = target.watch(everyEvent, 70);
      await target.put("k6", "20");
      if (compactedRevision !== undefined) await source.compact(compactedRevision);
      const { meta, chunks } = await source.node.state.snapshot();
      const sink = await target.node.state.receiveSnapshot(meta);
      for await (const chunk of chunks) await sink.write(chunk);
      await sink.finish();
      await sink.install();
      for (let n = 0; n < 10; n++) {
        const step: Step = { op: "put", request: putOf("after", String(n)) };
        expected(source.model, step);
        await applyNext(target.node.state, commandOf(step)!, false);
      }
      await target.settle();
      assert.deepEqual(
        future.seen.map(({ text }) => text),
        future.expected(source.model, 71),
      );
      if (compactedRevision === undefined) {
        assert.deepEqual(
          reader.seen.map(({ text }) => text),
          reader.expected(source.model, 71),
        );
        assert.ok(target.hub.isCurrent(reader.watcher));
      } else assert.equal(reader.compactedAt, compactedRevision);
      await target.hub.close();
    }
  });

  test("cost nothing when there are none, and end when the hub closes", async () => {
    const bench = new Bench(await openNode());
    let listening = false;
    const { state } = bench.node;
    Object.defineProperty(state, "onRevision", { set: (listener) => (listening = listener !== undefined) });
    const one = bench.watch(everyEvent, 0);
    assert.ok(listening);
    bench.hub.remove(one.watcher);
    bench.hub.remove(one.watcher);
    assert.equal(listening, false);
    const two = bench.watch(everyEvent, 0);
    await bench.hub.close();
    const three = bench.watch(everyEvent, 0);
    assert.deepEqual([one.isStopped, two.isStopped, three.isStopped], [false, true, true]);
    assert.equal(listening, false);
  });

  test("share the encoding of an event, however many match", async () => {
    const bench = new Bench(await openNode(undefined, { cacheBytes: 1 << 20 }));
    const taken: Uint8Array[] = [];
    for (let n = 0; n < 50; n++) {
      const reader = bench.watch({ ...everyEvent, withPrevious: n % 2 === 0 }, 0);
      reader.events = (watcher, _revision, events) => {
        for (const event of events) taken.push(watcher.withPrevious ? event.withPrevious : event.bytes);
      };
    }
    await bench.put("k", "1");
    assert.equal(new Set(taken).size, 1);
    await bench.put("k", "2");
    assert.equal(taken.length, 100);
    assert.equal(new Set(taken).size, 3);
    await bench.hub.close();
  });
});

test("a compaction does not wait for watchers, only for a reading under way", async () => {
  const bench = new Bench(await openNode(), { recentBytes: 1 });
  for (let n = 0; n < 10; n++) await bench.put("k", String(n));
  bench.node.store.slowness = 3;
  const reader = bench.watch({ ...everyEvent, withPrevious: true }, 2);
  reader.patience = 1;
  await turn();
  await turn();
  const command = encodeCommand(CommandKind.compaction, encodeCompaction({ revision: 11, physical: true }));
  bench.model.compact(11);
  await applyNext(bench.node.state, command);
  await bench.node.state.settled();
  bench.resume(reader);
  await bench.settle();
  const seen = reader.seen.map(({ text }) => text);
  assert.deepEqual(seen, reader.expected(bench.model, 11).slice(0, seen.length));
  assert.ok(reader.compactedAt === 11 || seen.length === 10);
  await bench.hub.close();
});
