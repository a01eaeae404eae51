// The numbered rules are those of etcd's documented behaviour: Txn (17-25).

import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { Compare, OpResult, RangeResult, Refused, RequestOp, TxnResult } from "./messages.js";
import { bytes, compareOf, op, text, txnOf } from "./request-generators.js";
import { accepted, all, refusal, StoreUnderTest } from "./store-under-test.js";

let under: StoreUnderTest;
beforeEach(() => {
  under = new StoreUnderTest();
});

describe("txn", () => {
  const succeeds = async (...compare: Compare[]): Promise<boolean> =>
    accepted(await under.txn(compare, [])).succeeded;
  const [equal, greater, less, notEqual] = [0, 1, 2, 3];
  const [version, create, mod, value, lease] = [0, 1, 2, 3, 4];

  test("compares are a conjunction, true when there are none (17)", async () => {
    await under.put("a", "1");
    const yes = compareOf("a", { target: version, union: "version", number: 1 });
    const no = compareOf("a", { target: version, union: "version", number: 2 });
    assert.equal(await succeeds(), true);
    assert.equal(await succeeds(yes), true);
    assert.equal(await succeeds(yes, no), false);
    assert.equal(await succeeds(yes, yes), true);
  });

  test("every target compares with every result (17)", async () => {
    under = new StoreUnderTest(() => true);
    await under.put("x");
    await under.put("a", "m", { lease: 7n });
    await under.put("a", "m", { lease: 7n });
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
    await under.put("a", "");
    assert.equal(
      await succeeds(compareOf("a", { target: version, union: "mod", number: 1, result: greater! })),
      true,
    );
    assert.equal(await succeeds(compareOf("a", { target: value!, union: "none" })), true);
    assert.equal(await succeeds(compareOf("a", { target: lease!, union: "version", number: 9 })), true);
  });

  test("with a range end every key must hold; an empty range is a missing key (17)", async () => {
    await under.put("a", "1");
    await under.put("b", "1");
    await under.put("c", "2");
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
      await under.txn([], [op.put("a", "1"), op.txn([exists], [op.put("yes")], [op.put("no")])]),
    );
    assert.equal((result.responses[1] as TxnResult).succeeded, false);
    assert.equal(await under.keys(...all), "a no");
  });

  test("the taken path is checked to its full depth before anything is applied (19)", async () => {
    await under.put("a", "1");
    await under.put("a", "2");
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
      assert.deepEqual(await under.txn([], [op.put("first"), deep(inner)]), refusal(reason));
      assert.equal(await under.keys(...all), "a");
      // Never the branch that is not taken.
      accepted(await under.txn([], [op.range("a")], [deep(inner)]));
    }
    assert.equal(under.store.currentRevision, 3);
  });

  test("a compacted range refuses the whole transaction; so does a negative revision then (19)", async () => {
    await under.put("a", "1");
    await under.put("a", "2");
    accepted(await under.txn([], [op.range("a", "", { revision: -1 })]));
    under.compact(3);
    for (const revision of [2, -1])
      assert.deepEqual(
        await under.txn([], [op.put("b"), op.range("a", "", { revision })]),
        refusal("compacted"),
      );
    accepted(await under.txn([], [op.range("a", "", { revision: 3 })]));
    assert.equal(await under.keys("a", "", { revision: -1 }), "a");
  });

  test("a put that keeps its value is refused when the transaction deletes the key before it", async () => {
    await under.put("a", "1");
    const keeping = op.put("a", "", { ignoreValue: true });
    assert.deepEqual(await under.txn([], [op.del("\0", "\0"), keeping]), refusal("keyNotFound"));
    assert.equal(await under.keys(...all), "a");
    accepted(await under.txn([], [op.del("\0", "\0"), op.put("a", "2"), keeping]));
    assert.equal(text((await under.range("a")).kvs[0]!.value), "2");
  });

  test("reads see the transaction's earlier writes, and operations run in order, nested in place (20)", async () => {
    await under.put("a", "old");
    const result = accepted(
      await under.txn(
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

  test("rows that were in memory before the transaction stay there while it writes", async () => {
    // The cache of this store holds one row: the tombstone pushes that of e out.
    await under.put("a");
    await under.put("e", "value");
    const result = accepted(await under.txn([], [op.del("a"), op.range(...all)]));
    assert.equal(text((result.responses[1] as RangeResult).kvs[0]!.value), "value");
  });

  test("a key changed several times in one transaction keeps one state per revision", async () => {
    accepted(await under.txn([], [op.put("a", "1"), op.del("\0", "\0"), op.put("a", "2"), op.put("a", "3")]));
    const [kv] = (await under.range("a", "", { revision: 2 })).kvs;
    assert.deepEqual([text(kv!.value), kv!.createRevision, kv!.modRevision, kv!.version], ["3", 2, 2, 2]);
    await under.put("b");
    await under.compact(3).finished;
    assert.equal(text((await under.range("a")).kvs[0]!.value), "3");
  });

  test("where nobody waits for the result the same state is made (25)", async () => {
    await under.put("a", "1");
    const request = txnOf(
      [compareOf("a", { target: value!, union: "value", value: bytes("1") })],
      [op.put("b", "2", { prevKv: true }), op.range("a", "", { revision: 2 }), op.del("a", "", true)],
    );
    await under.store.prepareTxn(request, false);
    const result = accepted(under.store.txn(request, false));
    assert.deepEqual([result.revision, result.responses.length], [3, 0]);
    assert.equal(await under.keys(...all), "b");
  });

  test("read-only transactions read one state, though their values come from disk later (24)", async () => {
    await under.put("a", "1");
    await under.put("b", "1");
    const request = txnOf(
      [compareOf("a", { target: value!, union: "value", value: bytes("1") })],
      [op.range("a"), op.range("b"), op.range("a", "", { countOnly: true })],
      [op.range("missing")],
    );
    const pending = under.store.readTxn(request);
    assert.ok(pending instanceof Promise);
    await under.put("a", "2");
    await under.put("b", "2");
    await under.del("b");
    const result = accepted(await pending);
    assert.equal(result.succeeded, true);
    assert.equal(result.revision, 3);
    const values = result.responses.map((response) =>
      (response as RangeResult).kvs.map((kv) => text(kv.value)),
    );
    assert.deepEqual(values, [["1"], ["1"], []]);
    assert.deepEqual(
      await under.store.readTxn(txnOf([], [op.range("a", "", { revision: 99 })])),
      refusal("futureRevision"),
    );
  });
});
