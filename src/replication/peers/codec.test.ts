import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import type { RaftMessage } from "../../consensus/raft/messages.js";
import type { EntryKind } from "../../consensus/types.js";
import { ExchangeRequestSchema } from "../../gen/quorate/consensus/v1/peer_pb.js";
import { WireError } from "../../protobuf/wire.js";
import {
  decodeControlRequest,
  decodeControlResponse,
  encodeControlRequest,
  encodeControlResponse,
} from "./control-codec.js";
import { decodeExchange, type Exchanged, encodeExchange } from "./exchange-codec.js";
import { raftCodec } from "./raft-codec.js";
import { decodePiece, encodePiece } from "./snapshot-codec.js";

const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const bytes = fc.uint8Array({ maxLength: 50 });
const entry = fc.record({
  index: number,
  epoch: number,
  kind: fc.constantFrom<EntryKind>(0, 1, 2),
  payload: bytes,
});
const raftMessage: fc.Arbitrary<RaftMessage> = fc.oneof(
  fc.record({
    kind: fc.constant("vote" as const),
    term: number,
    pre: fc.boolean(),
    lastIndex: number,
    lastTerm: number,
    transfer: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("voteReply" as const),
    term: number,
    pre: fc.boolean(),
    granted: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("append" as const),
    term: number,
    previousIndex: number,
    previousTerm: number,
    commit: number,
    entries: fc.array(entry, { maxLength: 5 }),
  }),
  fc.record({
    kind: fc.constant("appendReply" as const),
    term: number,
    rejected: fc.boolean(),
    index: number,
    hintIndex: number,
    hintTerm: number,
  }),
  fc.record({ kind: fc.constant("heartbeat" as const), term: number, commit: number, readPosition: number }),
  fc.record({ kind: fc.constant("heartbeatReply" as const), term: number, readPosition: number }),
  fc.record({ kind: fc.constant("timeoutNow" as const), term: number }),
);
const exchanged: fc.Arbitrary<Exchanged<RaftMessage>> = fc.oneof(
  fc.record({
    kind: fc.constant("hello" as const),
    hello: fc.record({
      clusterId: number,
      node: number,
      engine: fc.string(),
      protocolVersion: fc.nat(),
      incarnation: number,
      memberAsOf: number,
    }),
  }),
  fc.record({ kind: fc.constant("consensus" as const), group: fc.nat(), message: raftMessage }),
  fc.record({
    kind: fc.constant("forwarded" as const),
    group: fc.nat(),
    epoch: number,
    batches: fc.array(bytes),
  }),
  fc.record({ kind: fc.constant("readBarrier" as const), group: fc.nat(), id: number }),
  fc.record({
    kind: fc.constant("readIndex" as const),
    group: fc.nat(),
    id: number,
    index: fc.option(number, { nil: undefined }),
  }),
  fc.record({ kind: fc.constant("question" as const), group: fc.nat(), id: number, question: bytes }),
  fc.record({
    kind: fc.constant("answer" as const),
    group: fc.nat(),
    id: number,
    answer: fc.option(bytes, { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant("refused" as const),
    group: fc.nat(),
    epoch: number,
    sequences: fc.array(number),
    reason: fc.string(),
  }),
);

/** Buffers and byte arrays compare by content. */
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
};

test("every peer message survives our codec, and the generated codec rewrites it to the same meaning", () => {
  fc.assert(
    fc.property(exchanged, (message) => {
      const encoded = encodeExchange(message, raftCodec);
      assert.deepEqual(plain(decodeExchange(encoded, raftCodec)), plain(message));
      const generated = fromBinary(ExchangeRequestSchema, encoded);
      assert.equal(generated.$unknown, undefined);
      const rewritten = toBinary(ExchangeRequestSchema, create(ExchangeRequestSchema, generated));
      assert.deepEqual(plain(decodeExchange(rewritten, raftCodec)), plain(message));
    }),
  );
});

test("garbage from a peer is refused with WireError, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), exchanged, fc.nat(), (garbage, message, at) => {
      const damaged = Buffer.from(encodeExchange(message, raftCodec));
      if (damaged.length > 0) damaged[at % damaged.length]! ^= 1 << (at % 8);
      for (const input of [garbage, damaged]) {
        try {
          decodeExchange(input, raftCodec);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }
    }),
  );
});

test("the pieces of a snapshot stream survive the codec", () => {
  const meta = {
    id: { index: 12, epoch: 3 },
    membership: { voters: [1, 2, 3], outgoing: [], learners: [9], learnersNext: [], autoLeave: false },
    membershipIndex: 7,
  };
  const sender = {
    clusterId: 5,
    node: 1,
    engine: "raft",
    protocolVersion: 1,
    incarnation: 99,
    memberAsOf: 7,
  };
  for (const piece of [
    { kind: "header", header: { group: 0, sender, epoch: 4, meta } },
    { kind: "chunk", chunk: new Uint8Array([1, 2, 3]) },
    { kind: "trailer", crc32: 0xffffffff, bytes: 2 ** 40 },
  ] as const) {
    assert.deepEqual(plain(decodePiece(encodePiece(piece))), plain(piece));
  }
});

test("a membership change and its outcome survive the codec", () => {
  const sender = {
    clusterId: 5,
    node: 1,
    engine: "raft",
    protocolVersion: 1,
    incarnation: 99,
    memberAsOf: 7,
  };
  const change = {
    steps: [
      { op: "addVoter", node: 4 },
      { op: "remove", node: 2 },
    ],
    joint: true,
    context: new Uint8Array([8, 1]),
  } as const;
  const decoded = decodeControlRequest(encodeControlRequest({ group: 3, sender, change }));
  assert.deepEqual(plain(decoded), plain({ group: 3, sender, change }));
  assert.equal(decodeControlResponse(encodeControlResponse(undefined)), undefined);
  const failure = {
    kind: "failed",
    reason: "unhealthy",
    outcome: "refused",
    detail: "two of three",
  } as const;
  assert.deepEqual(decodeControlResponse(encodeControlResponse(failure)), failure);
});
