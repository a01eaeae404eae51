// The numbered rules are those of etcd's documented behaviour: Range (1-9).

import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { rangeOf, text } from "./request-generators.js";
import { accepted, all, refusal, StoreUnderTest } from "./store-under-test.js";

let under: StoreUnderTest;
beforeEach(() => {
  under = new StoreUnderTest();
});

describe("range", () => {
  beforeEach(async () => {
    for (const key of ["a", "aa", "b", "ba", "c"]) await under.put(key, `value of ${key}`);
  });

  const shapes: [key: string, end: string, found: string][] = [
    ["b", "", "b"],
    ["missing", "", ""],
    ["a", "b", "a aa"],
    ["a", "ba", "a aa b"],
    ["aa", "\0", "aa b ba c"],
    ["\0", "\0", "a aa b ba c"],
    ["b", "b", ""],
    ["c", "a", ""],
    ["d", "\0", ""],
  ];
  for (const [key, end, found] of shapes)
    test(`[${JSON.stringify(key)}, ${JSON.stringify(end)}) holds "${found}" (2)`, async () => {
      assert.equal(await under.keys(key, end), found);
      assert.equal(
        (await under.range(key, end, { countOnly: true })).count,
        found === "" ? 0 : found.split(" ").length,
      );
    });

  test("a revision at or below 0 is the newest, one above the current is in the future (3)", async () => {
    assert.equal(await under.keys(...all, { revision: -5 }), "a aa b ba c");
    assert.equal(await under.keys(...all, { revision: 6 }), "a aa b ba c");
    assert.equal(await under.keys(...all, { revision: 3 }), "a aa");
    assert.equal(await under.keys(...all, { revision: 1 }), "");
    assert.deepEqual(await under.store.range(rangeOf("a", "", { revision: 7 })), refusal("futureRevision"));
  });

  test("the compacted revision itself can be read, those below it not (3)", async () => {
    await under.compact(4).finished;
    assert.equal(await under.keys(...all, { revision: 4 }), "a aa b");
    assert.deepEqual(await under.store.range(rangeOf("a", "", { revision: 3 })), refusal("compacted"));
  });

  test("filters come before the limit, and both bounds are inclusive (4)", async () => {
    const filtered = await under.range(...all, { minModRevision: 3, maxModRevision: 5, limit: 2 });
    assert.deepEqual(
      filtered.kvs.map((kv) => text(kv.key)),
      ["aa", "b"],
    );
    assert.equal(filtered.more, true);
    assert.equal(filtered.count, 5);
    assert.equal(await under.keys(...all, { minCreateRevision: 3, maxCreateRevision: 4 }), "aa b");
    assert.equal((await under.range(...all, { minModRevision: 3, maxModRevision: 4, limit: 2 })).more, false);
    assert.equal(await under.keys(...all, { maxModRevision: -1 }), "");
    assert.equal(await under.keys("a", "", { minModRevision: 3 }), "");
    assert.equal((await under.range("a", "", { minModRevision: 3 })).count, 1);
  });

  test("count is that of the whole range before limit and filters, at the revision read (5)", async () => {
    assert.equal((await under.range(...all, { limit: 1 })).count, 5);
    assert.equal((await under.range("b", "\0", { limit: 1 })).count, 3);
    assert.equal((await under.range(...all, { limit: 1, revision: 4 })).count, 3);
    assert.equal((await under.range(...all, { limit: 1, maxModRevision: 2 })).count, 5);
  });

  test("count_only returns no keys, no more, and ignores the limit (6)", async () => {
    const { kvs, more, count } = await under.range(...all, { countOnly: true, limit: 1 });
    assert.deepEqual({ kvs, more, count }, { kvs: [], more: false, count: 5 });
    assert.equal((await under.range("a", "", { countOnly: true })).count, 1);
  });

  test("keys_only leaves values out, reads none from disk, and keeps everything else (7)", async () => {
    const result = under.store.range(rangeOf(...all, { keysOnly: true, limit: 1 }));
    assert.ok(!(result instanceof Promise));
    const [kv] = accepted(result).kvs;
    assert.deepEqual(
      { ...kv, key: text(kv!.key), value: text(kv!.value) },
      {
        key: "a",
        value: "",
        createRevision: 2,
        modRevision: 2,
        version: 1,
        lease: 0n,
      },
    );
  });

  test("sorts by every target in both directions (8)", async () => {
    await under.put("b", "0");
    await under.put("b", "zz");
    await under.del("a");
    await under.put("a", "m");
    // a: create 10, mod 10, version 1; b: create 4, mod 8, version 3.
    const orders: [target: number, ascending: string, descending: string][] = [
      [0, "a aa b ba c", "c ba b aa a"],
      [1, "a aa ba c b", "b a aa ba c"],
      [2, "aa b ba c a", "a c ba b aa"],
      [3, "aa ba c b a", "a b c ba aa"],
      [4, "a aa ba c b", "b c ba aa a"],
    ];
    for (const [sortTarget, ascending, descending] of orders) {
      assert.equal(await under.keys(...all, { sortTarget, sortOrder: 1 }), ascending);
      assert.equal(await under.keys(...all, { sortTarget, sortOrder: 2 }), descending);
      assert.equal(await under.keys(...all, { sortTarget, sortOrder: 2, keysOnly: true }), descending);
      assert.equal(await under.keys(...all, { sortTarget }), ascending);
    }
  });

  test("with an order everything is sorted before the limit; without one the limit comes first (8)", async () => {
    await under.put("a", "changed");
    const byMod = { sortTarget: 3, limit: 2 };
    // By key order the first three are a, aa, b: of those the two oldest.
    assert.equal(await under.keys(...all, byMod), "aa b");
    assert.equal(await under.keys(...all, { ...byMod, sortOrder: 1 }), "aa b");
    assert.equal(await under.keys(...all, { ...byMod, sortOrder: 2 }), "a c");
    assert.equal(await under.keys("a", "\0", { sortTarget: 3, limit: 1 }), "aa");
    assert.equal(await under.keys("b", "\0", { sortTarget: 0, sortOrder: 2, limit: 1 }), "c");
    // A filter, too, makes everything be fetched first.
    assert.equal(await under.keys(...all, { sortTarget: 4, limit: 1, minModRevision: 4 }), "a");
    assert.equal((await under.range(...all, byMod)).more, true);
    assert.equal((await under.range(...all, { ...byMod, limit: 5 })).more, false);
  });

  test("a limit of 0 or below is none", async () => {
    assert.equal(await under.keys(...all, { limit: 0 }), "a aa b ba c");
    assert.equal(await under.keys(...all, { limit: -3 }), "a aa b ba c");
  });
});
