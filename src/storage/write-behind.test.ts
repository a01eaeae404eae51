import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { StoreClosed } from "./errors.js";
import { openStore } from "./rocks-store.js";
import type { KeyValueStore, StoreOperation, WriteBehindOptions } from "./types.js";
import { createWriteBehind } from "./write-behind.js";

/** A store that writes only when told to, to look between. */
class SteppedStore {
  readonly rows = new Map<string, string>();
  readonly waiting: {
    operations: readonly StoreOperation[];
    sync: boolean;
    settle: (error?: Error) => void;
  }[] = [];
  under = 0;

  write(operations: readonly StoreOperation[], options?: { readonly sync?: boolean }): Promise<void> {
    assert.equal(++this.under, 1, "one batch at a time");
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        this.under--;
        if (error !== undefined) {
          reject(error);
          return;
        }
        for (const each of operations) {
          const key = Buffer.from(each.key).toString();
          if (each.type === "put") this.rows.set(key, Buffer.from(each.value).toString());
          else this.rows.delete(key);
        }
        resolve();
      };
      this.waiting.push({ operations, sync: options?.sync === true, settle });
    });
  }

  /** Lets the batch under way end. */
  async step(error?: Error): Promise<boolean> {
    const next = this.waiting.shift();
    if (next === undefined) throw new Error("nothing is being written");
    next.settle(error);
    for (let turns = 0; turns < 5; turns++) await Promise.resolve();
    return next.sync;
  }

  get store(): KeyValueStore {
    return this as unknown as KeyValueStore;
  }
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const stateKey = bytes("state");
const fail = (error: Error): void => {
  throw error;
};
const create = (store: SteppedStore, options: Partial<WriteBehindOptions> = {}) =>
  createWriteBehind(store.store, { onFatal: fail, delayMs: 1e6, syncIntervalMs: 1e6, ...options });

