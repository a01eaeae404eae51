import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  KeepAliveAnswerSchema,
  LeaseCheckpointSchema,
  LeaseExpirySchema,
  LeaseQuestionSchema,
  LeaseRenewalSchema,
  LeaseRowSchema,
  RemainingAnswerSchema,
} from "../gen/quorate/lease/v1/lease_pb.js";
import { WireError } from "../protobuf/wire.js";
import { highOf, idOf, lowOf } from "./lease-id.js";
import {
  decodeCheckpoint,
  decodeExpiry,
  decodeKeepAliveAnswer,
  decodeLeaseRow,
  decodeQuestion,
  decodeRemainingAnswer,
  decodeRenewal,
  encodeCheckpoint,
  encodeExpiry,
  encodeKeepAliveAnswer,
  encodeLeaseRow,
  encodeQuestion,
  encodeRemainingAnswer,
  encodeRenewal,
} from "./messages.js";

const id = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: -2n, max: 2n }));
const number = fc.oneof(fc.maxSafeNat(), fc.nat(3));
const halves = (ids: readonly bigint[]): number[] => ids.flatMap((one) => [highOf(one), lowOf(one)]);

/** Ours and @bufbuild/protobuf's must read each other's bytes. */
function agree<S extends DescMessage, T>(
  schema: S,
  message: MessageInitShape<S>,
  value: T,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => T,
): void {
  const theirs = create(schema, message);
  assert.deepEqual(decode(toBinary(schema, theirs)), value);
  assert.deepEqual(fromBinary(schema, encode(value)), theirs);
}

describe("messages about leases", () => {
  it("are those of the schema: rows and commands", () => {
    const lease = fc.record({ id, version: number, remaining: number });
    fc.assert(
      fc.property(fc.array(lease, { maxLength: 20 }), number, (leases, epoch) => {
        const ids = leases.map((one) => one.id);
        const versions = leases.map((one) => one.version);
        const remaining = leases.map((one) => one.remaining);
        const common = { epoch: BigInt(epoch), ids, versions: versions.map(BigInt) };
        agree(
          LeaseExpirySchema,
          common,
          { epoch, ids: halves(ids), versions },
          encodeExpiry,
          (bytes) => ({ ...decodeExpiry(bytes) }) as { epoch: number; ids: number[]; versions: number[] },
        );
        const checkpoint = { epoch, ids: halves(ids), versions, remaining };
        agree(
          LeaseCheckpointSchema,
          { ...common, remaining: remaining.map(BigInt) },
          checkpoint,
          encodeCheckpoint,
          (bytes) => decodeCheckpoint(bytes) as typeof checkpoint,
        );
        agree(LeaseRenewalSchema, { ids }, halves(ids), encodeRenewal, (bytes) => decodeRenewal(bytes));
        for (const { version, remaining } of leases)
          agree(
            LeaseRowSchema,
            { ttl: BigInt(epoch), version: BigInt(version), remaining: BigInt(remaining) },
            { ttl: epoch, remaining, version },
            encodeLeaseRow,
            decodeLeaseRow,
          );
      }),
    );
  });

  it("are those of the schema: questions and answers", () => {
    fc.assert(
      fc.property(fc.array(id, { maxLength: 20 }), fc.boolean(), id, number, (ids, wait, one, ttl) => {
        const keepAlive = encodeQuestion({ kind: "keepAlive", ids: halves(ids), wait });
        const theirs = create(LeaseQuestionSchema, {
          question: { case: "keepAlive", value: { ids, wait } },
        });
        assert.deepEqual(fromBinary(LeaseQuestionSchema, keepAlive), theirs);
        assert.deepEqual(decodeQuestion(toBinary(LeaseQuestionSchema, theirs)), {
          kind: "keepAlive",
          ids: halves(ids),
          wait,
        });
        const remaining = encodeQuestion({ kind: "remaining", high: highOf(one), low: lowOf(one) });
        const asked = create(LeaseQuestionSchema, { question: { case: "remaining", value: { id: one } } });
        assert.deepEqual(fromBinary(LeaseQuestionSchema, remaining), asked);
        const decoded = decodeQuestion(toBinary(LeaseQuestionSchema, asked));
        assert.ok(decoded.kind === "remaining" && idOf(decoded.high, decoded.low) === one);
        agree(
          RemainingAnswerSchema,
          { found: wait, remainingMs: BigInt(ttl), ttl: BigInt(ttl) },
          { found: wait, remainingMs: ttl, ttl },
          encodeRemainingAnswer,
          decodeRemainingAnswer,
        );
        agree(
          KeepAliveAnswerSchema,
          { ttlsPlusOne: [0n, 1n, BigInt(ttl)] },
          [0, 1, ttl],
          encodeKeepAliveAnswer,
          decodeKeepAliveAnswer,
        );
      }),
    );
  });

  it("are refused when their lists do not match or an ID is cut short", () => {
    const ids = [1, 2, 3, 4];
    assert.throws(() => decodeExpiry(encodeExpiry({ epoch: 1, ids, versions: [1] })), WireError);
    assert.throws(
      () => decodeCheckpoint(encodeCheckpoint({ epoch: 1, ids, versions: [1, 2], remaining: [] })),
      WireError,
    );
    assert.throws(() => decodeRenewal(Uint8Array.of(10, 3, 1, 2, 3)), WireError);
    assert.throws(() => decodeQuestion(new Uint8Array(0)), WireError);
  });
});
