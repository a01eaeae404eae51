// Encodes the messages of the Multi-Paxos engine as quorate.consensus.v1.PaxosMessage. By hand, because
// every replicated batch passes here; held against the generated codec by a property test.

import type { PaxosMessage } from "../../consensus/paxos/messages.js";
import type { Entry } from "../../consensus/types.js";
import { WireError, WireReader, type WireWriter } from "../../protobuf/wire.js";
import { decodeEntry, entriesBytes, writeEntry } from "./entry-codec.js";
import type { MessageCodec } from "./exchange-codec.js";

const body = {
  ask: 2,
  answer: 3,
  prepare: 4,
  promise: 5,
  fetch: 6,
  chunk: 7,
  acceptSync: 8,
  accept: 9,
  decide: 10,
  accepted: 11,
  notAccepted: 12,
  prepareRequest: 13,
  heartbeat: 14,
  heartbeatReply: 15,
  takeOver: 16,
} as const;

const firstBody = body.ask;
const lastBody = body.takeOver;
/** Number of the field that holds entries, in the bodies that have one. */
const entriesField: Readonly<Record<number, number>> = {
  [body.chunk]: 2,
  [body.acceptSync]: 5,
  [body.accept]: 4,
};

export const paxosCodec: MessageCodec<PaxosMessage> = { field: 9, bound, encode, decode };

function encode(message: PaxosMessage, writer: WireWriter): void {
  writer.uint(1, message.round);
  const start = writer.begin(body[message.kind]);
  encodeBody(message, writer);
  writer.end(start);
}

/** Bytes of the encoded message, at most. */
function bound(message: PaxosMessage): number {
  return "entries" in message ? entriesBytes(message.entries) : 96;
}

function encodeBody(message: PaxosMessage, writer: WireWriter): void {
  switch (message.kind) {
    case "ask":
      writer.uint(1, message.inquiry);
      return;
    case "answer":
      writer.uint(1, message.inquiry).bool(2, message.happy);
      return;
    case "prepare":
      writer.bool(1, message.transfer).bool(2, message.leading).uint(3, message.session);
      return;
    case "promise":
      writer
        .uint(1, message.accepted)
        .uint(2, message.lastIndex)
        .uint(3, message.decided)
        .uint(4, message.session);
      return;
    case "fetch":
      writer.uint(1, message.from);
      return;
    case "chunk":
      writer.uint(1, message.from).uint(3, message.accepted).uint(4, message.lastIndex);
      writeEntries(writer, body.chunk, message.entries);
      return;
    case "acceptSync":
      writer
        .uint(1, message.session)
        .uint(2, message.sequence)
        .uint(3, message.decided)
        .uint(4, message.previousIndex)
        .bool(6, message.last);
      writeEntries(writer, body.acceptSync, message.entries);
      return;
    case "accept":
      writer.uint(1, message.session).uint(2, message.sequence).uint(3, message.decided);
      writeEntries(writer, body.accept, message.entries);
      return;
    case "decide":
      writer
        .uint(1, message.session)
        .uint(2, message.sequence)
        .uint(3, message.decided)
        .bool(4, message.asks);
      return;
    case "accepted":
      writer.uint(1, message.index);
      return;
    case "prepareRequest":
      writer.uint(1, message.session);
      return;
    case "heartbeat":
      writer.uint(1, message.decided).uint(2, message.readPosition);
      return;
    case "heartbeatReply":
      writer.uint(1, message.readPosition);
      return;
    case "notAccepted":
    case "takeOver":
      return;
    default:
      throw new Error(`cannot encode ${String(message satisfies never)}`);
  }
}

function writeEntries(writer: WireWriter, kind: number, entries: readonly Entry[]): void {
  const field = entriesField[kind]!;
  for (const entry of entries) writeEntry(writer, field, entry);
}

function decode(bytes: Uint8Array): PaxosMessage {
  const reader = new WireReader(bytes);
  let round = 0;
  let kind = 0;
  let inner: Uint8Array | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) round = reader.varint();
    else if ((tag & 7) === 2 && tag >= firstBody * 8 && tag < (lastBody + 1) * 8) {
      kind = Math.floor(tag / 8);
      inner = reader.bytes();
    } else reader.skip(tag);
  }
  if (inner === undefined) throw new WireError("Paxos message without a body");
  const { at, entries } = fields(inner, entriesField[kind]);
  switch (kind) {
    case body.ask:
      return { kind: "ask", round, inquiry: at[1]! };
    case body.answer:
      return { kind: "answer", round, inquiry: at[1]!, happy: at[2] !== 0 };
    case body.prepare:
      return { kind: "prepare", round, transfer: at[1] !== 0, leading: at[2] !== 0, session: at[3]! };
    case body.promise:
      return {
        kind: "promise",
        round,
        accepted: at[1]!,
        lastIndex: at[2]!,
        decided: at[3]!,
        session: at[4]!,
      };
    case body.fetch:
      return { kind: "fetch", round, from: at[1]! };
    case body.chunk:
      return { kind: "chunk", round, from: at[1]!, entries, accepted: at[3]!, lastIndex: at[4]! };
    case body.acceptSync:
      return {
        kind: "acceptSync",
        round,
        session: at[1]!,
        sequence: at[2]!,
        decided: at[3]!,
        previousIndex: at[4]!,
        entries,
        last: at[6] !== 0,
      };
    case body.accept:
      return { kind: "accept", round, session: at[1]!, sequence: at[2]!, decided: at[3]!, entries };
    case body.decide:
      return {
        kind: "decide",
        round,
        session: at[1]!,
        sequence: at[2]!,
        decided: at[3]!,
        asks: at[4] !== 0,
      };
    case body.accepted:
      return { kind: "accepted", round, index: at[1]! };
    case body.notAccepted:
      return { kind: "notAccepted", round };
    case body.prepareRequest:
      return { kind: "prepareRequest", round, session: at[1]! };
    case body.heartbeat:
      return { kind: "heartbeat", round, decided: at[1]!, readPosition: at[2]! };
    case body.heartbeatReply:
      return { kind: "heartbeatReply", round, readPosition: at[1]! };
    default:
      return { kind: "takeOver", round };
  }
}

/** The varint fields 1 to 6 of a body, 0 where absent, and its entries. */
function fields(
  bytes: Uint8Array,
  entriesIn: number | undefined,
): { readonly at: readonly number[]; readonly entries: readonly Entry[] } {
  const at = [0, 0, 0, 0, 0, 0, 0];
  const entries: Entry[] = [];
  const entriesTag = entriesIn === undefined ? -1 : entriesIn * 8 + 2;
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === entriesTag) entries.push(decodeEntry(reader.bytes()));
    else if ((tag & 7) === 0 && tag < 56) at[tag >> 3] = reader.varint();
    else reader.skip(tag);
  }
  return { at, entries };
}