describe("write-behind buffer", () => {
  test("what is put can be read at once, and until it is written", async () => {
    const store = new SteppedStore();
    const buffer = create(store);
    buffer.put(bytes("a"), bytes("1"));
    assert.deepEqual(buffer.get(bytes("a")), bytes("1"));
    buffer.del(bytes("b"));
    assert.equal(buffer.get(bytes("b")), null);
    assert.equal(buffer.get(bytes("c")), undefined);
    buffer.commit(1, stateKey, bytes("s1"));
    const flushed = buffer.flush();
    buffer.put(bytes("a"), bytes("2"));
    assert.deepEqual(buffer.get(bytes("a")), bytes("2"));
    assert.equal(buffer.get(bytes("b")), null);
    await store.step();
    await flushed;
    assert.equal(buffer.get(bytes("b")), undefined, "it is in the store");
    assert.deepEqual(buffer.get(bytes("a")), bytes("2"));
    assert.equal(buffer.writtenIndex, 1);
    assert.equal(store.rows.get("a"), "1");
  });

  test("a commit is never divided, nor written with part of the next", async () => {
    const store = new SteppedStore();
    const buffer = create(store, { batchBytes: 30 });
    buffer.put(bytes("a1"), bytes("x".repeat(50)));
    buffer.put(bytes("a2"), bytes("x".repeat(50)));
    assert.equal(store.waiting.length, 0, "full, but not committed");
    buffer.commit(1, stateKey, bytes("1"));
    buffer.put(bytes("b1"), bytes("y"));
    buffer.commit(2, stateKey, bytes("2"));
    buffer.put(bytes("c1"), bytes("z"));
    const flushed = buffer.flush();
    await store.step();
    assert.deepEqual([...store.rows.keys()].sort(), ["a1", "a2", "state"]);
    assert.equal(store.rows.get("state"), "1");
    await store.step();
    await flushed;
    assert.deepEqual([...store.rows.keys()].sort(), ["a1", "a2", "b1", "state"]);
    assert.equal(store.rows.get("state"), "2");
    assert.deepEqual(buffer.get(bytes("c1")), bytes("z"));
    buffer.commit(3, stateKey, bytes("3"));
    const again = buffer.flush();
    await store.step();
    await again;
    assert.equal(store.rows.get("c1"), "z");
    assert.equal(buffer.bufferedBytes, 0);
  });

  test("the durable index follows synced batches only; flush with sync makes one when all is written", async () => {
    const store = new SteppedStore();
    const buffer = create(store, { initialIndex: 7 });
    assert.equal(buffer.durableIndex, 7);
    buffer.put(bytes("a"), bytes("1"));
    buffer.commit(8, stateKey, bytes("8"));
    const written = buffer.flush();
    assert.equal(await store.step(), false);
    await written;
    assert.deepEqual([buffer.writtenIndex, buffer.durableIndex], [8, 7]);
    const durable = buffer.flush({ sync: true });
    assert.equal(await store.step(), true, "the last state row once more, synced");
    await durable;
    assert.equal(buffer.durableIndex, 8);
    assert.equal(store.rows.get("state"), "8");
    await buffer.flush({ sync: true });
    assert.equal(store.waiting.length, 0);
  });

  test("a sync follows by itself: after the interval, and after enough bytes", async () => {
    const store = new SteppedStore();
    const timed = create(store, { delayMs: 0, syncIntervalMs: 1 });
    timed.put(bytes("a"), bytes("1"));
    timed.commit(1, stateKey, bytes("1"));
    while (timed.durableIndex < 1) {
      while (store.waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
      await store.step();
    }
    const large = create(store, { syncBytes: 100, batchBytes: 60 });
    const syncs: boolean[] = [];
    for (let index = 1; index <= 6; index++) {
      large.put(bytes("k"), bytes("v".repeat(60)));
      large.commit(index, stateKey, bytes("s"));
      syncs.push(await store.step());
    }
    assert.deepEqual(syncs, [false, false, true, false, false, true]);
  });

  test("the first failed write is reported once, and nothing is written afterwards", async () => {
    const store = new SteppedStore();
    const fatal: Error[] = [];
    const buffer = create(store, { onFatal: (error) => fatal.push(error), batchBytes: 1 });
    buffer.put(bytes("a"), bytes("1"));
    buffer.commit(1, stateKey, bytes("1"));
    buffer.put(bytes("b"), bytes("2"));
    buffer.commit(2, stateKey, bytes("2"));
    const flushed = buffer.flush();
    flushed.catch(() => undefined);
    await store.step(new Error("no space left"));
    await assert.rejects(flushed, /no space left/);
    buffer.commit(3, stateKey, bytes("3"));
    await assert.rejects(buffer.flush(), /no space left/);
    await assert.rejects(buffer.close(), /no space left/);
    assert.equal(store.waiting.length, 0);
    assert.deepEqual(
      fatal.map((error) => error.message),
      ["no space left"],
    );
    assert.deepEqual([buffer.writtenIndex, buffer.durableIndex], [0, 0]);
    assert.deepEqual(buffer.get(bytes("b")), bytes("2"), "still readable");
  });

  test("overload shows above the bound and ends below it", async () => {
    const store = new SteppedStore();
    const buffer = create(store, { limitBytes: 100 });
    buffer.put(bytes("a"), bytes("v".repeat(120)));
    assert.equal(buffer.overloaded, true);
    buffer.commit(1, stateKey, bytes("1"));
    const closed = buffer.close();
    await store.step();
    await closed;
    assert.equal(buffer.overloaded, false);
    assert.equal(buffer.bufferedBytes, 0);
    assert.throws(() => buffer.put(bytes("a"), bytes("1")), StoreClosed);
  });

  test("buffer over store reads as the plain map does, and the store is always at a commit", async () => {
    const key = fc.constantFrom("a", "b", "c", "d");
    const step = fc.oneof(
      fc.record({ do: fc.constant("put" as const), key, value: fc.string({ maxLength: 20 }) }),
      fc.record({ do: fc.constant("del" as const), key }),
      fc.record({ do: fc.constant("commit" as const) }),
      fc.record({ do: fc.constant("flush" as const), sync: fc.boolean() }),
      fc.record({ do: fc.constant("written" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 80 }),
        fc.integer({ min: 1, max: 60 }),
        async (steps, batchBytes) => {
          const store = new SteppedStore();
          const buffer = create(store, { batchBytes });
          const plain = new Map<string, string>();
          const commits = [JSON.stringify([])];
          let index = 0;
          const waits: Promise<void>[] = [];
          for (const each of steps) {
            if (each.do === "put") {
              buffer.put(bytes(each.key), bytes(each.value));
              plain.set(each.key, each.value);
            } else if (each.do === "del") {
              buffer.del(bytes(each.key));
              plain.delete(each.key);
            } else if (each.do === "commit") {
              buffer.commit(++index, stateKey, bytes(String(index)));
              commits.push(JSON.stringify([...plain].sort()));
            } else if (each.do === "flush") waits.push(buffer.flush({ sync: each.sync }));
            else if (store.waiting.length > 0) await store.step();
            for (const name of ["a", "b", "c", "d"]) {
              const buffered = buffer.get(bytes(name));
              const seen =
                buffered === undefined ? store.rows.get(name) : buffered && Buffer.from(buffered).toString();
              assert.equal(seen ?? undefined, plain.get(name));
            }
            const rows = [...store.rows].filter(([name]) => name !== "state").sort();
            assert.equal(JSON.stringify(rows), commits[Number(store.rows.get("state") ?? 0)]);
            assert.equal(buffer.writtenIndex, Number(store.rows.get("state") ?? 0));
          }
          const closed = buffer.close();
          while (store.waiting.length > 0) await store.step();
          await Promise.all([closed, ...waits]);
          assert.equal(buffer.durableIndex, index);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("after kill -9 the store holds the effects of a prefix of the commits", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(directory, { recursive: true }));
    const program = `
      const { openStore } = await import(${JSON.stringify(new URL("./rocks-store.js", import.meta.url).href)});
      const { createWriteBehind } = await import(${JSON.stringify(new URL("./write-behind.js", import.meta.url).href)});
      const store = await openStore(${JSON.stringify(directory)}, { writeBufferBytes: 256 * 1024 });
      const state = Buffer.from("state");
      const [row] = await store.getMany([state]);
      let index = row === undefined ? 0 : Number(row);
      const buffer = createWriteBehind(store, { initialIndex: index, batchBytes: 4096, syncBytes: 65536, delayMs: 1,
        onFatal: (error) => { throw error; } });
      const turn = () => {
        for (let each = 0; each < 20; each++) {
          index++;
          const name = String(index).padStart(9, "0");
          buffer.put(Buffer.from("x" + name), Buffer.alloc(60, index));
          buffer.put(Buffer.from("y" + name), Buffer.alloc(60, index));
          buffer.commit(index, state, Buffer.from(String(index)));
        }
        process.stdout.write(buffer.writtenIndex + "\\n");
        setImmediate(turn);
      };
      turn();`;
    let before = 0;
    for (let round = 0; round < 5; round++) {
      const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let written = 0;
      let text = "";
      for await (const chunk of child.stdout) {
        text += String(chunk);
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        written = Math.max(written, ...lines.map(Number));
        if (written > before + 300 * (round + 1)) break;
      }
      const gone = child.exitCode === null ? once(child, "exit") : Promise.resolve();
      child.kill("SIGKILL");
      await gone;
      const store = await openStore(directory);
      const [row] = await store.getMany([stateKey]);
      const index = Number(Buffer.from(row ?? []).toString());
      assert.ok(index >= written, `${written} were written, the state says ${index}`);
      for (const first of ["x", "y"]) {
        let count = 0;
        for await (const chunk of store.scan({ gte: bytes(first), lt: bytes(`${first}z`) })) {
          for (const [key] of chunk) {
            assert.equal(Number(Buffer.from(key).toString().slice(1)), ++count, "no hole");
          }
        }
        assert.equal(count, index, "nothing beyond the state row");
      }
      await store.close();
      before = index;
    }
  });

  test("an abandoned buffer leaves a closed store alone", async () => {
    const folder = await mkdtemp(join(tmpdir(), "quorate-abandon-"));
    try {
      const store = await openStore(folder);
      const buffer = createWriteBehind(store, { onFatal: fail, delayMs: 1, syncIntervalMs: 1 });
      buffer.put(bytes("a"), bytes("1"));
      buffer.commit(1, stateKey, bytes("s1"));
      await buffer.flush();
      buffer.put(bytes("a"), bytes("2"));
      buffer.commit(2, stateKey, bytes("s2"));
      const waiting = assert.rejects(buffer.flush(), StoreClosed);
      buffer.abandon();
      await waiting;
      await store.close();
      // Longer than both delays: a timer still set would throw here.
      await new Promise((resolve) => setTimeout(resolve, 20));
      await assert.rejects(buffer.flush(), StoreClosed);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
