// The numbered rules are those of etcd's documented behaviour: revisions and headers (H), Range (1-9),
// Put (11-14), DeleteRange (16), Txn (17-25), Compaction (27-30).

import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { inspect } from "node:util";
import { ManualBuffer, MemoryStore } from "../state/memory-storage.js";
import type {
  CompactionResult,
  Compare,
  DeleteRangeResult,
  OpResult,
  PutResult,
  RangeRequest,
  RangeResult,
  Refused,
  RequestOp,
  TxnResult,
} from "./messages.js";
import { bytes, compareOf, deleteOf, op, putOf, rangeOf, text, txnOf } from "./request-generators.js";
import { Table, tablePrefix } from "./rows.js";
import { MvccStore } from "./store.js";

const disk = new MemoryStore();
let buffer = new ManualBuffer(disk, 0);
let store: MvccStore;

function freshStore(overrides: { readonly leaseExists?: (lease: bigint) => boolean } = {}): MvccStore {
  const memory = new MemoryStore();
  buffer = new ManualBuffer(memory, 0);
  return new MvccStore({
    store: memory,
    buffer,
    prefix: tablePrefix(1, 1, Table.revisions),
    cacheBytes: 1,
    revision: 1,
    compactedRevision: -1,
    sweptRevision: -1,
    leaseExists: () => false,
    noteSwept: () => {},
    commit: () => buffer.commit(1, bytes("state"), bytes("")),
    pause: () => new Promise((resolve) => setImmediate(resolve)),
    onFatal: (error) => {
      throw error;
    },
    ...overrides,
  });
}

beforeEach(() => {
  store = freshStore();
});

// Everything goes through prepare, as the group does it, and values are on disk whenever possible.

async function spill(): Promise<void> {
  buffer.commit(1, bytes("state"), bytes(""));
  await buffer.flush();
}

async function put(
  key: string,
  value = "",
  options: Parameters<typeof putOf>[2] = {},
): Promise<PutResult | Refused> {
  const request = putOf(key, value, options);
  await store.preparePut(request, true);
  const result = store.put(request, true);
  await spill();
  return result;
}

async function del(key: string, rangeEnd = "", prevKv = false): Promise<DeleteRangeResult> {
  const request = deleteOf(key, rangeEnd, prevKv);
  await store.prepareDeleteRange(request, true);
  const result = store.deleteRange(request, true);
  await spill();
  return result;
}

async function txn(
  compare: Compare[],
  success: RequestOp[],
  failure: RequestOp[] = [],
): Promise<TxnResult | Refused> {
  const request = txnOf(compare, success, failure);
  await store.prepareTxn(request, true);
  const result = store.txn(request, true);
  await spill();
  return result;
}

async function range(key: string, rangeEnd = "", options: Partial<RangeRequest> = {}): Promise<RangeResult> {
  const result = await store.range(rangeOf(key, rangeEnd, options));
  assert.ok(result.kind === "range", `refused: ${inspect(result)}`);
  return result;
}

async function keys(key: string, rangeEnd = "", options: Partial<RangeRequest> = {}): Promise<string> {
  return (await range(key, rangeEnd, options)).kvs.map((kv) => text(kv.key)).join(" ");
}

function compact(revision: number): CompactionResult {
  const result = store.compact({ revision, physical: true });
  assert.ok(result.kind === "compaction", `refused: ${inspect(result)}`);
  return result;
}

function accepted<T extends { kind: string }>(result: T | Refused): T {
  assert.notEqual(result.kind, "refused", inspect(result));
  return result as T;
}

const refusal = (reason: Refused["reason"]): Refused => ({ kind: "refused", reason });
const all = ["\0", "\0"] as const;

