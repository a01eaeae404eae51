// Random KV requests and results for the property tests of the codec, and their conversion to the
// messages of @bufbuild/protobuf, which serves as the plain version.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  CompactionRequestSchema,
  CompareSchema,
  DeleteRangeRequestSchema,
  type CompactionRequest as PlainCompaction,
  type Compare as PlainCompare,
  type DeleteRangeRequest as PlainDeleteRange,
  type PutRequest as PlainPut,
  type RangeRequest as PlainRange,
  type RequestOp as PlainRequestOp,
  type TxnRequest as PlainTxn,
  PutRequestSchema,
  RangeRequestSchema,
  RequestOpSchema,
  TxnRequestSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import type {
  CompactionRequest,
  Compare,
  DeleteRangeRequest,
  DeleteRangeResult,
  KeyValue,
  OpResult,
  PutRequest,
  PutResult,
  RangeRequest,
  RangeResult,
  RequestOp,
  TxnRequest,
  TxnResult,
} from "../messages.js";

const safeLimit = BigInt(Number.MAX_SAFE_INTEGER);
const int64s = fc.oneof(
  fc.constantFrom(0n, 1n, -1n, 127n, 128n, safeLimit, safeLimit + 1n, -safeLimit, -safeLimit - 1n),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: 0n, max: 100_000n }),
);
const enums = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer());
const contents = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc.uint8Array({ minLength: 120, maxLength: 300, size: "max" }),
);

// Requests, drawn as the plain version's messages: any int64 and any enum value can occur.

export const plainPuts: fc.Arbitrary<PlainPut> = fc
  .record({
    key: contents,
    value: contents,
    lease: int64s,
    prevKv: fc.boolean(),
    ignoreValue: fc.boolean(),
    ignoreLease: fc.boolean(),
  })
  .map((fields) => create(PutRequestSchema, fields));

export const plainRanges: fc.Arbitrary<PlainRange> = fc
  .record({
    key: contents,
    rangeEnd: contents,
    limit: int64s,
    revision: int64s,
    sortOrder: enums,
    sortTarget: enums,
    serializable: fc.boolean(),
    keysOnly: fc.boolean(),
    countOnly: fc.boolean(),
    minModRevision: int64s,
    maxModRevision: int64s,
    minCreateRevision: int64s,
    maxCreateRevision: int64s,
  })
  .map((fields) => create(RangeRequestSchema, fields));

export const plainDeleteRanges: fc.Arbitrary<PlainDeleteRange> = fc
  .record({ key: contents, rangeEnd: contents, prevKv: fc.boolean() })
  .map((fields) => create(DeleteRangeRequestSchema, fields));

export const plainCompactions: fc.Arbitrary<PlainCompaction> = fc
  .record({ revision: int64s, physical: fc.boolean() })
  .map((fields) => create(CompactionRequestSchema, fields));

const unions: fc.Arbitrary<NonNullable<MessageInitShape<typeof CompareSchema>["targetUnion"]>> = fc.oneof(
  fc.constant({ case: undefined }),
  int64s.map((value) => ({ case: "version" as const, value })),
  int64s.map((value) => ({ case: "createRevision" as const, value })),
  int64s.map((value) => ({ case: "modRevision" as const, value })),
  contents.map((value) => ({ case: "value" as const, value })),
  int64s.map((value) => ({ case: "lease" as const, value })),
);

const plainCompares: fc.Arbitrary<PlainCompare> = fc
  .record({ result: enums, target: enums, key: contents, rangeEnd: contents, targetUnion: unions })
  .map((fields) => create(CompareSchema, fields));

export const plainTxns: fc.Arbitrary<PlainTxn> = fc.letrec<{ txn: PlainTxn; op: PlainRequestOp }>((tie) => ({
  txn: fc
    .record({
      compare: fc.array(plainCompares, { maxLength: 3 }),
      success: fc.array(tie("op"), { maxLength: 3 }),
      failure: fc.array(tie("op"), { maxLength: 3 }),
    })
    .map((fields) => create(TxnRequestSchema, fields)),
  op: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant(create(RequestOpSchema)),
    plainRanges.map((value) => create(RequestOpSchema, { request: { case: "requestRange", value } })),
    plainPuts.map((value) => create(RequestOpSchema, { request: { case: "requestPut", value } })),
    plainDeleteRanges.map((value) =>
      create(RequestOpSchema, { request: { case: "requestDeleteRange", value } }),
    ),
    tie("txn").map((value) => create(RequestOpSchema, { request: { case: "requestTxn", value } })),
  ),
})).txn;

// The same requests as the store sees them.

const clamp = (value: bigint): number =>
  Number(value > safeLimit ? safeLimit : value < -safeLimit ? -safeLimit : value);
const none: Uint8Array = new Uint8Array(0);

export const expectedPut = (plain: PlainPut): PutRequest => ({
  key: plain.key,
  value: plain.value,
  lease: plain.lease,
  prevKv: plain.prevKv,
  ignoreValue: plain.ignoreValue,
  ignoreLease: plain.ignoreLease,
});

