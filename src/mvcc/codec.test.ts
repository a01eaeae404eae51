import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  CompactionRequestSchema,
  CompactionResponseSchema,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  type ResponseHeader,
  ResponseHeaderSchema,
  type ResponseOp,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../gen/etcdserverpb/rpc_pb.js";
import { KeyValueSchema, type KeyValue as PlainKeyValue } from "../gen/mvccpb/kv_pb.js";
import { WireError, WireWriter } from "../protobuf/wire.js";
import {
  deleteRangeResults,
  expectedCompaction,
  expectedDeleteRange,
  expectedPut,
  expectedRange,
  expectedTxn,
  keyValues,
  plainCompactions,
  plainDeleteRanges,
  plainPuts,
  plainRanges,
  plainTxns,
  putResults,
  rangeResults,
  revisions,
  txnResults,
  unknownFields,
} from "./codec/generators.js";
import {
  decodeCompaction,
  decodeDeleteRange,
  decodeKeyValue,
  decodePut,
  decodeRange,
  decodeTxn,
  encodeCompaction,
  encodeDeleteRange,
  encodeKeyValue,
  encodePut,
  encodeRange,
  encodeTxn,
  keyValueBytes,
  NestingTooDeep,
  ResponseEncoder,
} from "./codec.js";
import type { KeyValue, OpResult } from "./messages.js";

const clusterId = 0xcdf8_1818_1e33_1a7bn;
const memberId = 0x8e9e_05c5_2164_694dn;
const terms = fc.oneof(fc.constant(2), fc.integer({ min: 1, max: 1_000_000 }));

/** Buffers and plain arrays of the same bytes count as equal. */
function bare(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(bare);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== "$typeName" && name !== "$unknown")
      .map(([name, field]) => [name, bare(field)]),
  );
}
const assertSame = (found: unknown, expected: unknown): void => assert.deepEqual(bare(found), bare(expected));

/** The properties every request's codec must have, checked against @bufbuild/protobuf. */
function requestCodec<D extends DescMessage, R>(
  name: string,
  schema: D,
  plain: fc.Arbitrary<MessageShape<D>>,
  expected: (message: MessageShape<D>) => R,
  decode: (bytes: Uint8Array, start?: number) => R,
  encode: (request: R) => Uint8Array,
): void {
  test(`${name}: what @bufbuild/protobuf encodes is decoded the same, unknown fields around it or not`, () => {
    fc.assert(
      fc.property(plain, unknownFields, unknownFields, (message, before, after) => {
        const bytes = Buffer.concat([before, toBinary(schema, message), after]);
        assertSame(decode(bytes), expected(message));
      }),
    );
  });

  test(`${name}: two encodings after one another are merged as @bufbuild/protobuf merges them`, () => {
    fc.assert(
      fc.property(plain, plain, (first, second) => {
        const bytes = Buffer.concat([toBinary(schema, first), toBinary(schema, second)]);
        assertSame(decode(bytes), expected(fromBinary(schema, bytes)));
      }),
    );
  });

  test(`${name}: what we encode, @bufbuild/protobuf decodes to the same`, () => {
    fc.assert(
      fc.property(plain, (message) => {
        const request = expected(message);
        assertSame(expected(fromBinary(schema, encode(request))), request);
        assertSame(decode(encode(request)), request);
      }),
    );
  });

  test(`${name}: a message may begin anywhere in the bytes`, () => {
    fc.assert(
      fc.property(plain, fc.uint8Array({ maxLength: 5 }), (message, prefix) => {
        const bytes = Buffer.concat([prefix, toBinary(schema, message)]);
        assertSame(decode(bytes, prefix.length), expected(message));
      }),
    );
  });

  test(`${name}: garbage and damaged messages throw WireError or mean what @bufbuild/protobuf reads`, () => {
    const damaged = fc
      .tuple(plain, fc.nat(), fc.nat({ max: 255 }), fc.nat())
      .map(([message, at, byte, cut]) => {
        const bytes = Buffer.from(toBinary(schema, message));
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        return bytes.subarray(0, cut % (bytes.length + 1));
      });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 64 })), (bytes) => {
        let request: R;
        try {
          request = decode(bytes);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
          return;
        }
        assertSame(request, expected(fromBinary(schema, bytes)));
      }),
      { numRuns: 500 },
    );
  });
}