describe("revisions and headers", () => {
  test("a fresh store is at revision 1 and was never compacted; the first write makes 2 (H1)", async () => {
    assert.equal(store.currentRevision, 1);
    assert.equal(store.compactedRevision, -1);
    assert.equal(accepted(await put("a")).revision, 2);
  });

  test("a deletion of nothing and a transaction without effect do not move the revision (H2, H4)", async () => {
    await put("a");
    assert.equal((await del("nothing")).revision, 2);
    assert.equal(accepted(await txn([], [op.range("a"), op.del("nothing")])).revision, 2);
    assert.equal(store.currentRevision, 2);
    assert.equal((await del("a")).revision, 3);
  });

  test("a transaction makes one revision, its changes numbered in the order of execution (H2)", async () => {
    const seen: [number, string[]][] = [];
    store.onRevision = (revision, events) => {
      seen.push([revision, events.map((event) => `${event.type} ${text(event.kv.key)}`)]);
    };
    await put("z");
    accepted(await txn([], [op.put("b"), op.txn([], [op.put("a")]), op.del("z"), op.put("c")]));
    assert.deepEqual(seen, [
      [2, ["put z"]],
      [3, ["put b", "put a", "delete z", "put c"]],
    ]);
  });

  test("a range reports the current revision also when it reads an old one (H3)", async () => {
    for (let n = 0; n < 5; n++) await put("a", String(n));
    const result = await range("a", "", { revision: 3 });
    assert.equal(result.revision, 6);
    assert.equal(text(result.kvs[0]!.value), "1");
  });

  test("results inside a transaction carry the revision as of their turn, a nested one none (H5)", async () => {
    await put("a");
    const result = accepted(
      await txn([], [op.range("a"), op.put("b"), op.range("a"), op.txn([], [op.range("b")])]),
    );
    assert.deepEqual(
      result.responses.map((response: OpResult) => response.revision),
      [2, 3, 3, 0],
    );
    assert.equal(((result.responses[3] as TxnResult).responses[0] as RangeResult).revision, 3);
  });

  test("a compaction reports the current revision (H8)", async () => {
    for (let n = 0; n < 5; n++) await put("a", String(n));
    assert.equal(compact(3).revision, 6);
  });
});

