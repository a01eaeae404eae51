// A checksum of a group's state that does not depend on the node: all rows that can still be read, and
// the configuration. Rows that a compaction made unreadable count as gone, removed already or not.

import { crc32 } from "node:zlib";
import type { EntryId } from "../consensus/types.js";
import type { KeyIndex } from "../mvcc/index/key-index.js";
import { emptyRowHead, mainOf, readRowHead, subOf, Table } from "../mvcc/rows.js";
import { WireWriter } from "../protobuf/wire.js";
import type { KeyValueStore } from "../storage/types.js";
import type { Generation } from "./layout.js";
import { keyPrefixBytes } from "./snapshot-format.js";
import { stateRows } from "./snapshot-sender.js";
import { decodeState, encodeConfiguration } from "./state-row.js";

export interface StateHash {
  /** CRC-32. */
  readonly hash: number;
  /** The entry after which the state was hashed: hashes of the same entry must be equal. */
  readonly id: EntryId;
  readonly revision: number;
  readonly compactedRevision: number;
}

/**
 * Hashes what the store holds now, in chunks beside traffic.
 * @param index kept by a pin from forgetting what it knows at the compaction in force.
 */
export async function hashState(
  store: KeyValueStore,
  generation: Generation,
  index: KeyIndex,
): Promise<StateHash> {
  let hash = 0;
  let id: EntryId = { index: 0, epoch: 0 };
  let revision = 1;
  let compactedRevision = -1;
  const head = emptyRowHead();
  const suffixStart = keyPrefixBytes + 1;
  for await (const rows of stateRows(store, generation)) {
    for (const [key, value] of rows) {
      if (key[keyPrefixBytes] === Table.state) {
        const state = decodeState(value);
        ({ id, revision, compactedRevision } = state);
        const replicated = new WireWriter(256)
          .uint(1, revision)
          .uint(2, compactedRevision + 1)
          .raw(encodeConfiguration(state.membership, state.membershipIndex, state.members));
        hash = crc32(replicated.finish(), hash);
        continue;
      }
      const isRevision = key[keyPrefixBytes] === Table.revisions;
      const main = isRevision ? mainOf(key, suffixStart) : Number.POSITIVE_INFINITY;
      if (main <= compactedRevision) {
        readRowHead(value, head);
        const exists = index.get(head.key, compactedRevision);
        const { cell } = index;
        if (cell[1] !== main || cell[3] !== subOf(key, suffixStart)) continue;
        if (!exists && main !== compactedRevision) continue;
      }
      hash = crc32(value, crc32(key.subarray(keyPrefixBytes), hash));
    }
  }
  return { hash, id, revision, compactedRevision };
}
