import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import fc from "fast-check";
import { StoreClosed, StoreLocked, StoreUnusable } from "./errors.js";
import { openStore } from "./rocks-store.js";
import type { KeyValueStore, ScanOptions, StoreOperation } from "./types.js";

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "quorate-"));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

async function opened(t: TestContext): Promise<KeyValueStore> {
  const directory = await folder(t);
  const store = await openStore(join(directory, "store"));
  t.after(() => store.close());
  return store;
}

async function rows(store: KeyValueStore, options: ScanOptions): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for await (const chunk of store.scan(options)) {
    assert.ok(chunk.length > 0 && chunk.length <= (options.chunkRows ?? 1000));
    for (const [key, value] of chunk)
      found.push([Buffer.from(key).toString("hex"), Buffer.from(value).toString("hex")]);
  }
  return found;
}

const put = (key: string, value: string): StoreOperation => ({
  type: "put",
  key: Buffer.from(key),
  value: Buffer.from(value),
});
const everything = { gte: Buffer.of(0), lt: Buffer.of(255, 255) };

describe("store", () => {
  test("behaves as a sorted map, scans in both directions included", async (t) => {
    const store = await opened(t);
    const plain = new Map<string, string>();
    // Plain Uint8Arrays, never empty keys, sometimes empty values.
    const key = fc.uint8Array({ minLength: 1, maxLength: 2 });
    const operation = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          type: fc.constant("put" as const),
          key,
          value: fc.uint8Array({ maxLength: 9 }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("del" as const), key }) },
    );
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { maxLength: 30 }),
        key,
        key,
        fc.boolean(),
        fc.option(fc.nat(9), { nil: undefined }),
        fc.integer({ min: 1, max: 7 }),
        async (operations, gte, lt, reverse, limit, chunkRows) => {
          await store.write(operations);
          for (const each of operations) {
            if (each.type === "put") plain.set(hex(each.key), hex(each.value));
            else plain.delete(hex(each.key));
          }
          const expected = [...plain]
            .filter(
              ([at]) => Buffer.from(at, "hex").compare(gte) >= 0 && Buffer.from(at, "hex").compare(lt) < 0,
            )
            .sort(([a], [b]) => Buffer.from(a, "hex").compare(Buffer.from(b, "hex")));
          if (reverse) expected.reverse();
          const options = { gte, lt, reverse, chunkRows, ...(limit === undefined ? {} : { limit }) };
          assert.deepEqual(await rows(store, options), expected.slice(0, limit));
          const values = await store.getMany([gte, lt]);
          assert.deepEqual(
            values.map((value) => value && hex(value)),
            [plain.get(hex(gte)), plain.get(hex(lt))],
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  test("a scan shows the state as of the call, whatever is written while it runs", async (t) => {
    const store = await opened(t);
    await store.write(Array.from({ length: 5000 }, (_, at) => put(`k${10000 + at}`, "old")));
    const scan = store.scan({ gte: Buffer.from("k"), lt: Buffer.from("l") });
    await store.write(Array.from({ length: 5000 }, (_, at) => put(`k${10000 + at}`, "new")));
    await store.clearRange(Buffer.from("k12"), Buffer.from("k13"));
    let count = 0;
    for await (const chunk of scan) {
      for (const [, value] of chunk) assert.equal(Buffer.from(value).toString(), "old");
      count += chunk.length;
    }
    assert.equal(count, 5000);
    assert.equal((await rows(store, everything)).length, 4000);
  });

  test("a scan that is abandoned releases its iterator", async (t) => {
    const store = await opened(t);
    await store.write(Array.from({ length: 5000 }, (_, at) => put(`k${at}`, "v")));
    for (let round = 0; round < 20; round++) {
      for await (const chunk of store.scan({ ...everything, chunkRows: 10 })) {
        assert.equal(chunk.length, 10);
        break;
      }
    }
    assert.equal(store.property("rocksdb.num-snapshots"), "0");
  });

  test("a batch gathered step by step appears as a whole", async (t) => {
    const store = await opened(t);
    const batch = store.batch?.();
    assert.ok(batch);
    batch.put(Buffer.from("a"), Buffer.from("1"));
    batch.put(Uint8Array.of(98), Uint8Array.of());
    batch.del(Buffer.from("a"));
    assert.deepEqual(await rows(store, everything), []);
    await batch.write({ sync: true });
    assert.deepEqual(await rows(store, everything), [["62", ""]]);
  });

  test("nothing reaches the library after close", async (t) => {
    const store = await openStore(await folder(t));
    const batch = store.batch?.();
    assert.ok(batch);
    batch.put(Buffer.from("a"), Buffer.from("1"));
    const scan = store.scan(everything);
    await Promise.all([store.close(), store.close()]);
    await assert.rejects(batch.write(), StoreClosed);
    await assert.rejects(store.getMany([Buffer.from("a")]), StoreClosed);
    assert.throws(() => store.property("rocksdb.stats"), StoreClosed);
    assert.throws(() => store.write([put("a", "1")]), StoreClosed);
    assert.throws(() => store.scan(everything), StoreClosed);
    await assert.rejects(async () => {
      for await (const chunk of scan) assert.fail(`${chunk.length} rows after close`);
    });
  });

  test("a folder that is open, or cannot be, is named", async (t) => {
    const directory = await folder(t);
    const store = await openStore(directory);
    t.after(() => store.close());
    await assert.rejects(openStore(directory), StoreLocked);
    const file = join(directory, "plain");
    await writeFile(file, "");
    await assert.rejects(openStore(join(file, "store")), StoreUnusable);
    await assert.rejects(openStore("/proc/nowhere/store"), (error: Error) => {
      assert.ok(error instanceof StoreUnusable);
      assert.match(error.message, /^cannot open the store in \/proc\/nowhere\/store: /);
      return true;
    });
  });
});