describe("range", () => {
  beforeEach(async () => {
    for (const key of ["a", "aa", "b", "ba", "c"]) await put(key, `value of ${key}`);
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
      assert.equal(await keys(key, end), found);
      assert.equal(
        (await range(key, end, { countOnly: true })).count,
        found === "" ? 0 : found.split(" ").length,
      );
    });

  test("a revision at or below 0 is the newest, one above the current is in the future (3)", async () => {
    assert.equal(await keys(...all, { revision: -5 }), "a aa b ba c");
    assert.equal(await keys(...all, { revision: 6 }), "a aa b ba c");
    assert.equal(await keys(...all, { revision: 3 }), "a aa");
    assert.equal(await keys(...all, { revision: 1 }), "");
    assert.deepEqual(await store.range(rangeOf("a", "", { revision: 7 })), refusal("futureRevision"));
  });

  test("the compacted revision itself can be read, those below it not (3)", async () => {
    await compact(4).finished;
    assert.equal(await keys(...all, { revision: 4 }), "a aa b");
    assert.deepEqual(await store.range(rangeOf("a", "", { revision: 3 })), refusal("compacted"));
  });

  test("filters come before the limit, and both bounds are inclusive (4)", async () => {
    const filtered = await range(...all, { minModRevision: 3, maxModRevision: 5, limit: 2 });
    assert.deepEqual(
      filtered.kvs.map((kv) => text(kv.key)),
      ["aa", "b"],
    );
    assert.equal(filtered.more, true);
    assert.equal(filtered.count, 5);
    assert.equal(await keys(...all, { minCreateRevision: 3, maxCreateRevision: 4 }), "aa b");
    assert.equal((await range(...all, { minModRevision: 3, maxModRevision: 4, limit: 2 })).more, false);
    assert.equal(await keys(...all, { maxModRevision: -1 }), "");
    assert.equal(await keys("a", "", { minModRevision: 3 }), "");
    assert.equal((await range("a", "", { minModRevision: 3 })).count, 1);
  });

  test("count is that of the whole range before limit and filters, at the revision read (5)", async () => {
    assert.equal((await range(...all, { limit: 1 })).count, 5);
    assert.equal((await range("b", "\0", { limit: 1 })).count, 3);
    assert.equal((await range(...all, { limit: 1, revision: 4 })).count, 3);
    assert.equal((await range(...all, { limit: 1, maxModRevision: 2 })).count, 5);
  });

  test("count_only returns no keys, no more, and ignores the limit (6)", async () => {
    const { kvs, more, count } = await range(...all, { countOnly: true, limit: 1 });
    assert.deepEqual({ kvs, more, count }, { kvs: [], more: false, count: 5 });
    assert.equal((await range("a", "", { countOnly: true })).count, 1);
  });

  test("keys_only leaves values out, reads none from disk, and keeps everything else (7)", async () => {
    const result = store.range(rangeOf(...all, { keysOnly: true, limit: 1 }));
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
    await put("b", "0");
    await put("b", "zz");
    await del("a");
    await put("a", "m");
    // a: create 10, mod 10, version 1; b: create 4, mod 8, version 3.
    const orders: [target: number, ascending: string, descending: string][] = [
      [0, "a aa b ba c", "c ba b aa a"],
      [1, "a aa ba c b", "b a aa ba c"],
      [2, "aa b ba c a", "a c ba b aa"],
      [3, "aa ba c b a", "a b c ba aa"],
      [4, "a aa ba c b", "b c ba aa a"],
    ];
    for (const [sortTarget, ascending, descending] of orders) {
      assert.equal(await keys(...all, { sortTarget, sortOrder: 1 }), ascending);
      assert.equal(await keys(...all, { sortTarget, sortOrder: 2 }), descending);
      assert.equal(await keys(...all, { sortTarget, sortOrder: 2, keysOnly: true }), descending);
      assert.equal(await keys(...all, { sortTarget }), ascending);
    }
  });

  test("with an order everything is sorted before the limit; without one the limit comes first (8)", async () => {
    await put("a", "changed");
    const byMod = { sortTarget: 3, limit: 2 };
    // By key order the first three are a, aa, b: of those the two oldest.
    assert.equal(await keys(...all, byMod), "aa b");
    assert.equal(await keys(...all, { ...byMod, sortOrder: 1 }), "aa b");
    assert.equal(await keys(...all, { ...byMod, sortOrder: 2 }), "a c");
    assert.equal(await keys("a", "\0", { sortTarget: 3, limit: 1 }), "aa");
    assert.equal(await keys("b", "\0", { sortTarget: 0, sortOrder: 2, limit: 1 }), "c");
    // A filter, too, makes everything be fetched first.
    assert.equal(await keys(...all, { sortTarget: 4, limit: 1, minModRevision: 4 }), "a");
    assert.equal((await range(...all, byMod)).more, true);
    assert.equal((await range(...all, { ...byMod, limit: 5 })).more, false);
  });

  test("a limit of 0 or below is none", async () => {
    assert.equal(await keys(...all, { limit: 0 }), "a aa b ba c");
    assert.equal(await keys(...all, { limit: -3 }), "a aa b ba c");
  });
});

