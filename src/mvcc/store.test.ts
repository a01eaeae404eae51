// The numbered rules are those of etcd's documented behaviour: revisions and headers (H), Put (11-14),
// DeleteRange (16), Compaction (27-30).

import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { OpResult, RangeResult, TxnResult } from "./messages.js";
import { deleteOf, op, putOf, rangeOf, text } from "./request-generators.js";
import { accepted, all, refusal, StoreUnderTest } from "./store-under-test.js";

let under: StoreUnderTest;
beforeEach(() => {
  under = new StoreUnderTest();
});

describe("revisions and headers", () => {
  test("a fresh store is at revision 1 and was never compacted; the first write makes 2 (H1)", async () => {
    assert.equal(under.store.currentRevision, 1);
    assert.equal(under.store.compactedRevision, -1);
    assert.equal(accepted(await under.put("a")).revision, 2);
  });

  test("a deletion of nothing and a transaction without effect do not move the revision (H2, H4)", async () => {
    await under.put("a");
    assert.equal((await under.del("nothing")).revision, 2);
    assert.equal(accepted(await under.txn([], [op.range("a"), op.del("nothing")])).revision, 2);
    assert.equal(under.store.currentRevision, 2);
    assert.equal((await under.del("a")).revision, 3);
  });

  test("a transaction makes one revision, its changes numbered in the order of execution (H2)", async () => {
    const seen: [number, string[]][] = [];
    under.store.onRevision = (revision, events) => {
      seen.push([revision, events.map((event) => `${event.type} ${text(event.kv.key)}`)]);
    };
    await under.put("z");
    accepted(await under.txn([], [op.put("b"), op.txn([], [op.put("a")]), op.del("z"), op.put("c")]));
    assert.deepEqual(seen, [
      [2, ["put z"]],
      [3, ["put b", "put a", "delete z", "put c"]],
    ]);
  });

  test("a range reports the current revision also when it reads an old one (H3)", async () => {
    for (let n = 0; n < 5; n++) await under.put("a", String(n));
    const result = await under.range("a", "", { revision: 3 });
    assert.equal(result.revision, 6);
    assert.equal(text(result.kvs[0]!.value), "1");
  });

  test("results inside a transaction carry the revision as of their turn, a nested one none (H5)", async () => {
    await under.put("a");
    const result = accepted(
      await under.txn([], [op.range("a"), op.put("b"), op.range("a"), op.txn([], [op.range("b")])]),
    );
    assert.deepEqual(
      result.responses.map((response: OpResult) => response.revision),
      [2, 3, 3, 0],
    );
    assert.equal(((result.responses[3] as TxnResult).responses[0] as RangeResult).revision, 3);
  });

  test("a compaction reports the current revision (H8)", async () => {
    for (let n = 0; n < 5; n++) await under.put("a", String(n));
    assert.equal(under.compact(3).revision, 6);
  });
});

describe("put", () => {
  test("a lease that does not exist is refused before anything else (11)", async () => {
    assert.deepEqual(await under.put("a", "", { lease: 5n }), refusal("leaseNotFound"));
    assert.deepEqual(await under.put("a", "", { lease: 5n, ignoreValue: true }), refusal("leaseNotFound"));
    assert.equal(under.store.currentRevision, 1);
  });

  test("ignore_value and ignore_lease need the key and keep what they name (11, 13)", async () => {
    under = new StoreUnderTest((lease) => lease === 5n || lease === -6n);
    assert.deepEqual(await under.put("a", "", { ignoreValue: true }), refusal("keyNotFound"));
    assert.deepEqual(await under.put("a", "v", { ignoreLease: true }), refusal("keyNotFound"));
    await under.put("a", "one", { lease: 5n });
    await under.put("a", "", { ignoreValue: true, lease: -6n });
    let [kv] = (await under.range("a")).kvs;
    assert.deepEqual([text(kv!.value), kv!.lease], ["one", -6n]);
    await under.put("a", "two", { ignoreLease: true });
    [kv] = (await under.range("a")).kvs;
    assert.deepEqual([text(kv!.value), kv!.lease, kv!.version], ["two", -6n, 3]);
    await under.put("a", "three");
    [kv] = (await under.range("a")).kvs;
    assert.equal(kv!.lease, 0n);
  });

  test("every put makes a version, also of equal content; a deletion starts anew at 1 (12)", async () => {
    await under.put("a", "same");
    await under.put("a", "same");
    let [kv] = (await under.range("a")).kvs;
    assert.deepEqual([kv!.createRevision, kv!.modRevision, kv!.version], [2, 3, 2]);
    await under.del("a");
    await under.put("a", "same");
    [kv] = (await under.range("a")).kvs;
    assert.deepEqual([kv!.createRevision, kv!.modRevision, kv!.version], [5, 5, 1]);
  });

  test("prev_kv is the state before, and absent for a new key (13)", async () => {
    assert.equal(accepted(await under.put("a", "1", { prevKv: true })).prevKv, undefined);
    const { prevKv } = accepted(await under.put("a", "2", { prevKv: true }));
    assert.deepEqual([text(prevKv!.value), prevKv!.modRevision], ["1", 2]);
    await under.del("a");
    assert.equal(accepted(await under.put("a", "3", { prevKv: true })).prevKv, undefined);
  });

  test("an empty value is a value (14)", async () => {
    await under.put("a", "");
    assert.equal((await under.range("a")).count, 1);
    assert.equal((await under.range("a")).kvs[0]!.value.length, 0);
  });
});

