// The pieces of a Snapshot stream (quorate.consensus.v1.SnapshotRequest): header, chunks, trailer.

import { decodeMembership, encodeMembership } from "../../consensus/membership/codec.js";
import type { SnapshotMeta, Term } from "../../consensus/types.js";
import { WireError, WireReader, WireWriter } from "../../protobuf/wire.js";
import { decodeHello, encodeHello, type Hello } from "./exchange-codec.js";

export interface SnapshotHeader {
  readonly group: number;
  readonly sender: Hello;
  /** Epoch in which the sender leads. */
  readonly epoch: Term;
  readonly meta: SnapshotMeta;
}

export type SnapshotPiece =
  | { readonly kind: "header"; readonly header: SnapshotHeader }
  | { readonly kind: "chunk"; readonly chunk: Uint8Array }
  | { readonly kind: "trailer"; readonly crc32: number; readonly bytes: number };

export function encodePiece(piece: SnapshotPiece): Uint8Array {
  switch (piece.kind) {
    case "header": {
      const { group, sender, epoch, meta } = piece.header;
      const inner = new WireWriter(256)
        .uint(1, group)
        .bytes(2, encodeHello(sender))
        .uint(3, epoch)
        .uint(4, meta.id.index)
        .uint(5, meta.id.epoch)
        .bytes(6, encodeMembership(meta.membership, new Uint8Array(0)))
        .uint(7, meta.membershipIndex)
        .finish();
      return new WireWriter(inner.length + 12).bytes(1, inner, true).finish();
    }
    case "chunk":
      return new WireWriter(piece.chunk.length + 12).bytes(2, piece.chunk, true).finish();
    case "trailer": {
      const inner = new WireWriter(32).uint(1, piece.crc32).uint(2, piece.bytes).finish();
      return new WireWriter(48).bytes(3, inner, true).finish();
    }
    default:
      throw new Error(`cannot encode ${String(piece satisfies never)}`);
  }
}

/** Throws WireError (or the membership codec's error) on garbage. Chunks are views into `bytes`. */
export function decodePiece(bytes: Uint8Array): SnapshotPiece {
  const reader = new WireReader(bytes);
  const tag = reader.tag();
  const inner = reader.bytes();
  if (tag === 10) return { kind: "header", header: decodeHeader(inner) };
  if (tag === 18) return { kind: "chunk", chunk: inner };
  if (tag !== 26) throw new WireError(`unknown piece of a snapshot, tag ${tag}`);
  const fields = numbers(inner);
  return { kind: "trailer", crc32: fields.get(1) ?? 0, bytes: fields.get(2) ?? 0 };
}

/** The varint fields of a message. */
function numbers(bytes: Uint8Array): Map<number, number> {
  const reader = new WireReader(bytes);
  const found = new Map<number, number>();
  while (!reader.done) {
    const tag = reader.tag();
    if ((tag & 7) === 0) found.set(Math.floor(tag / 8), reader.varint());
    else reader.skip(tag);
  }
  return found;
}

function decodeHeader(bytes: Uint8Array): SnapshotHeader {
  const fields = numbers(bytes);
  const reader = new WireReader(bytes);
  let sender: Hello | undefined;
  let membership: Uint8Array | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 18) sender = decodeHello(reader.bytes());
    else if (tag === 50) membership = reader.bytes();
    else reader.skip(tag);
  }
  if (sender === undefined || membership === undefined) throw new WireError("incomplete snapshot header");
  return {
    group: fields.get(1) ?? 0,
    sender,
    epoch: fields.get(3) ?? 0,
    meta: {
      id: { index: fields.get(4) ?? 0, epoch: fields.get(5) ?? 0 },
      membership: decodeMembership(membership).membership,
      membershipIndex: fields.get(7) ?? 0,
    },
  };
}