describe("put", () => {
  test("a lease that does not exist is refused before anything else (11)", async () => {
    assert.deepEqual(await put("a", "", { lease: 5n }), refusal("leaseNotFound"));
    assert.deepEqual(await put("a", "", { lease: 5n, ignoreValue: true }), refusal("leaseNotFound"));
    assert.equal(store.currentRevision, 1);
  });

  test("ignore_value and ignore_lease need the key and keep what they name (11, 13)", async () => {
    store = freshStore({ leaseExists: (lease) => lease === 5n || lease === -6n });
    assert.deepEqual(await put("a", "", { ignoreValue: true }), refusal("keyNotFound"));
    assert.deepEqual(await put("a", "v", { ignoreLease: true }), refusal("keyNotFound"));
    await put("a", "one", { lease: 5n });
    await put("a", "", { ignoreValue: true, lease: -6n });
    let [kv] = (await range("a")).kvs;
    assert.deepEqual([text(kv!.value), kv!.lease], ["one", -6n]);
    await put("a", "two", { ignoreLease: true });
    [kv] = (await range("a")).kvs;
    assert.deepEqual([text(kv!.value), kv!.lease, kv!.version], ["two", -6n, 3]);
    await put("a", "three");
    [kv] = (await range("a")).kvs;
    assert.equal(kv!.lease, 0n);
  });

  test("every put makes a version, also of equal content; a deletion starts anew at 1 (12)", async () => {
    await put("a", "same");
    await put("a", "same");
    let [kv] = (await range("a")).kvs;
    assert.deepEqual([kv!.createRevision, kv!.modRevision, kv!.version], [2, 3, 2]);
    await del("a");
    await put("a", "same");
    [kv] = (await range("a")).kvs;
    assert.deepEqual([kv!.createRevision, kv!.modRevision, kv!.version], [5, 5, 1]);
  });

  test("prev_kv is the state before, and absent for a new key (13)", async () => {
    assert.equal(accepted(await put("a", "1", { prevKv: true })).prevKv, undefined);
    const { prevKv } = accepted(await put("a", "2", { prevKv: true }));
    assert.deepEqual([text(prevKv!.value), prevKv!.modRevision], ["1", 2]);
    await del("a");
    assert.equal(accepted(await put("a", "3", { prevKv: true })).prevKv, undefined);
  });

  test("an empty value is a value (14)", async () => {
    await put("a", "");
    assert.equal((await range("a")).count, 1);
    assert.equal((await range("a")).kvs[0]!.value.length, 0);
  });
});

