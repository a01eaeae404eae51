// mvccpb.KeyValue between its wire form and the store's. What the store writes to disk and what goes
// into responses is the same encoding.

import { varintBytes, WireError, WireReader, WireWriter } from "../../protobuf/wire.js";
import type { KeyValue } from "../messages.js";

const empty: Uint8Array = new Uint8Array(0);

/** Bytes of an int64 varint: ten when negative. */
function leaseBytes(lease: bigint): number {
  if (lease < 0n) return 10;
  if (lease <= 0x7fffffffn) return varintBytes(Number(lease));
  let bytes = 5;
  for (let rest = lease >> 35n; rest > 0n; rest >>= 7n) bytes++;
  return bytes;
}

/** Encoded size of one field: tag (one byte, fields up to 15) and value; nothing for the default. */
export const uintFieldBytes = (value: number): number => (value === 0 ? 0 : 1 + varintBytes(value));
export const bytesFieldBytes = (length: number): number =>
  length === 0 ? 0 : 1 + varintBytes(length) + length;

/** Encoded size of the message itself, without tag and length around it. */
export function keyValueBytes(kv: KeyValue): number {
  return (
    bytesFieldBytes(kv.key.length) +
    uintFieldBytes(kv.createRevision) +
    uintFieldBytes(kv.modRevision) +
    uintFieldBytes(kv.version) +
    bytesFieldBytes(kv.value.length) +
    (kv.lease === 0n ? 0 : 1 + leaseBytes(kv.lease))
  );
}

export function writeKeyValue(writer: WireWriter, kv: KeyValue): void {
  writer
    .bytes(1, kv.key)
    .uint(2, kv.createRevision)
    .uint(3, kv.modRevision)
    .uint(4, kv.version)
    .bytes(5, kv.value)
    .int64(6, kv.lease);
}

export function encodeKeyValue(kv: KeyValue): Uint8Array {
  const writer = new WireWriter(keyValueBytes(kv) + 10);
  writeKeyValue(writer, kv);
  return writer.finish();
}

/**
 * The key and value are views into `bytes`. Revisions and version must be safe and not negative, as
 * this store writes them; anything else throws WireError.
 */
export function decodeKeyValue(bytes: Uint8Array): KeyValue {
  const reader = new WireReader(bytes);
  let key = empty;
  let createRevision = 0;
  let modRevision = 0;
  let version = 0;
  let value = empty;
  let lease = 0n;
  while (!reader.done) {
    const tag = reader.tag();
    switch (tag) {
      case 0x0a:
        key = reader.bytes();
        break;
      case 0x10:
        createRevision = reader.varint();
        break;
      case 0x18:
        modRevision = reader.varint();
        break;
      case 0x20:
        version = reader.varint();
        break;
      case 0x2a:
        value = reader.bytes();
        break;
      case 0x30:
        lease = reader.int64();
        break;
      default:
        if (tag >>> 3 <= 6) throw new WireError(`wrong wire type ${tag & 7} for KeyValue field ${tag >>> 3}`);
        reader.skip(tag);
    }
  }
  return { key, createRevision, modRevision, version, value, lease };
}