requestCodec("PutRequest", PutRequestSchema, plainPuts, expectedPut, decodePut, encodePut);
requestCodec("RangeRequest", RangeRequestSchema, plainRanges, expectedRange, decodeRange, encodeRange);
requestCodec(
  "DeleteRangeRequest",
  DeleteRangeRequestSchema,
  plainDeleteRanges,
  expectedDeleteRange,
  decodeDeleteRange,
  encodeDeleteRange,
);
requestCodec("TxnRequest", TxnRequestSchema, plainTxns, expectedTxn, decodeTxn, encodeTxn);
requestCodec(
  "CompactionRequest",
  CompactionRequestSchema,
  plainCompactions,
  expectedCompaction,
  decodeCompaction,
  encodeCompaction,
);

test("the parts of an operation given twice in a txn are merged when they are of one kind", () => {
  const half = (field: number, bytes: string): Uint8Array =>
    new WireWriter().bytes(2, new WireWriter().bytes(field, Buffer.from(bytes)).finish()).finish();
  const op = Buffer.concat([half(1, "key"), half(2, "value")]);
  const [merged] = decodeTxn(new WireWriter().bytes(2, op).finish()).success;
  assert.ok(merged?.kind === "put");
  assertSame([merged.request.key, merged.request.value], [Buffer.from("key"), Buffer.from("value")]);
});

test("a revision beyond 2^53 is read as the nearest safe integer, so it stays a future one", () => {
  const request = create(RangeRequestSchema, { revision: 2n ** 63n - 1n });
  assert.equal(decodeRange(toBinary(RangeRequestSchema, request)).revision, Number.MAX_SAFE_INTEGER);
  const negative = create(RangeRequestSchema, { revision: -(2n ** 63n) });
  assert.equal(decodeRange(toBinary(RangeRequestSchema, negative)).revision, -Number.MAX_SAFE_INTEGER);
});

test("a known field with another wire type is malformed, as it is to etcd", () => {
  assert.throws(() => decodePut(Uint8Array.of(0x08, 0x01)), WireError);
  assert.throws(() => decodeRange(Uint8Array.of(0x1a, 0x01, 0x01)), WireError);
  assert.throws(() => decodeTxn(Uint8Array.of(0x10, 0x01)), WireError);
  assert.throws(() => decodeKeyValue(Uint8Array.of(0x08, 0x01)), WireError);
});

test("a txn nested a hundred thousand deep is refused without exhausting the stack", () => {
  let bytes: Uint8Array = new Uint8Array(0);
  const writer = new WireWriter();
  const prefixes: Buffer[] = [];
  let length = 0;
  for (let depth = 0; depth < 100_000; depth++) {
    const inner = Buffer.from(writer.header(4, length).finish());
    const outer = Buffer.from(writer.header(2, length + inner.length).finish());
    prefixes.push(inner, outer);
    length += inner.length + outer.length;
  }
  bytes = Buffer.concat(prefixes.reverse());
  assert.throws(() => decodeTxn(bytes), NestingTooDeep);
});

function plainKeyValue(kv: KeyValue): unknown {
  const { key, value, lease } = kv;
  return {
    key,
    createRevision: BigInt(kv.createRevision),
    modRevision: BigInt(kv.modRevision),
    version: BigInt(kv.version),
    value,
    lease,
  };
}

test("a key-value is encoded as @bufbuild/protobuf encodes it, in the announced size, and read back", () => {
  fc.assert(
    fc.property(keyValues, (kv) => {
      const bytes = encodeKeyValue(kv);
      assert.equal(bytes.length, keyValueBytes(kv));
      assertSame(bytes, toBinary(KeyValueSchema, create(KeyValueSchema, plainKeyValue(kv) as PlainKeyValue)));
      assertSame(decodeKeyValue(bytes), kv);
    }),
  );
});

