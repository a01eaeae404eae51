// What the log must know of each group to check what is appended, to begin a segment, and to tell
// which segments may be recycled. The same rules are used when writing and when recovering.
import type { WalBatch, WalHardState } from "./types.js";

/** A batch as it is written: what callers append, or a compaction. */
export interface LogBatch extends WalBatch {
  readonly compactTo?: { readonly index: number; readonly epoch: number };
}

export interface GroupState {
  hardState: WalHardState | undefined;
  /** The entry before the first one kept. */
  after: { readonly index: number; readonly epoch: number };
  /** Index of the last entry; equals `after.index` when there is none. */
  last: number;
}

export const emptyGroup = (): GroupState => ({
  hardState: undefined,
  after: { index: 0, epoch: 0 },
  last: 0,
});

/** Why the batch cannot follow the state; undefined when it can. */
export function objection(state: GroupState, batch: LogBatch): string | undefined {
  let { after, last } = state;
  if (batch.restartAfter !== undefined) {
    after = batch.restartAfter;
    last = after.index;
  }
  if (batch.truncateAfter !== undefined) {
    if (batch.truncateAfter < after.index) {
      return `cannot truncate after ${batch.truncateAfter}, the log begins after ${after.index}`;
    }
    if (batch.truncateAfter > last)
      return `cannot truncate after ${batch.truncateAfter}, the last is ${last}`;
    last = batch.truncateAfter;
  }
  for (let at = 0; at < batch.entries.length; at++) {
    const entry = batch.entries[at]!;
    if (entry.index !== ++last) return `entry ${entry.index} where ${last} was expected`;
    if (!(entry.epoch >= 0) || entry.kind < 0 || entry.kind > 255) return `entry ${entry.index} is malformed`;
  }
  if (batch.compactTo !== undefined && batch.compactTo.index > last) {
    return `cannot compact to ${batch.compactTo.index}, the last is ${last}`;
  }
  return undefined;
}

/** Carries the batch out. The batch was checked. */
export function advance(state: GroupState, batch: LogBatch): void {
  if (batch.restartAfter !== undefined) {
    state.after = batch.restartAfter;
    state.last = batch.restartAfter.index;
  }
  if (batch.truncateAfter !== undefined) state.last = batch.truncateAfter;
  const count = batch.entries.length;
  if (count > 0) state.last = batch.entries[count - 1]!.index;
  if (batch.hardState !== undefined) state.hardState = batch.hardState;
  if (batch.compactTo !== undefined && batch.compactTo.index > state.after.index) {
    state.after = batch.compactTo;
  }
}

export function groupOf(groups: Map<number, GroupState>, group: number): GroupState {
  let state = groups.get(group);
  if (state === undefined) groups.set(group, (state = emptyGroup()));
  return state;
}

const sameHardState = (a: WalHardState | undefined, b: WalHardState | undefined): boolean =>
  a === b ||
  (a !== undefined &&
    b !== undefined &&
    a.promised.round === b.promised.round &&
    a.promised.node === b.promised.node &&
    a.accepted.round === b.accepted.round &&
    a.accepted.node === b.accepted.node &&
    a.commit === b.commit);

export const sameState = (a: GroupState, b: GroupState): boolean =>
  a.after.index === b.after.index &&
  a.after.epoch === b.after.epoch &&
  a.last === b.last &&
  sameHardState(a.hardState, b.hardState);
