// Streams a consistent picture of a generation. The rows come from one iterator of the store, and the
// state row among them says which entry they stand for: traffic goes on meanwhile.

import type { SnapshotMeta } from "../consensus/types.js";
import { invariant } from "../mvcc/invariant.js";
import { Table } from "../mvcc/rows.js";
import type { KeyValueStore } from "../storage/types.js";
import type { Generation } from "./layout.js";
import { ChunkWriter, keyPrefixBytes } from "./snapshot-format.js";
import { decodeState } from "./state-row.js";

export type Row = readonly [key: Uint8Array, value: Uint8Array];

/** The rows of a generation that every member has, the state row first. */
export async function* stateRows(
  store: KeyValueStore,
  generation: Generation,
): AsyncGenerator<readonly Row[]> {
  for await (const rows of store.scan({ gte: generation.start, lt: generation.end })) {
    // Only the first few rows can be of the tables before the revisions.
    const local = rows.findIndex(([key]) => key[keyPrefixBytes] === Table.local);
    yield local < 0 ? rows : rows.filter(([key]) => key[keyPrefixBytes] !== Table.local);
  }
}

export async function sendSnapshot(
  store: KeyValueStore,
  generation: Generation,
): Promise<{ meta: SnapshotMeta; chunks: AsyncIterable<Uint8Array> }> {
  const rows = stateRows(store, generation);
  const first = await rows.next();
  const stateRow = first.done === true ? undefined : first.value[0];
  invariant(
    stateRow !== undefined && stateRow[0][keyPrefixBytes] === Table.state,
    "a state that was applied to has a state row",
  );
  const { id, membership, membershipIndex } = decodeState(stateRow[1]);
  return {
    meta: { id, membership, membershipIndex },
    chunks: chunksOf(first.value as readonly Row[], rows),
  };
}

async function* chunksOf(
  first: readonly Row[],
  rest: AsyncGenerator<readonly Row[]>,
): AsyncGenerator<Uint8Array> {
  const writer = new ChunkWriter();
  try {
    for (let rows: readonly Row[] | undefined = first; rows !== undefined; ) {
      for (const [key, value] of rows) writer.row(key.subarray(keyPrefixBytes), value);
      yield* writer.take();
      const next: IteratorResult<readonly Row[]> = await rest.next();
      rows = next.done === true ? undefined : next.value;
    }
    writer.finish();
    yield* writer.take();
  } finally {
    await rest.return(undefined);
  }
}