const fullHeader = (revision: number, term: number): Partial<ResponseHeader> => ({
  clusterId,
  memberId,
  revision: BigInt(revision),
  raftTerm: BigInt(term),
});
const noHeader = { clusterId: 0n, memberId: 0n, revision: 0n, raftTerm: 0n };

/** Body of a result, told from the result itself; headers inside hold what etcd puts there. */
function plainBody(result: OpResult): Record<string, unknown> {
  switch (result.kind) {
    case "range":
      return { kvs: result.kvs.map(plainKeyValue), more: result.more, count: BigInt(result.count) };
    case "put":
      return result.prevKv === undefined ? {} : { prevKv: plainKeyValue(result.prevKv) };
    case "deleteRange":
      return { deleted: BigInt(result.deleted), prevKvs: result.prevKvs.map(plainKeyValue) };
    case "txn":
      return {
        succeeded: result.succeeded,
        responses: result.responses.map((response) => {
          const header =
            response.kind === "txn" ? noHeader : { ...noHeader, revision: BigInt(response.revision) };
          const names = {
            range: "responseRange",
            put: "responsePut",
            deleteRange: "responseDeleteRange",
            txn: "responseTxn",
          } as const;
          return { response: { case: names[response.kind], value: { header, ...plainBody(response) } } };
        }),
      };
    default:
      return result satisfies never;
  }
}

function assertResponse<D extends DescMessage>(
  schema: D,
  bytes: Uint8Array,
  result: OpResult,
  term: number,
): void {
  const found = fromBinary(schema, bytes);
  assertSame(found, { header: fullHeader(result.revision, term), ...plainBody(result) });
  // Nothing superfluous on the wire: the plain version needs as many bytes.
  assertSame(bytes, toBinary(schema, found));
}

test("responses are the bytes @bufbuild/protobuf gives, header complete on top, revision alone below", () => {
  const encoder = new ResponseEncoder(clusterId, memberId);
  fc.assert(
    fc.property(putResults, terms, (r, t) => assertResponse(PutResponseSchema, encoder.put(r, t), r, t)),
  );
  fc.assert(
    fc.property(rangeResults, terms, (r, t) =>
      assertResponse(RangeResponseSchema, encoder.range(r, t), r, t),
    ),
  );
  fc.assert(
    fc.property(deleteRangeResults, terms, (r, t) =>
      assertResponse(DeleteRangeResponseSchema, encoder.deleteRange(r, t), r, t),
    ),
  );
  fc.assert(
    fc.property(txnResults, terms, (r, t) => assertResponse(TxnResponseSchema, encoder.txn(r, t), r, t)),
  );
  fc.assert(
    fc.property(revisions, terms, (revision, term) => {
      const found = fromBinary(CompactionResponseSchema, encoder.compaction(revision, term));
      assertSame(found, { header: fullHeader(revision, term) });
    }),
  );
});

test("a nested txn has a header that is present and empty", () => {
  const nested = { kind: "txn", revision: 7, succeeded: true, responses: [] } as const;
  const bytes = new ResponseEncoder(1n, 2n).txn({ ...nested, responses: [nested] }, 3);
  const [op]: (ResponseOp | undefined)[] = fromBinary(TxnResponseSchema, bytes).responses;
  assert.ok(op?.response.case === "responseTxn");
  assert.deepEqual(op.response.value.header, create(ResponseHeaderSchema));
});

test("responses already handed out are not touched by later ones", () => {
  const encoder = new ResponseEncoder(clusterId, memberId);
  fc.assert(
    fc.property(fc.array(fc.oneof(putResults, rangeResults), { minLength: 2, maxLength: 20 }), (results) => {
      const responses = results.map((r) => (r.kind === "put" ? encoder.put(r, 2) : encoder.range(r, 2)));
      const copies = responses.map((bytes) => Buffer.from(bytes));
      for (const result of results) if (result.kind === "put") encoder.put(result, 2);
      assertSame(responses, copies);
    }),
    { numRuns: 30 },
  );
});
