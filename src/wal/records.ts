// What the body of a frame holds: batches, the state of all groups with which every segment begins,
// and the mark of a clean close. Decoding trusts nothing: a frame whose checksum fits may still be
// malformed, and is then reported, never skipped.
import { strict as assert } from "node:assert";
import { readU64, writeU64 } from "./format.js";
import { emptyGroup, type GroupState, type LogBatch } from "./group-state.js";
import type { WalEntry, WalHardState } from "./types.js";

const RecordType = { batch: 1, state: 2, closed: 3 } as const;
const HAS_TRUNCATE = 1;
const HAS_HARD_STATE = 2;
const HAS_RESTART = 4;
const HAS_COMPACT = 8;

const BATCH_FIXED_BYTES = 1 + 4 + 1 + 4;
const ID_BYTES = 16;
const HARD_STATE_BYTES = 40;
const ENTRY_FIXED_BYTES = 8 + 1 + 4;
const STATE_FIXED_BYTES = 1 + 8 + 4 + 4;
const GROUP_FIXED_BYTES = 4 + 1 + ID_BYTES + 8;

export type LogRecord =
  | { readonly type: "batch"; readonly batch: LogBatch }
  | {
      readonly type: "state";
      /** The segment before this one and where its frames ended; 0 and 0 in the very first segment. */
      readonly previous: { readonly sequence: number; readonly end: number };
      readonly groups: ReadonlyMap<number, GroupState>;
    }
  | { readonly type: "closed" };

export function batchBytes(batch: LogBatch): number {
  let bytes = BATCH_FIXED_BYTES;
  if (batch.truncateAfter !== undefined) bytes += 8;
  if (batch.hardState !== undefined) bytes += HARD_STATE_BYTES;
  if (batch.restartAfter !== undefined) bytes += ID_BYTES;
  if (batch.compactTo !== undefined) bytes += ID_BYTES;
  const { entries } = batch;
  if (entries.length > 0) bytes += 8;
  for (let at = 0; at < entries.length; at++) bytes += ENTRY_FIXED_BYTES + entries[at]!.payload.length;
  return bytes;
}

function writeHardState(target: Buffer, hard: WalHardState, start: number): number {
  let at = writeU64(target, hard.promised.round, start);
  at = writeU64(target, hard.promised.node, at);
  at = writeU64(target, hard.accepted.round, at);
  at = writeU64(target, hard.accepted.node, at);
  return writeU64(target, hard.commit, at);
}

function writeId(target: Buffer, id: { readonly index: number; readonly epoch: number }, at: number): number {
  return writeU64(target, id.epoch, writeU64(target, id.index, at));
}

/** Writes the batch at `start`; returns where it ends, `batchBytes(batch)` further. */
export function writeBatch(target: Buffer, batch: LogBatch, start: number): number {
  const { entries, truncateAfter, hardState, restartAfter, compactTo } = batch;
  let at = start;
  target[at] = RecordType.batch;
  target.writeUInt32LE(batch.group, at + 1);
  target[at + 5] =
    (truncateAfter === undefined ? 0 : HAS_TRUNCATE) |
    (hardState === undefined ? 0 : HAS_HARD_STATE) |
    (restartAfter === undefined ? 0 : HAS_RESTART) |
    (compactTo === undefined ? 0 : HAS_COMPACT);
  target.writeUInt32LE(entries.length, at + 6);
  at += BATCH_FIXED_BYTES;
  if (truncateAfter !== undefined) at = writeU64(target, truncateAfter, at);
  if (hardState !== undefined) at = writeHardState(target, hardState, at);
  if (restartAfter !== undefined) at = writeId(target, restartAfter, at);
  if (compactTo !== undefined) at = writeId(target, compactTo, at);
  if (entries.length > 0) at = writeU64(target, entries[0]!.index, at);
  for (let each = 0; each < entries.length; each++) {
    const entry = entries[each]!;
    at = writeU64(target, entry.epoch, at);
    target[at] = entry.kind;
    target.writeUInt32LE(entry.payload.length, at + 1);
    target.set(entry.payload, at + 5);
    at += 5 + entry.payload.length;
  }
  return at;
}

