import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import type { PaxosMessage } from "../../consensus/paxos/messages.js";
import type { EntryKind } from "../../consensus/types.js";
import { ExchangeRequestSchema } from "../../gen/quorate/consensus/v1/peer_pb.js";
import { WireError } from "../../protobuf/wire.js";
import { decodeExchange, encodeExchange } from "./exchange-codec.js";
import { paxosCodec } from "./paxos-codec.js";

const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const flag = fc.boolean();
const entries = fc.array(
  fc.record({
    index: number,
    epoch: number,
    kind: fc.constantFrom<EntryKind>(0, 1, 2),
    payload: fc.uint8Array({ maxLength: 50 }),
  }),
  { maxLength: 5 },
);
const round = number;
const kind = <K extends PaxosMessage["kind"]>(name: K) => fc.constant(name);

const message: fc.Arbitrary<PaxosMessage> = fc.oneof(
  fc.record({ kind: kind("ask"), round, inquiry: number }),
  fc.record({ kind: kind("answer"), round, inquiry: number, happy: flag }),
  fc.record({ kind: kind("prepare"), round, transfer: flag, leading: flag, session: number }),
  fc.record({
    kind: kind("promise"),
    round,
    accepted: number,
    lastIndex: number,
    decided: number,
    session: number,
  }),
  fc.record({ kind: kind("fetch"), round, from: number }),
  fc.record({ kind: kind("chunk"), round, from: number, entries, accepted: number, lastIndex: number }),
  fc.record({
    kind: kind("acceptSync"),
    round,
    session: number,
    sequence: number,
    decided: number,
    previousIndex: number,
    entries,
    last: flag,
  }),
  fc.record({ kind: kind("accept"), round, session: number, sequence: number, decided: number, entries }),
  fc.record({ kind: kind("decide"), round, session: number, sequence: number, decided: number, asks: flag }),
  fc.record({ kind: kind("accepted"), round, index: number }),
  fc.record({ kind: kind("notAccepted"), round }),
  fc.record({ kind: kind("prepareRequest"), round, session: number }),
  fc.record({ kind: kind("heartbeat"), round, decided: number, readPosition: number }),
  fc.record({ kind: kind("heartbeatReply"), round, readPosition: number }),
  fc.record({ kind: kind("takeOver"), round }),
);
const exchanged = fc.record({ kind: fc.constant("consensus" as const), group: fc.nat(), message });

/** Buffers and byte arrays compare by content. */
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
};

test("every Paxos message survives our codec, and the generated codec rewrites it to the same meaning", () => {
  fc.assert(
    fc.property(exchanged, (each) => {
      const encoded = encodeExchange(each, paxosCodec);
      assert.deepEqual(plain(decodeExchange(encoded, paxosCodec)), plain(each));
      const generated = fromBinary(ExchangeRequestSchema, encoded);
      assert.equal(generated.$unknown, undefined);
      const rewritten = toBinary(ExchangeRequestSchema, create(ExchangeRequestSchema, generated));
      assert.deepEqual(plain(decodeExchange(rewritten, paxosCodec)), plain(each));
    }),
    { numRuns: 500 },
  );
});

test("garbage in place of a Paxos message is refused with WireError, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), exchanged, fc.nat(), (garbage, each, at) => {
      const damaged = Buffer.from(encodeExchange(each, paxosCodec));
      if (damaged.length > 0) damaged[at % damaged.length]! ^= 1 << (at % 8);
      for (const input of [garbage, damaged]) {
        try {
          decodeExchange(input, paxosCodec);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }
    }),
  );
});