describe("delete range", () => {
  test("deletes what a range would return, counts it, and tells the old values if asked (16)", async () => {
    for (const key of ["a", "b", "c", "d"]) await under.put(key, `value of ${key}`);
    const one = await under.del("b", "d", true);
    assert.deepEqual(
      one.prevKvs.map((kv) => `${text(kv.key)}=${text(kv.value)}`),
      ["b=value of b", "c=value of c"],
    );
    assert.equal(one.deleted, 2);
    const silent = await under.del("a");
    assert.deepEqual([silent.deleted, silent.prevKvs.length], [1, 0]);
    assert.equal((await under.del("d", "a")).deleted, 0);
    assert.equal((await under.del("\0", "\0")).deleted, 1);
    assert.equal(await under.keys(...all), "");
    assert.equal(await under.keys(...all, { revision: 5 }), "a b c d");
  });

  test("a deletion is an event with key and revision only (16)", async () => {
    await under.put("a", "1");
    const seen: unknown[] = [];
    under.store.onRevision = (_, events) => seen.push(...events);
    await under.del("a");
    const [event] = seen as [{ type: string; kv: object }];
    assert.equal(event.type, "delete");
    assert.deepEqual(
      { ...event.kv, key: "", value: "" },
      {
        key: "",
        createRevision: 0,
        modRevision: 3,
        version: 0,
        value: "",
        lease: 0n,
      },
    );
  });
});

describe("compaction", () => {
  test("accepts revisions above the last compaction up to the current one; 0 once (27)", async () => {
    await under.put("a");
    assert.deepEqual(under.store.compact({ revision: -1, physical: false }), refusal("compacted"));
    under.compact(0);
    assert.deepEqual(under.store.compact({ revision: 0, physical: false }), refusal("compacted"));
    assert.deepEqual(under.store.compact({ revision: 3, physical: false }), refusal("futureRevision"));
    under.compact(2);
    assert.deepEqual(under.store.compact({ revision: 2, physical: false }), refusal("compacted"));
    assert.equal(under.store.compactedRevision, 2);
  });

  test("keeps per key the newest revision at or below it, and a tombstone only exactly at it (28)", async () => {
    await under.put("kept", "old");
    await under.put("kept", "new");
    await under.put("gone");
    await under.del("gone");
    await under.put("edge");
    await under.del("edge");
    assert.deepEqual(under.rows(), [2, 3, 4, 5, 6, 7]);
    await under.compact(7).finished;
    assert.deepEqual(under.rows(), [3, 7]);
    await under.put("other");
    await under.compact(8).finished;
    assert.deepEqual(under.rows(), [3, 8]);
    assert.equal(await under.keys(...all), "kept other");
  });

  test("is in force at once and removes beside traffic, in turns (29)", async () => {
    for (let n = 0; n < 5000; n++) under.store.put(putOf(`key ${n % 2500}`, String(n)), false);
    await under.spill();
    let finished = false;
    const { finished: done } = under.compact(5001);
    void done.then(() => {
      finished = true;
    });
    assert.deepEqual(await under.store.range(rangeOf("a", "", { revision: 5000 })), refusal("compacted"));
    let turns = 0;
    while (!finished) {
      await new Promise(setImmediate);
      await under.put(`written meanwhile ${turns++}`, "x");
    }
    assert.ok(turns > 2);
    assert.equal((await under.range("key ", "kez")).count, 2500);
    assert.equal(under.store.index.history.size, 0);
  });

  test("a read under way below it still gets its values", async () => {
    await under.put("a", "old");
    await under.put("a", "new");
    await under.put("b", "x");
    under.disk.slowness = 20;
    const pending = under.store.range(rangeOf(...all, { revision: 2 }));
    assert.ok(pending instanceof Promise);
    const { finished } = under.compact(4);
    const result = accepted(await pending);
    assert.equal(text(result.kvs[0]!.value), "old");
    await finished;
    assert.equal((await under.range(...all, { revision: 4 })).count, 2);
  });

  test("a key changed very often is swept in turns too, and its oldest rows do not come back", async () => {
    for (let n = 0; n < 10_000; n++) under.store.put(putOf("hot", String(n)), false);
    under.store.deleteRange(deleteOf("hot"), false);
    under.store.put(putOf("other"), false);
    await under.spill();
    await under.compact(under.store.currentRevision).finished;
    assert.equal(await under.keys(...all), "other");
    assert.equal(under.store.index.history.size, 0);
  });
});