describe("delete range", () => {
  test("deletes what a range would return, counts it, and tells the old values if asked (16)", async () => {
    for (const key of ["a", "b", "c", "d"]) await put(key, `value of ${key}`);
    const one = await del("b", "d", true);
    assert.deepEqual(
      one.prevKvs.map((kv) => `${text(kv.key)}=${text(kv.value)}`),
      ["b=value of b", "c=value of c"],
    );
    assert.equal(one.deleted, 2);
    const silent = await del("a");
    assert.deepEqual([silent.deleted, silent.prevKvs.length], [1, 0]);
    assert.equal((await del("d", "a")).deleted, 0);
    assert.equal((await del("\0", "\0")).deleted, 1);
    assert.equal(await keys(...all), "");
    assert.equal(await keys(...all, { revision: 5 }), "a b c d");
  });

  test("a deletion is an event with key and revision only (16)", async () => {
    await put("a", "1");
    const seen: unknown[] = [];
    store.onRevision = (_, events) => seen.push(...events);
    await del("a");
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

describe("txn", () => {
  const succeeds = async (...compare: Compare[]): Promise<boolean> =>
    accepted(await txn(compare, [])).succeeded;
  const [equal, greater, less, notEqual] = [0, 1, 2, 3];
  const [version, create, mod, value, lease] = [0, 1, 2, 3, 4];

  test("compares are a conjunction, true when there are none (17)", async () => {
    await put("a", "1");
    const yes = compareOf("a", { target: version, union: "version", number: 1 });
    const no = compareOf("a", { target: version, union: "version", number: 2 });
    assert.equal(await succeeds(), true);
    assert.equal(await succeeds(yes), true);
    assert.equal(await succeeds(yes, no), false);
    assert.equal(await succeeds(yes, yes), true);
  });

  test("every target compares with every result (17)", async () => {
    store = freshStore({ leaseExists: () => true });
    await put("x");
    await put("a", "m", { lease: 7n });
    await put("a", "m", { lease: 7n });
    // a: version 2, create 3, mod 4, value m, lease 7.
    const targets = [
      { target: version, union: "version" as const, number: 2 },
      { target: create, union: "create" as const, number: 3 },
      { target: mod, union: "mod" as const, number: 4 },
    ];
    for (const compare of targets) {
      const outcomes = async (number: number): Promise<string> => {
        const held: number[] = [];
        for (const result of [equal, greater, less, notEqual])
          if (await succeeds(compareOf("a", { ...compare, number, result: result! }))) held.push(result!);
        return held.join(" ");
      };
      assert.equal(await outcomes(compare.number), "0");
      assert.equal(await outcomes(compare.number - 1), "1 3");
      assert.equal(await outcomes(compare.number + 1), "2 3");
    }
    const values: [string, number[]][] = [
      ["m", [0]],
      ["l", [1, 3]],
      ["ma", [2, 3]],
      ["", [1, 3]],
    ];
    for (const [other, holding] of values)
      for (const result of [equal, greater, less, notEqual])
        assert.equal(
          await succeeds(
            compareOf("a", { target: value, union: "value", value: bytes(other), result: result! }),
          ),
          holding.includes(result!),
        );
    for (const [other, holding] of [
      [7n, [0]],
      [-1n, [1, 3]],
      [8n, [2, 3]],
    ] as const)
      for (const result of [equal, greater, less, notEqual])
        assert.equal(
          await succeeds(compareOf("a", { target: lease, union: "lease", lease: other, result: result! })),
          (holding as readonly number[]).includes(result!),
        );
  });

  test("a missing key counts as 0, and its value never compares, not even as different (17)", async () => {
    for (const [target, union] of [
      [version, "version"],
      [create, "create"],
      [mod, "mod"],
      [lease, "lease"],
    ] as const)
      assert.equal(await succeeds(compareOf("missing", { target: target!, union })), true);
    for (const result of [equal, greater, less, notEqual])
      assert.equal(
        await succeeds(compareOf("missing", { target: value!, union: "value", result: result! })),
        false,
      );
  });

  test("a target of another kind than what is given compares with 0 or empty (17)", async () => {
    await put("a", "");
    assert.equal(
      await succeeds(compareOf("a", { target: version, union: "mod", number: 1, result: greater! })),
      true,
    );
    assert.equal(await succeeds(compareOf("a", { target: value!, union: "none" })), true);
    assert.equal(await succeeds(compareOf("a", { target: lease!, union: "version", number: 9 })), true);
  });

  test("with a range end every key must hold; an empty range is a missing key (17)", async () => {
    await put("a", "1");
    await put("b", "1");
    await put("c", "2");
    const is = (end: string): Compare =>
      compareOf("a", { target: value!, union: "value", value: bytes("1"), rangeEnd: bytes(end) });
    assert.equal(await succeeds(is("c")), true);
    assert.equal(await succeeds(is("d")), false);
    assert.equal(await succeeds(is("\0")), false);
    const none = { rangeEnd: bytes("z"), result: equal! };
    assert.equal(await succeeds(compareOf("x", { ...none, target: create!, union: "create" })), true);
    assert.equal(await succeeds(compareOf("x", { ...none, target: value!, union: "value" })), false);
  });

  test("nested compares see the state before the whole transaction (18)", async () => {
    const exists = compareOf("a", { target: version, union: "version", number: 0, result: greater! });
    const result = accepted(
      await txn([], [op.put("a", "1"), op.txn([exists], [op.put("yes")], [op.put("no")])]),
    );
    assert.equal((result.responses[1] as TxnResult).succeeded, false);
    assert.equal(await keys(...all), "a no");
  });

  test("the taken path is checked to its full depth before anything is applied (19)", async () => {
    await put("a", "1");
    await put("a", "2");
    const deep = (inner: RequestOp): RequestOp => op.txn([], [op.txn([], [op.put("new"), inner])]);
    const cases: [RequestOp, Refused["reason"]][] = [
      [op.put("missing", "", { ignoreValue: true }), "keyNotFound"],
      [op.put("missing", "v", { ignoreLease: true }), "keyNotFound"],
      [op.put("a", "", { lease: 9n }), "leaseNotFound"],
      [op.range("a", "", { revision: 99 }), "futureRevision"],
      [op.range("a", "", { revision: 4 }), "futureRevision"],
      [{ kind: "none" }, "keyNotFound"],
    ];
    for (const [inner, reason] of cases) {
      assert.deepEqual(await txn([], [op.put("first"), deep(inner)]), refusal(reason));
      assert.equal(await keys(...all), "a");
      // Never the branch that is not taken.
      accepted(await txn([], [op.range("a")], [deep(inner)]));
    }
    assert.equal(store.currentRevision, 3);
  });

  test("a compacted range refuses the whole transaction; so does a negative revision then (19)", async () => {
    await put("a", "1");
    await put("a", "2");
    accepted(await txn([], [op.range("a", "", { revision: -1 })]));
    compact(3);
    for (const revision of [2, -1])
      assert.deepEqual(await txn([], [op.put("b"), op.range("a", "", { revision })]), refusal("compacted"));
    accepted(await txn([], [op.range("a", "", { revision: 3 })]));
    assert.equal(await keys("a", "", { revision: -1 }), "a");
  });

  test("a put that keeps its value is refused when the transaction deletes the key before it", async () => {
    await put("a", "1");
    const keeping = op.put("a", "", { ignoreValue: true });
    assert.deepEqual(await txn([], [op.del("\0", "\0"), keeping]), refusal("keyNotFound"));
    assert.equal(await keys(...all), "a");
    accepted(await txn([], [op.del("\0", "\0"), op.put("a", "2"), keeping]));
    assert.equal(text((await range("a")).kvs[0]!.value), "2");
  });

  test("reads see the transaction's earlier writes, and operations run in order, nested in place (20)", async () => {
    await put("a", "old");
    const result = accepted(
      await txn(
        [],
        [
          op.range("a"),
          op.put("a", "new", { prevKv: true }),
          op.range("a"),
          op.txn([], [op.put("b", "1"), op.range(...all)]),
          op.del("a", "", true),
          op.range(...all),
          op.range("a", "", { revision: 2 }),
        ],
      ),
    );
    const shown = (response: OpResult): string =>
      response.kind === "range"
        ? response.kvs.map((kv) => `${text(kv.key)}=${text(kv.value)}`).join(" ")
        : response.kind === "txn"
          ? response.responses.map(shown).join("; ")
          : response.kind === "put"
            ? `prev ${text(response.prevKv?.value ?? bytes("none"))}`
            : `deleted ${response.prevKvs.map((kv) => text(kv.value)).join(" ")}`;
    assert.deepEqual(result.responses.map(shown), [
      "a=old",
      "prev old",
      "a=new",
      "prev none; a=new b=1",
      "deleted new",
      "b=1",
      "a=old",
    ]);
  });

  test("a key changed several times in one transaction keeps one state per revision", async () => {
    accepted(await txn([], [op.put("a", "1"), op.del("\0", "\0"), op.put("a", "2"), op.put("a", "3")]));
    const [kv] = (await range("a", "", { revision: 2 })).kvs;
    assert.deepEqual([text(kv!.value), kv!.createRevision, kv!.modRevision, kv!.version], ["3", 2, 2, 2]);
    await put("b");
    await compact(3).finished;
    assert.equal(text((await range("a")).kvs[0]!.value), "3");
  });

  test("where nobody waits for the result the same state is made (25)", async () => {
    await put("a", "1");
    const request = txnOf(
      [compareOf("a", { target: value!, union: "value", value: bytes("1") })],
      [op.put("b", "2", { prevKv: true }), op.range("a", "", { revision: 2 }), op.del("a", "", true)],
    );
    await store.prepareTxn(request, false);
    const result = accepted(store.txn(request, false));
    assert.deepEqual([result.revision, result.responses.length], [3, 0]);
    assert.equal(await keys(...all), "b");
  });

  test("read-only transactions read one state, though their values come from disk later (24)", async () => {
    await put("a", "1");
    await put("b", "1");
    const request = txnOf(
      [compareOf("a", { target: value!, union: "value", value: bytes("1") })],
      [op.range("a"), op.range("b"), op.range("a", "", { countOnly: true })],
      [op.range("missing")],
    );
    const pending = store.readTxn(request);
    assert.ok(pending instanceof Promise);
    await put("a", "2");
    await put("b", "2");
    await del("b");
    const result = accepted(await pending);
    assert.equal(result.succeeded, true);
    assert.equal(result.revision, 3);
    const values = result.responses.map((response) =>
      (response as RangeResult).kvs.map((kv) => text(kv.value)),
    );
    assert.deepEqual(values, [["1"], ["1"], []]);
    assert.deepEqual(
      await store.readTxn(txnOf([], [op.range("a", "", { revision: 99 })])),
      refusal("futureRevision"),
    );
  });
});

describe("compaction", () => {
  test("accepts revisions above the last compaction up to the current one; 0 once (27)", async () => {
    await put("a");
    assert.deepEqual(store.compact({ revision: -1, physical: false }), refusal("compacted"));
    compact(0);
    assert.deepEqual(store.compact({ revision: 0, physical: false }), refusal("compacted"));
    assert.deepEqual(store.compact({ revision: 3, physical: false }), refusal("futureRevision"));
    compact(2);
    assert.deepEqual(store.compact({ revision: 2, physical: false }), refusal("compacted"));
    assert.equal(store.compactedRevision, 2);
  });

  test("keeps per key the newest revision at or below it, and a tombstone only exactly at it (28)", async () => {
    await put("kept", "old");
    await put("kept", "new");
    await put("gone");
    await del("gone");
    await put("edge");
    await del("edge");
    const rows = (): string[] =>
      (buffer as unknown as { store: MemoryStore }).store
        .dump(tablePrefix(1, 1, Table.revisions), tablePrefix(1, 1, Table.revisions + 1))
        .map(([key]) => String(Number.parseInt(key.slice(18, 34), 16)));
    assert.deepEqual(rows(), ["2", "3", "4", "5", "6", "7"]);
    await compact(7).finished;
    assert.deepEqual(rows(), ["3", "7"]);
    await put("other");
    await compact(8).finished;
    assert.deepEqual(rows(), ["3", "8"]);
    assert.equal(await keys(...all), "kept other");
  });

  test("is in force at once and removes beside traffic, in turns (29)", async () => {
    for (let n = 0; n < 5000; n++) store.put(putOf(`key ${n % 2500}`, String(n)), false);
    await spill();
    let finished = false;
    const { finished: done } = compact(5001);
    void done.then(() => {
      finished = true;
    });
    assert.deepEqual(await store.range(rangeOf("a", "", { revision: 5000 })), refusal("compacted"));
    let turns = 0;
    while (!finished) {
      await new Promise(setImmediate);
      await put(`written meanwhile ${turns++}`, "x");
    }
    assert.ok(turns > 2);
    assert.equal((await range("key ", "kez")).count, 2500);
    assert.equal(store.index.history.size, 0);
  });

  test("a read under way below it still gets its values", async () => {
    await put("a", "old");
    await put("a", "new");
    await put("b", "x");
    const pending = store.range(rangeOf(...all, { revision: 2 }));
    assert.ok(pending instanceof Promise);
    const { finished } = compact(4);
    const result = accepted(await pending);
    assert.equal(text(result.kvs[0]!.value), "old");
    await finished;
    assert.equal((await range(...all, { revision: 4 })).count, 2);
  });

  test("a key changed very often is swept in turns too, and its oldest rows do not come back", async () => {
    for (let n = 0; n < 10_000; n++) store.put(putOf("hot", String(n)), false);
    store.deleteRange(deleteOf("hot"), false);
    store.put(putOf("other"), false);
    await spill();
    await compact(store.currentRevision).finished;
    assert.equal(await keys(...all), "other");
    assert.equal(store.index.history.size, 0);
  });
});
