// Rebuilds every group from the records of the log, in order, with the same rules as when they were
// appended. Entries whose segment was recycled may be missing as long as a compaction covers them.
import { advance, type GroupState, groupOf, type LogBatch, objection, sameState } from "./group-state.js";
import type { RecoveredGroup, WalEntry } from "./types.js";

interface Kept {
  /** Index before the first of `entries`. */
  base: number;
  entries: WalEntry[];
}

export class Replay {
  readonly states = new Map<number, GroupState>();
  readonly #kept = new Map<number, Kept>();

  /** The first segment of the log begins with this. */
  begin(groups: ReadonlyMap<number, GroupState>): void {
    for (const [group, state] of groups) {
      this.states.set(group, state);
      this.#kept.set(group, { base: state.last, entries: [] });
    }
  }

  /** What a later segment begins with must be what the earlier ones led to; otherwise says what differs. */
  disagreement(groups: ReadonlyMap<number, GroupState>): string | undefined {
    for (const [group, state] of this.states) {
      const stated = groups.get(group);
      if (stated === undefined || !sameState(stated, state)) {
        return `the state of group ${group} does not follow from the segments before`;
      }
    }
    return groups.size === this.states.size ? undefined : "it knows a group the segments before do not";
  }

  /** Carries out one batch; says why when it cannot follow what came before. */
  take(batch: LogBatch): string | undefined {
    const state = groupOf(this.states, batch.group);
    const problem = objection(state, batch);
    if (problem !== undefined) return `group ${batch.group}: ${problem}`;
    advance(state, batch);
    let kept = this.#kept.get(batch.group);
    if (kept === undefined) this.#kept.set(batch.group, (kept = { base: 0, entries: [] }));
    if (batch.restartAfter !== undefined) {
      kept.base = batch.restartAfter.index;
      kept.entries = [];
    }
    if (batch.truncateAfter !== undefined) {
      if (batch.truncateAfter < kept.base) kept.base = batch.truncateAfter;
      kept.entries.length = Math.max(0, Math.min(kept.entries.length, batch.truncateAfter - kept.base));
    }
    for (const entry of batch.entries) kept.entries.push(entry);
    if (batch.compactTo !== undefined && batch.compactTo.index > kept.base) {
      kept.entries.splice(0, batch.compactTo.index - kept.base);
      kept.base = batch.compactTo.index;
    }
    return undefined;
  }

  /** The groups as they are now, or which entries are missing. */
  result(): Map<number, RecoveredGroup> | string {
    const groups = new Map<number, RecoveredGroup>();
    for (const [group, state] of this.states) {
      const { base, entries } = this.#kept.get(group) ?? { base: 0, entries: [] };
      if (base !== state.after.index) {
        return `group ${group}: entries ${state.after.index + 1} to ${base} are gone`;
      }
      groups.set(group, { group, hardState: state.hardState, after: state.after, entries });
    }
    return groups;
  }
}
