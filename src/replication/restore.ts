// Puts together what a group starts with: the state the store holds (a prefix of the log, applied) and
// what the write-ahead log kept. The store may be ahead when the process died while a snapshot was
// being installed; then the log begins anew after it. The log is never ahead of a hole.

import type { RestoredState } from "../consensus/engine.js";
import type { EntryId, EntryKind, HardState, SnapshotMeta } from "../consensus/types.js";
import type { RecoveredGroup } from "../wal/types.js";

export interface Restored {
  readonly state: RestoredState;
  /** The log on disk must begin anew after this entry before anything is appended. */
  readonly restartLogAfter: EntryId | undefined;
}

/** Data that cannot be continued with; the message says what to do. */
export class RestoreError extends Error {
  override readonly name = "RestoreError";
}

export function restoreGroup(applied: SnapshotMeta, recovered: RecoveredGroup | undefined): Restored {
  const hardState: HardState = recovered?.hardState ?? {
    promised: { round: applied.id.epoch, node: 0 },
    accepted: { round: 0, node: 0 },
    commit: applied.id.index,
  };
  if (recovered === undefined) return fresh(applied, hardState);
  const { after, entries } = recovered;
  if (after.index > applied.id.index) {
    throw new RestoreError(
      `the log begins after entry ${after.index} but the store holds entries up to ${applied.id.index} only: ` +
        "the store was damaged or replaced; remove this member, clear its data folder and add it again",
    );
  }
  const last = after.index + entries.length;
  const sameEntry = applied.id.index === after.index ? after : entries[applied.id.index - after.index - 1];
  if (last < applied.id.index || sameEntry?.epoch !== applied.id.epoch) return fresh(applied, hardState);
  return {
    state: {
      hardState,
      snapshot: applied,
      entries: entries.map(({ index, epoch, kind, payload }) => ({
        index,
        epoch,
        kind: kind as EntryKind,
        payload,
      })),
      entriesAfter: after,
    },
    restartLogAfter: undefined,
  };
}

function fresh(applied: SnapshotMeta, hardState: HardState): Restored {
  return {
    state: { hardState, snapshot: applied, entries: [], entriesAfter: applied.id },
    restartLogAfter: applied.id.index === 0 ? undefined : applied.id,
  };
}
