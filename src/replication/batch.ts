// The payload of a command entry: everything one node queued during one turn of its event loop, with
// the origin that lets that node recognise its own batch when it comes back committed.
//
//   varint origin node, varint incarnation, varint sequence, varint count, count × (varint length, bytes)

import type { NodeId } from "../consensus/types.js";
import { varintBytes, WireError, WireReader, WireWriter } from "../protobuf/wire.js";

export interface BatchOrigin {
  readonly node: NodeId;
  /** Drawn at every start of the process: a batch of an earlier life is not ours. */
  readonly incarnation: number;
  /** Counted up by the origin. */
  readonly sequence: number;
}

/** Encodes a batch into a buffer of exactly its size. */
export function encodeBatch(origin: BatchOrigin, commands: readonly Uint8Array[]): Uint8Array {
  let bytes =
    varintBytes(origin.node) +
    varintBytes(origin.incarnation) +
    varintBytes(origin.sequence) +
    varintBytes(commands.length);
  for (const command of commands) bytes += varintBytes(command.length) + command.length;
  const writer = new WireWriter(bytes + 16);
  writer.varint(origin.node).varint(origin.incarnation).varint(origin.sequence).varint(commands.length);
  for (const command of commands) writer.varint(command.length).raw(command);
  return writer.finish();
}

/** Reads only the origin. Throws WireError on a payload that is not a batch. */
export function decodeOrigin(payload: Uint8Array): BatchOrigin {
  const reader = new WireReader(payload);
  return { node: reader.varint(), incarnation: reader.varint(), sequence: reader.varint() };
}

/** The commands of a batch, as views into the payload. Throws WireError on a payload that is not a batch. */
export function decodeCommands(payload: Uint8Array): Uint8Array[] {
  const reader = new WireReader(payload);
  reader.varint();
  reader.varint();
  reader.varint();
  const count = reader.varint();
  if (count > payload.length) throw new WireError("batch announces more commands than it can hold");
  const commands = new Array<Uint8Array>(count);
  for (let at = 0; at < count; at++) commands[at] = reader.bytes();
  if (!reader.done) throw new WireError("bytes after the last command of a batch");
  return commands;
}
