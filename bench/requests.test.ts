import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  PutRequestSchema,
  RangeRequestSchema,
  TxnRequestSchema,
} from "../src/gen/etcdserverpb/rpc_pb.js";
import { FillMaker, leastKeyBytes, type Operation, RequestMaker } from "./requests.js";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

const shapes = fc
  .record({
    keys: fc.integer({ min: 1, max: 10_000_000 }),
    more: fc.nat(300),
    valueBytes: fc.nat(20_000),
    seed: fc.nat(),
  })
  .map(({ keys, more, valueBytes, seed }) => ({
    keys,
    keyBytes: leastKeyBytes(keys) + more,
    valueBytes,
    seed,
  }));

/** The request for a random key, made twice in one buffer so that nothing of the first may remain. */
function made(operation: Operation, shape: Omit<ConstructorParameters<typeof RequestMaker>[0], "operation">) {
  const maker = new RequestMaker({ operation, ...shape });
  const request = maker.allocate();
  maker.next(request);
  maker.next(request);
  return { maker, request };
}

function assertKey(key: Uint8Array, keys: number, keyBytes: number): void {
  assert.equal(key.length, keyBytes);
  assert.match(text(key), /^k\d+$/);
  assert.ok(Number(text(key).slice(1)) < keys);
}

test("a put is read by the generated schema with key and value of the sizes asked for", () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const put = fromBinary(PutRequestSchema, made("put", shape).request);
      assertKey(put.key, shape.keys, shape.keyBytes);
      assert.equal(put.value.length, shape.valueBytes);
      assert.equal(put.$unknown, undefined);
    }),
    { numRuns: 50 },
  );
});

test("ranges ask for one key, linearizable or serializable", () => {
  fc.assert(
    fc.property(shapes, fc.boolean(), (shape, serializable) => {
      const range = fromBinary(
        RangeRequestSchema,
        made(serializable ? "serializable-range" : "range", shape).request,
      );
      assertKey(range.key, shape.keys, shape.keyBytes);
      assert.equal(range.serializable, serializable);
      assert.equal(range.rangeEnd.length, 0);
      assert.equal(range.$unknown, undefined);
    }),
    { numRuns: 50 },
  );
});

test("a transaction compares and puts the same key", () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const txn = fromBinary(TxnRequestSchema, made("txn", shape).request);
      const [compare] = txn.compare;
      assert.equal(compare?.result, Compare_CompareResult.LESS);
      assert.equal(compare.target, Compare_CompareTarget.MOD);
      assert.deepEqual(compare.targetUnion, { case: "modRevision", value: BigInt(Number.MAX_SAFE_INTEGER) });
      const operation = txn.success[0]?.request;
      assert.ok(operation?.case === "requestPut");
      assertKey(operation.value.key, shape.keys, shape.keyBytes);
      assert.deepEqual(operation.value.key, compare.key);
      assert.equal(operation.value.value.length, shape.valueBytes);
      assert.deepEqual([txn.compare.length, txn.success.length, txn.failure.length], [1, 1, 0]);
    }),
    { numRuns: 50 },
  );
});

test("a fill transaction puts consecutive keys, each with a value of its own", () => {
  fc.assert(
    fc.property(
      fc.nat(1_000_000),
      fc.integer({ min: 1, max: 128 }),
      fc.nat(400),
      (first, count, valueBytes) => {
        const maker = new FillMaker(16, valueBytes, 1);
        maker.make(0, 3);
        const txn = fromBinary(TxnRequestSchema, maker.make(first, count));
        const puts = txn.success.map(({ request }) => {
          assert.ok(request.case === "requestPut");
          return request.value;
        });
        const keys = puts.map(({ key }) => text(key));
        assert.deepEqual(
          keys,
          Array.from({ length: count }, (_, at) => `k${String(first + at).padStart(15, "0")}`),
        );
        for (const { value } of puts) assert.equal(value.length, valueBytes);
        if (valueBytes > 16) assert.equal(new Set(puts.map(({ value }) => text(value))).size, count);
      },
    ),
    { numRuns: 50 },
  );
});

test("the keys are spread over the whole key space, and the same seed sends the same", () => {
  const shape = { keys: 100, keyBytes: 8, valueBytes: 32, seed: 7 };
  const sequence = (): string[] => {
    const { maker, request } = made("put", shape);
    return Array.from({ length: 2000 }, () => {
      maker.next(request);
      return text(request);
    });
  };
  const sent = sequence();
  assert.deepEqual(sequence(), sent);
  assert.equal(new Set(sent.map((request) => request.slice(2, 10))).size, 100);
});

test("a key size too small for the key space is refused", () => {
  assert.throws(
    () => new RequestMaker({ operation: "put", keys: 1000, keyBytes: 3, valueBytes: 1, seed: 1 }),
    RangeError,
  );
});
