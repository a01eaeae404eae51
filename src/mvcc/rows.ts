// The rows of a store in RocksDB. A row key is group (4 bytes) | generation (4) | table (1) | rest, all
// big-endian; the generation changes when a snapshot replaces the state. A revision's row has the main
// revision (8) and the sub-revision (4) as rest, and the mvccpb.KeyValue as value; a tombstone is a
// KeyValue with nothing but key and mod_revision.

import { WireReader } from "../protobuf/wire.js";

const none = new Uint8Array(0);

/** The numbers are on disk: never reuse one. */
export const Table = {
  /** One row: applied index, revisions, membership, members. */
  state: 0,
  /** What concerns this node alone; not in snapshots and hashes. */
  local: 1,
  /** Every retained revision. */
  revisions: 2,
  /** Every lease by its ID (8 bytes); the value is a quorate.lease.v1.LeaseRow. */
  leases: 3,
} as const;

export const prefixBytes = 9;
export const revisionKeyBytes = prefixBytes + 12;

/** Where the group's pointer to its present generation is: generation 0 holds nothing else. */
export function generationPointerKey(group: number): Uint8Array {
  return tablePrefix(group, 0, 0);
}

export function tablePrefix(group: number, generation: number, table: number): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(group, 0);
  prefix.writeUInt32BE(generation, 4);
  prefix[8] = table;
  return prefix;
}

/** First key of a generation, and the first one behind generation - 1. */
export function generationStart(group: number, generation: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeUInt32BE(group, 0);
  key.writeUInt32BE(generation, 4);
  return key;
}

export function writeRevisionKey(
  target: Buffer,
  at: number,
  prefix: Uint8Array,
  main: number,
  sub: number,
): void {
  for (let i = 0; i < prefixBytes; i++) target[at + i] = prefix[i]!;
  const high = Math.floor(main / 0x100000000);
  const low = main >>> 0;
  let to = at + prefixBytes;
  target[to++] = high >>> 24;
  target[to++] = high >>> 16;
  target[to++] = high >>> 8;
  target[to++] = high;
  target[to++] = low >>> 24;
  target[to++] = low >>> 16;
  target[to++] = low >>> 8;
  target[to++] = low;
  target[to++] = sub >>> 24;
  target[to++] = sub >>> 16;
  target[to++] = sub >>> 8;
  target[to] = sub;
}

export function revisionKey(prefix: Uint8Array, main: number, sub: number): Buffer {
  const key = Buffer.allocUnsafe(revisionKeyBytes);
  writeRevisionKey(key, 0, prefix, main, sub);
  return key;
}

function readWord(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 0x1000000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}

/** Main revision of a row, given where its key has it. */
export function mainOf(key: Uint8Array, at: number): number {
  return readWord(key, at) * 0x100000000 + readWord(key, at + 4);
}

/** Sub-revision of a row, given where its key has the main revision. */
export function subOf(key: Uint8Array, at: number): number {
  return readWord(key, at + 8);
}

function putVarint(target: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80000000) {
    target[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  while (rest >= 128) {
    target[at++] = (rest & 127) | 0x80;
    rest >>>= 7;
  }
  target[at++] = rest;
  return at;
}

/** Bytes of a row's value, at most. */
export function rowBytesLimit(keyLength: number, valueLength: number): number {
  return keyLength + valueLength + 2 * 11 + 3 * 11 + 11;
}

function copyBytes(target: Buffer, at: number, source: Uint8Array): number {
  const length = source.length;
  if (length <= 48) for (let i = 0; i < length; i++) target[at + i] = source[i]!;
  else target.set(source, at);
  return at + length;
}

/** Writes a revision as mvccpb.KeyValue and returns where it ends. Version 0 makes a tombstone. */
export function writeRow(
  target: Buffer,
  start: number,
  key: Uint8Array,
  create: number,
  main: number,
  version: number,
  value: Uint8Array,
  lease: bigint,
): number {
  let at = start;
  if (key.length > 0) {
    target[at++] = 0x0a;
    at = copyBytes(target, putVarint(target, at, key.length), key);
  }
  if (create !== 0) {
    target[at++] = 0x10;
    at = putVarint(target, at, create);
  }
  target[at++] = 0x18;
  at = putVarint(target, at, main);
  if (version !== 0) {
    target[at++] = 0x20;
    at = putVarint(target, at, version);
  }
  if (value.length > 0) {
    target[at++] = 0x2a;
    at = copyBytes(target, putVarint(target, at, value.length), value);
  }
  if (lease !== 0n) {
    target[at++] = 0x30;
    let rest = BigInt.asUintN(64, lease);
    while (rest >= 128n) {
      target[at++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    target[at++] = Number(rest);
  }
  return at;
}

/** What the index and the leases need of a row. */
export interface RowHead {
  key: Uint8Array;
  create: number;
  version: number;
  /** 0n: none. */
  lease: bigint;
}

export const emptyRowHead = (): RowHead => ({ key: none, create: 0, version: 0, lease: 0n });

/** Reads all but the value. */
export function readRowHead(row: Uint8Array, head: RowHead): void {
  head.key = none;
  head.create = 0;
  head.version = 0;
  head.lease = 0n;
  const reader = new WireReader(row);
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x0a) head.key = reader.bytes();
    else if (tag === 0x10) head.create = reader.varint();
    else if (tag === 0x20) head.version = reader.varint();
    else if (tag === 0x30) head.lease = reader.int64();
    else reader.skip(tag);
  }
}