export const expectedRange = (plain: PlainRange): RangeRequest => ({
  key: plain.key,
  rangeEnd: plain.rangeEnd,
  limit: clamp(plain.limit),
  revision: clamp(plain.revision),
  sortOrder: plain.sortOrder,
  sortTarget: plain.sortTarget,
  serializable: plain.serializable,
  keysOnly: plain.keysOnly,
  countOnly: plain.countOnly,
  minModRevision: clamp(plain.minModRevision),
  maxModRevision: clamp(plain.maxModRevision),
  minCreateRevision: clamp(plain.minCreateRevision),
  maxCreateRevision: clamp(plain.maxCreateRevision),
});

export const expectedDeleteRange = (plain: PlainDeleteRange): DeleteRangeRequest => ({
  key: plain.key,
  rangeEnd: plain.rangeEnd,
  prevKv: plain.prevKv,
});

export const expectedCompaction = (plain: PlainCompaction): CompactionRequest => ({
  revision: clamp(plain.revision),
  physical: plain.physical,
});

function expectedCompare(plain: PlainCompare): Compare {
  const { result, target, key, rangeEnd, targetUnion } = plain;
  const unset = { result, target, key, rangeEnd, union: "none", number: 0, value: none, lease: 0n } as const;
  switch (targetUnion.case) {
    case undefined:
      return unset;
    case "version":
      return { ...unset, union: "version", number: clamp(targetUnion.value) };
    case "createRevision":
      return { ...unset, union: "create", number: clamp(targetUnion.value) };
    case "modRevision":
      return { ...unset, union: "mod", number: clamp(targetUnion.value) };
    case "value":
      return { ...unset, union: "value", value: targetUnion.value };
    case "lease":
      return { ...unset, union: "lease", lease: targetUnion.value };
    default:
      return targetUnion satisfies never;
  }
}

function expectedOp(plain: PlainRequestOp): RequestOp {
  const { request } = plain;
  switch (request.case) {
    case undefined:
      return { kind: "none" };
    case "requestRange":
      return { kind: "range", request: expectedRange(request.value) };
    case "requestPut":
      return { kind: "put", request: expectedPut(request.value) };
    case "requestDeleteRange":
      return { kind: "deleteRange", request: expectedDeleteRange(request.value) };
    case "requestTxn":
      return { kind: "txn", request: expectedTxn(request.value) };
    default:
      return request satisfies never;
  }
}

export const expectedTxn = (plain: PlainTxn): TxnRequest => ({
  compare: plain.compare.map(expectedCompare),
  success: plain.success.map(expectedOp),
  failure: plain.failure.map(expectedOp),
});

// Results of the store.

export const revisions = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
);

export const keyValues: fc.Arbitrary<KeyValue> = fc.record({
  key: contents,
  createRevision: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  modRevision: revisions,
  version: fc.nat({ max: 1000 }),
  value: contents,
  lease: int64s,
});

export const rangeResults: fc.Arbitrary<RangeResult> = fc.record({
  kind: fc.constant("range" as const),
  revision: revisions,
  kvs: fc.array(keyValues, { maxLength: 8 }),
  more: fc.boolean(),
  count: fc.nat(),
});

export const putResults: fc.Arbitrary<PutResult> = fc.record({
  kind: fc.constant("put" as const),
  revision: revisions,
  prevKv: fc.option(keyValues, { nil: undefined }),
});

export const deleteRangeResults: fc.Arbitrary<DeleteRangeResult> = fc.record({
  kind: fc.constant("deleteRange" as const),
  revision: revisions,
  deleted: fc.nat(),
  prevKvs: fc.array(keyValues, { maxLength: 5 }),
});

export const txnResults: fc.Arbitrary<TxnResult> = fc.letrec<{ txn: TxnResult; op: OpResult }>((tie) => ({
  txn: fc.record({
    kind: fc.constant("txn" as const),
    revision: revisions,
    succeeded: fc.boolean(),
    responses: fc.array(tie("op"), { maxLength: 3 }),
  }),
  op: fc.oneof({ depthSize: "small" }, putResults, rangeResults, deleteRangeResults, tie("txn")),
})).txn;

/** Fields no message here knows, in all wire types, a group among them. */
export const unknownFields: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.constantFrom(
      [0xc0, 0x3e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], // 1000, varint
      [0xc1, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8], // 1000, fixed64
      [0xc2, 0x3e, 0x03, 1, 2, 3], // 1000, bytes
      [0xc3, 0x3e, 0x08, 0x01, 0x0b, 0x0c, 0xc4, 0x3e], // 1000, a group that holds a group
      [0xc5, 0x3e, 1, 2, 3, 4], // 1000, fixed32
    ),
    { maxLength: 3 },
  )
  .map((fields) => Uint8Array.from(fields.flat()));
