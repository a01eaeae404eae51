// Log entries on the wire (quorate.consensus.v1.Entry), for the codecs of every engine. By hand, because
// every replicated batch passes here; held against the generated codec by their property tests.

import { type Entry, EntryKind } from "../../consensus/types.js";
import { varintBytes, WireError, WireReader, type WireWriter } from "../../protobuf/wire.js";

/** Room that a message with these entries takes at most. */
export function entriesBytes(entries: readonly Entry[]): number {
  return entries.reduce((sum, entry) => sum + entry.payload.length + 48, 128);
}

/** A varint field with a one-byte tag; 0 is left out. */
const fieldBytes = (value: number): number => (value === 0 ? 0 : 1 + varintBytes(value));

/** Writes one element of a repeated field. */
export function writeEntry(writer: WireWriter, field: number, { index, epoch, kind, payload }: Entry): void {
  let bytes = fieldBytes(index) + fieldBytes(epoch) + fieldBytes(kind);
  if (payload.length > 0) bytes += 1 + varintBytes(payload.length) + payload.length;
  writer.header(field, bytes).uint(1, index).uint(2, epoch).uint(3, kind).bytes(4, payload);
}

const nothing = new Uint8Array(0);

/** Keeps a view into `bytes`. Throws WireError on an entry of a kind nobody knows. */
export function decodeEntry(bytes: Uint8Array): Entry {
  const reader = new WireReader(bytes);
  let index = 0;
  let epoch = 0;
  let kind = 0;
  let payload: Uint8Array = nothing;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) index = reader.varint();
    else if (tag === 16) epoch = reader.varint();
    else if (tag === 24) kind = reader.varint();
    else if (tag === 34) payload = reader.bytes();
    else reader.skip(tag);
  }
  if (kind !== EntryKind.noop && kind !== EntryKind.command && kind !== EntryKind.membership) {
    throw new WireError(`entry ${index} is of unknown kind ${kind}`);
  }
  return { index, epoch, kind, payload };
}
