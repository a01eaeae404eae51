// The messages of quorate/lease/v1/lease.proto, by hand for speed: rows, commands of the log, and what
// nodes ask the leader. IDs travel as pairs of halves. Checked against @bufbuild/protobuf by
// messages.test.ts; malformed bytes throw WireError.

import { WireError, WireReader, WireWriter } from "../protobuf/wire.js";

/** IDs as halves, high and low in turn. */
export type IdHalves = readonly number[];

export interface LeaseRow {
  /** Seconds. */
  readonly ttl: number;
  /** Seconds; 0: all of them. */
  readonly remaining: number;
  readonly version: number;
}

export interface LeaseExpiry {
  readonly epoch: number;
  readonly ids: IdHalves;
  readonly versions: readonly number[];
}

export interface LeaseCheckpoint extends LeaseExpiry {
  /** Seconds left of each. */
  readonly remaining: readonly number[];
}

export type LeaseQuestion =
  | { readonly kind: "keepAlive"; readonly ids: IdHalves; readonly wait: boolean }
  | { readonly kind: "remaining"; readonly high: number; readonly low: number };

export interface RemainingAnswer {
  readonly found: boolean;
  readonly remainingMs: number;
  /** Seconds. */
  readonly ttl: number;
}

function packedIds(ids: IdHalves): Buffer {
  const bytes = Buffer.allocUnsafe(ids.length * 4);
  for (let at = 0; at < ids.length; at += 2) {
    bytes.writeInt32LE(ids[at + 1]!, at * 4);
    bytes.writeInt32LE(ids[at]!, at * 4 + 4);
  }
  return bytes;
}

function unpackIds(packed: Uint8Array, into: number[]): void {
  if (packed.length % 8 !== 0) throw new WireError("packed IDs end in the middle of one");
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.length);
  for (let at = 0; at < bytes.length; at += 8) into.push(bytes.readInt32LE(at + 4), bytes.readInt32LE(at));
}

function packedVarints(numbers: readonly number[]): Uint8Array {
  const writer = new WireWriter(numbers.length * 5 + 16);
  for (const number of numbers) writer.varint(number);
  return writer.finish();
}

function unpackVarints(packed: Uint8Array, into: number[]): void {
  const reader = new WireReader(packed);
  while (!reader.done) into.push(reader.varint());
}

export function encodeLeaseRow({ ttl, remaining, version }: LeaseRow): Uint8Array {
  return new WireWriter(32).uint(1, ttl).uint(2, remaining).uint(3, version).finish();
}

export function decodeLeaseRow(bytes: Uint8Array): LeaseRow {
  const reader = new WireReader(bytes);
  let ttl = 0;
  let remaining = 0;
  let version = 0;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) ttl = reader.varint();
    else if (tag === 16) remaining = reader.varint();
    else if (tag === 24) version = reader.varint();
    else reader.skip(tag);
  }
  return { ttl, remaining, version };
}

export function encodeExpiry({ epoch, ids, versions }: LeaseExpiry): Uint8Array {
  return new WireWriter(64 + ids.length * 10)
    .uint(1, epoch)
    .bytes(2, packedIds(ids))
    .bytes(3, packedVarints(versions))
    .finish();
}

export function encodeCheckpoint({ epoch, ids, versions, remaining }: LeaseCheckpoint): Uint8Array {
  return new WireWriter(64 + ids.length * 10)
    .uint(1, epoch)
    .bytes(2, packedIds(ids))
    .bytes(3, packedVarints(versions))
    .bytes(4, packedVarints(remaining))
    .finish();
}

/** An expiry is a checkpoint without remaining times. */
function decodeDecision(bytes: Uint8Array, start: number): LeaseCheckpoint {
  const reader = new WireReader(bytes, start);
  let epoch = 0;
  const ids: number[] = [];
  const versions: number[] = [];
  const remaining: number[] = [];
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) epoch = reader.varint();
    else if (tag === 18) unpackIds(reader.bytes(), ids);
    else if (tag === 26) unpackVarints(reader.bytes(), versions);
    else if (tag === 34) unpackVarints(reader.bytes(), remaining);
    else reader.skip(tag);
  }
  if (versions.length * 2 !== ids.length) throw new WireError("as many versions as leases are needed");
  return { epoch, ids, versions, remaining };
}

