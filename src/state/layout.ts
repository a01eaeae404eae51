// Where a group's rows are: one generation holds a whole state, and a pointer says which generation is
// the present one. A snapshot is received into a new generation; flipping the pointer installs it.

import { generationPointerKey, generationStart, Table, tablePrefix } from "../mvcc/rows.js";
import type { KeyValueStore } from "../storage/types.js";

const lastGeneration = 0xffffffff;

export class Generation {
  readonly stateKey: Uint8Array;
  /** How far compactions are physically finished on this node. */
  readonly sweptKey: Uint8Array;
  readonly revisions: Uint8Array;
  readonly leases: Uint8Array;

  constructor(
    readonly group: number,
    readonly number: number,
  ) {
    this.stateKey = tablePrefix(group, number, Table.state);
    this.sweptKey = tablePrefix(group, number, Table.local);
    this.revisions = tablePrefix(group, number, Table.revisions);
    this.leases = tablePrefix(group, number, Table.leases);
  }

  /** Bounds of everything in it. */
  get start(): Uint8Array {
    return generationStart(this.group, this.number);
  }
  get end(): Uint8Array {
    return generationStart(this.group, this.number + 1);
  }
  /** Exclusive end of the revisions' table. */
  get revisionsEnd(): Uint8Array {
    return tablePrefix(this.group, this.number, Table.revisions + 1);
  }
}

export function pointerRow(generation: Generation): { key: Uint8Array; value: Uint8Array } {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(generation.number);
  return { key: generationPointerKey(generation.group), value };
}

/** The present generation, and the highest number that any row of the group has. */
export async function findGeneration(
  store: KeyValueStore,
  group: number,
): Promise<{ present: number; highest: number }> {
  const [pointer] = await store.getMany([generationPointerKey(group)]);
  const present = pointer === undefined ? 1 : readNumber(pointer, 0);
  let highest = present;
  const bounds = { gte: generationStart(group, 1), lt: generationStart(group, lastGeneration) };
  for await (const rows of store.scan({ ...bounds, reverse: true, limit: 1 }))
    for (const [key] of rows) highest = Math.max(highest, readNumber(key, 4));
  return { present, highest };
}

function readNumber(bytes: Uint8Array, at: number): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32BE(at);
}
