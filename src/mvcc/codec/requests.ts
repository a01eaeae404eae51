// Decoders of the KV requests, as proto3 wants them: the last of a scalar wins, messages that come
// twice are merged, unknown fields are skipped. A known field with another wire type is malformed, as
// it is to etcd. Revisions, limits and counts beyond safe integers become the nearest safe one, which
// the store answers as it would the original (a future revision stays one).

import { WireError, WireReader } from "../../protobuf/wire.js";
import type {
  CompactionRequest,
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../messages.js";

/** Txns nested deeper than any limit on operations allows; refused before they exhaust the stack. */
export class NestingTooDeep extends WireError {}

/** Every level costs at least one operation, so a txn within any sensible max-txn-ops stays below. */
const maxTxnDepth = 512;

const empty: Uint8Array = new Uint8Array(0);

const emptyRange: RangeRequest = {
  key: empty,
  rangeEnd: empty,
  limit: 0,
  revision: 0,
  sortOrder: 0,
  sortTarget: 0,
  serializable: false,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};
const emptyPut: PutRequest = {
  key: empty,
  value: empty,
  lease: 0n,
  prevKv: false,
  ignoreValue: false,
  ignoreLease: false,
};
const emptyDeleteRange: DeleteRangeRequest = { key: empty, rangeEnd: empty, prevKv: false };
const emptyTxn: TxnRequest = { compare: [], success: [], failure: [] };
const noOp: RequestOp = { kind: "none" };

/** @param start where the message begins in `bytes`; it reaches to the end. Views share its memory. */
export function decodePut(bytes: Uint8Array, start = 0): PutRequest {
  return readPut(new WireReader(bytes, start), emptyPut);
}

/** @param start as for decodePut */
export function decodeRange(bytes: Uint8Array, start = 0): RangeRequest {
  return readRange(new WireReader(bytes, start), emptyRange);
}

/** @param start as for decodePut */
export function decodeDeleteRange(bytes: Uint8Array, start = 0): DeleteRangeRequest {
  return readDeleteRange(new WireReader(bytes, start), emptyDeleteRange);
}

/** @param start as for decodePut */
export function decodeTxn(bytes: Uint8Array, start = 0): TxnRequest {
  return readTxn(new WireReader(bytes, start), emptyTxn, 1);
}

/** @param start as for decodePut */
export function decodeCompaction(bytes: Uint8Array, start = 0): CompactionRequest {
  const reader = new WireReader(bytes, start);
  let revision = 0;
  let physical = false;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x08) revision = reader.int64Clamped();
    else if (tag === 0x10) physical = reader.bool();
    else skipUnknown(reader, tag, 2, "CompactionRequest");
  }
  return { revision, physical };
}

function skipUnknown(reader: WireReader, tag: number, lastField: number, message: string): void {
  const field = tag >>> 3;
  if (field <= lastField) throw new WireError(`wrong wire type ${tag & 7} for ${message} field ${field}`);
  reader.skip(tag);
}

/** Fields found override those of `base`. */
function readPut(reader: WireReader, base: PutRequest): PutRequest {
  let { key, value, lease, prevKv, ignoreValue, ignoreLease } = base;
  while (!reader.done) {
    const tag = reader.tag();
    switch (tag) {
      case 0x0a:
        key = reader.bytes();
        break;
      case 0x12:
        value = reader.bytes();
        break;
      case 0x18:
        lease = reader.int64();
        break;
      case 0x20:
        prevKv = reader.bool();
        break;
      case 0x28:
        ignoreValue = reader.bool();
        break;
      case 0x30:
        ignoreLease = reader.bool();
        break;
      default:
        skipUnknown(reader, tag, 6, "PutRequest");
    }
  }
  return { key, value, lease, prevKv, ignoreValue, ignoreLease };
}

