// Encoders of the KV requests, for those who send them: tests, the load generator, the command line.

import { WireWriter } from "../../protobuf/wire.js";
import type {
  CompactionRequest,
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../messages.js";

export function encodePut(request: PutRequest): Uint8Array {
  return new WireWriter(request.key.length + request.value.length + 64)
    .bytes(1, request.key)
    .bytes(2, request.value)
    .int64(3, request.lease)
    .bool(4, request.prevKv)
    .bool(5, request.ignoreValue)
    .bool(6, request.ignoreLease)
    .finish();
}

export function encodeRange(request: RangeRequest): Uint8Array {
  const writer = new WireWriter(request.key.length + request.rangeEnd.length + 128);
  writer.bytes(1, request.key).bytes(2, request.rangeEnd);
  int(writer, 3, request.limit);
  int(writer, 4, request.revision);
  int(writer, 5, request.sortOrder);
  int(writer, 6, request.sortTarget);
  writer.bool(7, request.serializable).bool(8, request.keysOnly).bool(9, request.countOnly);
  int(writer, 10, request.minModRevision);
  int(writer, 11, request.maxModRevision);
  int(writer, 12, request.minCreateRevision);
  int(writer, 13, request.maxCreateRevision);
  return writer.finish();
}

export function encodeDeleteRange(request: DeleteRangeRequest): Uint8Array {
  return new WireWriter(request.key.length + request.rangeEnd.length + 32)
    .bytes(1, request.key)
    .bytes(2, request.rangeEnd)
    .bool(3, request.prevKv)
    .finish();
}

export function encodeTxn(request: TxnRequest): Uint8Array {
  const writer = new WireWriter(256);
  for (const compare of request.compare) writer.bytes(1, encodeCompare(compare), true);
  for (const op of request.success) writer.bytes(2, encodeRequestOp(op), true);
  for (const op of request.failure) writer.bytes(3, encodeRequestOp(op), true);
  return writer.finish();
}

export function encodeCompaction(request: CompactionRequest): Uint8Array {
  const writer = new WireWriter(32);
  int(writer, 1, request.revision);
  return writer.bool(2, request.physical).finish();
}

function encodeRequestOp(op: RequestOp): Uint8Array {
  const writer = new WireWriter(256);
  switch (op.kind) {
    case "range":
      return writer.bytes(1, encodeRange(op.request), true).finish();
    case "put":
      return writer.bytes(2, encodePut(op.request), true).finish();
    case "deleteRange":
      return writer.bytes(3, encodeDeleteRange(op.request), true).finish();
    case "txn":
      return writer.bytes(4, encodeTxn(op.request), true).finish();
    case "none":
      return writer.finish();
    default:
      return op satisfies never;
  }
}

/** A member of a oneof is written even when it is 0 or empty: presence is what it says. */
function encodeCompare(compare: Compare): Uint8Array {
  const writer = new WireWriter(compare.key.length + compare.value.length + compare.rangeEnd.length + 64);
  int(writer, 1, compare.result);
  int(writer, 2, compare.target);
  writer.bytes(3, compare.key);
  switch (compare.union) {
    case "none":
      break;
    case "version":
      present(writer, 4, compare.number);
      break;
    case "create":
      present(writer, 5, compare.number);
      break;
    case "mod":
      present(writer, 6, compare.number);
      break;
    case "value":
      writer.bytes(7, compare.value, true);
      break;
    case "lease":
      if (compare.lease === 0n) present(writer, 8, 0);
      else writer.int64(8, compare.lease);
      break;
    default:
      compare.union satisfies never;
  }
  return writer.bytes(64, compare.rangeEnd).finish();
}

/** An int64, int32 or enum field that may be negative. */
function int(writer: WireWriter, field: number, value: number): void {
  if (value < 0) writer.int64(field, BigInt(value));
  else writer.uint(field, value);
}

function present(writer: WireWriter, field: number, value: number): void {
  if (value === 0) writer.varint(field * 8).varint(0);
  else int(writer, field, value);
}