export function encodeState(
  previous: { readonly sequence: number; readonly end: number },
  groups: ReadonlyMap<number, GroupState>,
): Buffer {
  const bytes = Buffer.alloc(STATE_FIXED_BYTES + groups.size * (GROUP_FIXED_BYTES + HARD_STATE_BYTES));
  bytes[0] = RecordType.state;
  let at = writeU64(bytes, previous.sequence, 1);
  bytes.writeUInt32LE(previous.end, at);
  bytes.writeUInt32LE(groups.size, at + 4);
  at += 8;
  for (const [group, state] of groups) {
    bytes.writeUInt32LE(group, at);
    bytes[at + 4] = state.hardState === undefined ? 0 : HAS_HARD_STATE;
    at = writeId(bytes, state.after, at + 5);
    at = writeU64(bytes, state.last, at);
    if (state.hardState !== undefined) at = writeHardState(bytes, state.hardState, at);
  }
  return bytes.subarray(0, at);
}

export const encodeClosed = (): Buffer => Buffer.from([RecordType.closed]);

/** Thrown by decodeRecords; recovery adds the segment and the offset. */
export class MalformedRecord extends Error {
  override readonly name = "MalformedRecord";
}

class Reader {
  at = 0;
  constructor(readonly body: Buffer) {}

  take(bytes: number): number {
    const from = this.at;
    if (from + bytes > this.body.length) throw new MalformedRecord("a record ends too early");
    this.at = from + bytes;
    return from;
  }
  u8(): number {
    return this.body[this.take(1)]!;
  }
  u32(): number {
    return this.body.readUInt32LE(this.take(4));
  }
  u64(): number {
    const value = readU64(this.body, this.take(8));
    if (!Number.isSafeInteger(value)) throw new MalformedRecord("a number is out of range");
    return value;
  }
  id(): { index: number; epoch: number } {
    return { index: this.u64(), epoch: this.u64() };
  }
  hardState(): WalHardState {
    return {
      promised: { round: this.u64(), node: this.u64() },
      accepted: { round: this.u64(), node: this.u64() },
      commit: this.u64(),
    };
  }
}

function readBatch(reader: Reader): LogBatch {
  const group = reader.u32();
  const flags = reader.u8();
  const count = reader.u32();
  const truncate = flags & HAS_TRUNCATE ? { truncateAfter: reader.u64() } : {};
  const hard = flags & HAS_HARD_STATE ? { hardState: reader.hardState() } : {};
  const restart = flags & HAS_RESTART ? { restartAfter: reader.id() } : {};
  const compact = flags & HAS_COMPACT ? { compactTo: reader.id() } : {};
  const entries: WalEntry[] = [];
  let index = count > 0 ? reader.u64() : 0;
  for (let at = 0; at < count; at++, index++) {
    const epoch = reader.u64();
    const kind = reader.u8();
    const length = reader.u32();
    const from = reader.take(length);
    // A view, not a copy: recovery reads into buffers that are never written again.
    entries.push({ index, epoch, kind, payload: reader.body.subarray(from, from + length) });
  }
  return { group, entries, mustSync: true, ...truncate, ...hard, ...restart, ...compact };
}

function readState(reader: Reader): LogRecord {
  const previous = { sequence: reader.u64(), end: reader.u32() };
  const count = reader.u32();
  const groups = new Map<number, GroupState>();
  for (let at = 0; at < count; at++) {
    const group = reader.u32();
    const flags = reader.u8();
    const state = emptyGroup();
    state.after = reader.id();
    state.last = reader.u64();
    if (flags & HAS_HARD_STATE) state.hardState = reader.hardState();
    groups.set(group, state);
  }
  return { type: "state", previous, groups };
}

/** @throws MalformedRecord */
export function decodeRecords(body: Buffer): LogRecord[] {
  const reader = new Reader(body);
  const records: LogRecord[] = [];
  while (reader.at < body.length) {
    const type = reader.u8();
    if (type === RecordType.batch) records.push({ type: "batch", batch: readBatch(reader) });
    else if (type === RecordType.state) records.push(readState(reader));
    else if (type === RecordType.closed) records.push({ type: "closed" });
    else throw new MalformedRecord(`unknown record type ${type}`);
  }
  assert(reader.at === body.length, "decoding ends where the body ends");
  return records;
}