export function decodeExpiry(bytes: Uint8Array, start = 0): LeaseExpiry {
  const { epoch, ids, versions } = decodeDecision(bytes, start);
  return { epoch, ids, versions };
}

export function decodeCheckpoint(bytes: Uint8Array, start = 0): LeaseCheckpoint {
  const checkpoint = decodeDecision(bytes, start);
  if (checkpoint.remaining.length !== checkpoint.versions.length)
    throw new WireError("as many remaining times as leases are needed");
  return checkpoint;
}

export function encodeRenewal(ids: IdHalves): Uint8Array {
  return new WireWriter(16 + ids.length * 4).bytes(1, packedIds(ids)).finish();
}

export function decodeRenewal(bytes: Uint8Array, start = 0): number[] {
  const reader = new WireReader(bytes, start);
  const ids: number[] = [];
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 10) unpackIds(reader.bytes(), ids);
    else reader.skip(tag);
  }
  return ids;
}

export function encodeQuestion(question: LeaseQuestion): Uint8Array {
  switch (question.kind) {
    case "keepAlive": {
      const inner = new WireWriter(32 + question.ids.length * 4)
        .bytes(1, packedIds(question.ids))
        .bool(2, question.wait)
        .finish();
      return new WireWriter(inner.length + 16).bytes(1, inner, true).finish();
    }
    case "remaining": {
      const inner = new WireWriter(16);
      if (question.high !== 0 || question.low !== 0)
        inner.varint(9).raw(packedIds([question.high, question.low]));
      return new WireWriter(32).bytes(2, inner.finish(), true).finish();
    }
    default:
      return question satisfies never;
  }
}

export function decodeQuestion(bytes: Uint8Array): LeaseQuestion {
  const reader = new WireReader(bytes);
  let question: LeaseQuestion | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 10) question = decodeKeepAlive(reader.bytes());
    else if (tag === 18) question = decodeRemaining(reader.bytes());
    else reader.skip(tag);
  }
  if (question === undefined) throw new WireError("a question about leases that asks nothing");
  return question;
}

function decodeKeepAlive(bytes: Uint8Array): LeaseQuestion {
  const reader = new WireReader(bytes);
  const ids: number[] = [];
  let wait = false;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 10) unpackIds(reader.bytes(), ids);
    else if (tag === 16) wait = reader.bool();
    else reader.skip(tag);
  }
  return { kind: "keepAlive", ids, wait };
}

function decodeRemaining(bytes: Uint8Array): LeaseQuestion {
  const reader = new WireReader(bytes);
  const id: number[] = [0, 0];
  while (!reader.done) {
    const tag = reader.tag();
    const start = reader.position;
    reader.skip(tag);
    if (tag === 9) unpackIds(bytes.subarray(start, start + 8), id);
  }
  return { kind: "remaining", high: id.at(-2)!, low: id.at(-1)! };
}

export function encodeKeepAliveAnswer(ttlsPlusOne: readonly number[]): Uint8Array {
  return new WireWriter(32 + ttlsPlusOne.length * 5).bytes(1, packedVarints(ttlsPlusOne)).finish();
}

export function decodeKeepAliveAnswer(bytes: Uint8Array): number[] {
  const reader = new WireReader(bytes);
  const ttls: number[] = [];
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 10) unpackVarints(reader.bytes(), ttls);
    else reader.skip(tag);
  }
  return ttls;
}

export function encodeRemainingAnswer({ found, remainingMs, ttl }: RemainingAnswer): Uint8Array {
  return new WireWriter(32).bool(1, found).uint(2, remainingMs).uint(3, ttl).finish();
}

export function decodeRemainingAnswer(bytes: Uint8Array): RemainingAnswer {
  const reader = new WireReader(bytes);
  let found = false;
  let remainingMs = 0;
  let ttl = 0;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) found = reader.bool();
    else if (tag === 16) remainingMs = reader.varint();
    else if (tag === 24) ttl = reader.varint();
    else reader.skip(tag);
  }
  return { found, remainingMs, ttl };
}
