// Requests for tests, with everything optional but what matters; and generators of random ones over
// few keys, so that they meet.

import fc from "fast-check";
import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "./messages.js";

export const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
export const text = (value: Uint8Array): string => Buffer.from(value).toString("latin1");

export function rangeOf(key: string, rangeEnd = "", options: Partial<RangeRequest> = {}): RangeRequest {
  return {
    key: bytes(key),
    rangeEnd: bytes(rangeEnd),
    limit: 0,
    revision: 0,
    sortOrder: 0,
    sortTarget: 0,
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    ...options,
  };
}

export function putOf(key: string, value = "", options: Partial<PutRequest> = {}): PutRequest {
  return {
    key: bytes(key),
    value: bytes(value),
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
    ...options,
  };
}

export function deleteOf(key: string, rangeEnd = "", prevKv = false): DeleteRangeRequest {
  return { key: bytes(key), rangeEnd: bytes(rangeEnd), prevKv };
}

export function compareOf(key: string, options: Partial<Compare> = {}): Compare {
  return {
    key: bytes(key),
    result: 0,
    target: 0,
    union: "none",
    number: 0,
    value: bytes(""),
    lease: 0n,
    rangeEnd: bytes(""),
    ...options,
  };
}

export function txnOf(compare: Compare[], success: RequestOp[], failure: RequestOp[] = []): TxnRequest {
  return { compare, success, failure };
}

export const op = {
  put: (key: string, value = "", options: Partial<PutRequest> = {}): RequestOp => ({
    kind: "put",
    request: putOf(key, value, options),
  }),
  del: (key: string, rangeEnd = "", prevKv = false): RequestOp => ({
    kind: "deleteRange",
    request: deleteOf(key, rangeEnd, prevKv),
  }),
  range: (key: string, rangeEnd = "", options: Partial<RangeRequest> = {}): RequestOp => ({
    kind: "range",
    request: rangeOf(key, rangeEnd, options),
  }),
  txn: (compare: Compare[], success: RequestOp[], failure: RequestOp[] = []): RequestOp => ({
    kind: "txn",
    request: txnOf(compare, success, failure),
  }),
};

const keys = fc.constantFrom("a", "b", "c", "ca", "cb", "d", "d\0", "e\xff");
const ends = fc.oneof(
  { weight: 3, arbitrary: fc.constant("") },
  fc.constantFrom("\0", "b", "c", "cc", "d", "f"),
);
const values = fc.constantFrom("", "1", "2", "30", "\xff");
const numbers = fc.integer({ min: -2, max: 30 });
const rarely = fc.integer({ min: 0, max: 7 }).map((n) => n === 0);
const filter = fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, numbers);

export const puts: fc.Arbitrary<PutRequest> = fc
  .record({
    key: keys,
    value: values,
    prevKv: fc.boolean(),
    ignoreValue: rarely,
    ignoreLease: rarely,
    leased: rarely,
  })
  .map(({ key, value, prevKv, ignoreValue, ignoreLease, leased }) =>
    putOf(key, ignoreValue ? "" : value, {
      prevKv,
      ignoreValue,
      ignoreLease,
      lease: leased && !ignoreLease ? 77n : 0n,
    }),
  );

export const deletes: fc.Arbitrary<DeleteRangeRequest> = fc
  .record({ key: keys, end: ends, prevKv: fc.boolean() })
  .map(({ key, end, prevKv }) => deleteOf(key, end, prevKv));

export const ranges: fc.Arbitrary<RangeRequest> = fc
  .record({
    key: keys,
    end: ends,
    limit: fc.integer({ min: -1, max: 4 }),
    revision: fc.oneof(fc.constant(0), numbers),
    sortOrder: fc.nat(2),
    sortTarget: fc.nat(4),
    keysOnly: rarely,
    countOnly: rarely,
    minModRevision: filter,
    maxModRevision: filter,
    minCreateRevision: filter,
    maxCreateRevision: filter,
  })
  .map(({ key, end, ...options }) => rangeOf(key, end, options));

export const compares: fc.Arbitrary<Compare> = fc
  .record({
    key: keys,
    end: fc.oneof({ weight: 4, arbitrary: fc.constant("") }, ends),
    target: fc.nat(4),
    result: fc.nat(3),
    kind: fc.option(fc.nat(4)),
    number: numbers,
    value: values,
  })
  .map(({ key, end, target, result, kind, number, value }) => {
    const union = (["version", "create", "mod", "value", "lease"] as const)[kind ?? target]!;
    const numeric = union === "version" || union === "create" || union === "mod";
    return compareOf(key, {
      target,
      result,
      union,
      number: numeric ? number : 0,
      value: bytes(union === "value" ? value : ""),
      lease: union === "lease" ? BigInt(number) : 0n,
      rangeEnd: bytes(end),
    });
  });

export const txns: fc.Arbitrary<TxnRequest> = fc.letrec<{ txn: TxnRequest; op: RequestOp }>((tie) => ({
  op: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    { weight: 4, arbitrary: puts.map((request): RequestOp => ({ kind: "put", request })) },
    { weight: 3, arbitrary: ranges.map((request): RequestOp => ({ kind: "range", request })) },
    { weight: 2, arbitrary: deletes.map((request): RequestOp => ({ kind: "deleteRange", request })) },
    { weight: 2, arbitrary: tie("txn").map((request): RequestOp => ({ kind: "txn", request })) },
  ),
  txn: fc.record({
    compare: fc.array(compares, { maxLength: 2 }),
    success: fc.array(tie("op"), { maxLength: 4 }),
    failure: fc.array(tie("op"), { maxLength: 4 }),
  }),
})).txn;
