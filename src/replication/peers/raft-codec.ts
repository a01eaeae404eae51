// Encodes the messages of the Raft engine as quorate.consensus.v1.RaftMessage. By hand, because every
// replicated batch passes here; held against the generated codec by a property test.

import type { Append, RaftMessage } from "../../consensus/raft/messages.js";
import type { Entry } from "../../consensus/types.js";
import { WireError, WireReader, type WireWriter } from "../../protobuf/wire.js";
import { decodeEntry, entriesBytes, writeEntry } from "./entry-codec.js";
import type { MessageCodec } from "./exchange-codec.js";

const body = {
  vote: 2,
  voteReply: 3,
  append: 4,
  appendReply: 5,
  heartbeat: 6,
  heartbeatReply: 7,
  timeoutNow: 8,
} as const;

export const raftCodec: MessageCodec<RaftMessage> = { field: 2, bound, encode, decode };

function encode(message: RaftMessage, writer: WireWriter): void {
  writer.uint(1, message.term);
  const start = writer.begin(body[message.kind]);
  encodeBody(message, writer);
  writer.end(start);
}

function encodeBody(message: RaftMessage, writer: WireWriter): void {
  switch (message.kind) {
    case "vote":
      writer
        .bool(1, message.pre)
        .uint(2, message.lastIndex)
        .uint(3, message.lastTerm)
        .bool(4, message.transfer);
      return;
    case "voteReply":
      writer.bool(1, message.pre).bool(2, message.granted);
      return;
    case "append":
      writer.uint(1, message.previousIndex).uint(2, message.previousTerm).uint(3, message.commit);
      for (const entry of message.entries) writeEntry(writer, 4, entry);
      return;
    case "appendReply":
      writer
        .bool(1, message.rejected)
        .uint(2, message.index)
        .uint(3, message.hintIndex)
        .uint(4, message.hintTerm);
      return;
    case "heartbeat":
      writer.uint(1, message.commit).uint(2, message.readPosition);
      return;
    case "heartbeatReply":
      writer.uint(1, message.readPosition);
      return;
    case "timeoutNow":
      return;
    default:
      throw new Error(`cannot encode ${String(message satisfies never)}`);
  }
}

/** Bytes of the encoded message, at most. */
function bound(message: RaftMessage): number {
  if (message.kind !== "append") return 64;
  return entriesBytes(message.entries);
}

function decode(bytes: Uint8Array): RaftMessage {
  const reader = new WireReader(bytes);
  let term = 0;
  let kind = 0;
  let inner: Uint8Array | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) term = reader.varint();
    else if ((tag & 7) === 2 && tag >= body.vote * 8 && tag < (body.timeoutNow + 1) * 8) {
      kind = Math.floor(tag / 8);
      inner = reader.bytes();
    } else reader.skip(tag);
  }
  if (inner === undefined) throw new WireError("Raft message without a body");
  if (kind === body.append) return decodeAppend(inner, term);
  const at = fields(inner);
  switch (kind) {
    case body.vote:
      return {
        kind: "vote",
        term,
        pre: at[1] !== 0,
        lastIndex: at[2]!,
        lastTerm: at[3]!,
        transfer: at[4] !== 0,
      };
    case body.voteReply:
      return { kind: "voteReply", term, pre: at[1] !== 0, granted: at[2] !== 0 };
    case body.appendReply:
      return {
        kind: "appendReply",
        term,
        rejected: at[1] !== 0,
        index: at[2]!,
        hintIndex: at[3]!,
        hintTerm: at[4]!,
      };
    case body.heartbeat:
      return { kind: "heartbeat", term, commit: at[1]!, readPosition: at[2]! };
    case body.heartbeatReply:
      return { kind: "heartbeatReply", term, readPosition: at[1]! };
    default:
      return { kind: "timeoutNow", term };
  }
}

/** The varint fields 1 to 4 of a message; 0 where absent. */
function fields(bytes: Uint8Array): number[] {
  const found = [0, 0, 0, 0, 0];
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.tag();
    if ((tag & 7) === 0 && tag < 40) found[tag >> 3] = reader.varint();
    else reader.skip(tag);
  }
  return found;
}

function decodeAppend(bytes: Uint8Array, term: number): Append {
  const reader = new WireReader(bytes);
  const entries: Entry[] = [];
  let previousIndex = 0;
  let previousTerm = 0;
  let commit = 0;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 34) entries.push(decodeEntry(reader.bytes()));
    else if (tag === 8) previousIndex = reader.varint();
    else if (tag === 16) previousTerm = reader.varint();
    else if (tag === 24) commit = reader.varint();
    else reader.skip(tag);
  }
  return { kind: "append", term, previousIndex, previousTerm, commit, entries };
}