function readRange(reader: WireReader, base: RangeRequest): RangeRequest {
  let { key, rangeEnd, limit, revision, sortOrder, sortTarget, serializable, keysOnly, countOnly } = base;
  let { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = base;
  while (!reader.done) {
    const tag = reader.tag();
    switch (tag) {
      case 0x0a:
        key = reader.bytes();
        break;
      case 0x12:
        rangeEnd = reader.bytes();
        break;
      case 0x18:
        limit = reader.int64Clamped();
        break;
      case 0x20:
        revision = reader.int64Clamped();
        break;
      case 0x28:
        sortOrder = reader.int32();
        break;
      case 0x30:
        sortTarget = reader.int32();
        break;
      case 0x38:
        serializable = reader.bool();
        break;
      case 0x40:
        keysOnly = reader.bool();
        break;
      case 0x48:
        countOnly = reader.bool();
        break;
      case 0x50:
        minModRevision = reader.int64Clamped();
        break;
      case 0x58:
        maxModRevision = reader.int64Clamped();
        break;
      case 0x60:
        minCreateRevision = reader.int64Clamped();
        break;
      case 0x68:
        maxCreateRevision = reader.int64Clamped();
        break;
      default:
        skipUnknown(reader, tag, 13, "RangeRequest");
    }
  }
  return {
    key,
    rangeEnd,
    limit,
    revision,
    sortOrder,
    sortTarget,
    serializable,
    keysOnly,
    countOnly,
    minModRevision,
    maxModRevision,
    minCreateRevision,
    maxCreateRevision,
  };
}

function readDeleteRange(reader: WireReader, base: DeleteRangeRequest): DeleteRangeRequest {
  let { key, rangeEnd, prevKv } = base;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x0a) key = reader.bytes();
    else if (tag === 0x12) rangeEnd = reader.bytes();
    else if (tag === 0x18) prevKv = reader.bool();
    else skipUnknown(reader, tag, 3, "DeleteRangeRequest");
  }
  return { key, rangeEnd, prevKv };
}

function readTxn(reader: WireReader, base: TxnRequest, depth: number): TxnRequest {
  if (depth > maxTxnDepth) throw new NestingTooDeep(`txn nested more than ${maxTxnDepth} deep`);
  const compare = [...base.compare];
  const success = [...base.success];
  const failure = [...base.failure];
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x0a) compare.push(readCompare(new WireReader(reader.bytes())));
    else if (tag === 0x12) success.push(readRequestOp(new WireReader(reader.bytes()), depth));
    else if (tag === 0x1a) failure.push(readRequestOp(new WireReader(reader.bytes()), depth));
    else skipUnknown(reader, tag, 3, "TxnRequest");
  }
  return { compare, success, failure };
}

/** The last member of the oneof stays; the same member twice in a row is merged. */
function readRequestOp(reader: WireReader, depth: number): RequestOp {
  let op = noOp;
  while (!reader.done) {
    const tag = reader.tag();
    switch (tag) {
      case 0x0a: {
        const base = op.kind === "range" ? op.request : emptyRange;
        op = { kind: "range", request: readRange(new WireReader(reader.bytes()), base) };
        break;
      }
      case 0x12: {
        const base = op.kind === "put" ? op.request : emptyPut;
        op = { kind: "put", request: readPut(new WireReader(reader.bytes()), base) };
        break;
      }
      case 0x1a: {
        const base = op.kind === "deleteRange" ? op.request : emptyDeleteRange;
        op = { kind: "deleteRange", request: readDeleteRange(new WireReader(reader.bytes()), base) };
        break;
      }
      case 0x22: {
        const base = op.kind === "txn" ? op.request : emptyTxn;
        op = { kind: "txn", request: readTxn(new WireReader(reader.bytes()), base, depth + 1) };
        break;
      }
      default:
        skipUnknown(reader, tag, 4, "RequestOp");
    }
  }
  return op;
}

function readCompare(reader: WireReader): Compare {
  let result = 0;
  let target = 0;
  let key = empty;
  let union: Compare["union"] = "none";
  let number = 0;
  let value = empty;
  let lease = 0n;
  let rangeEnd = empty;
  while (!reader.done) {
    const tag = reader.tag();
    switch (tag) {
      case 0x08:
        result = reader.int32();
        break;
      case 0x10:
        target = reader.int32();
        break;
      case 0x1a:
        key = reader.bytes();
        break;
      case 0x20:
      case 0x28:
      case 0x30:
        union = tag === 0x20 ? "version" : tag === 0x28 ? "create" : "mod";
        number = reader.int64Clamped();
        break;
      case 0x3a:
        union = "value";
        value = reader.bytes();
        break;
      case 0x40:
        union = "lease";
        lease = reader.int64();
        break;
      case 0x202:
        rangeEnd = reader.bytes();
        break;
      default:
        if (tag >>> 3 === 64) throw new WireError(`wrong wire type ${tag & 7} for Compare field 64`);
        skipUnknown(reader, tag, 8, "Compare");
    }
  }
  // Only the member of the oneof that came last counts.
  return {
    result,
    target,
    key,
    union,
    number: union === "version" || union === "create" || union === "mod" ? number : 0,
    value: union === "value" ? value : empty,
    lease: union === "lease" ? lease : 0n,
    rangeEnd,
  };
}
