// A node's log as the driver sees it: one for what the engine handed over, one for what the disk holds.
// Applies the batches of Ready strictly: a gap, or an overwrite without a truncation, is a violation.

import type { DurableBatch } from "../consensus/engine.js";
import type { Entry, EntryId, Index, Term } from "../consensus/types.js";
import { violated } from "./invariants/invariant.js";

export class SimulatedLog {
  /** Id of the entry before the first one held. */
  after: EntryId = { index: 0, epoch: 0 };
  entries: Entry[] = [];

  get lastIndex(): Index {
    return this.after.index + this.entries.length;
  }

  get lastEpoch(): Term {
    return this.entries.at(-1)?.epoch ?? this.after.epoch;
  }

  /** Undefined beyond the end and below what was compacted away. */
  epochAt(index: Index): Term | undefined {
    if (index === this.after.index) return this.after.epoch;
    return this.entries[index - this.after.index - 1]?.epoch;
  }

  entryAt(index: Index): Entry | undefined {
    return this.entries[index - this.after.index - 1];
  }

  /** True when the entry is held, or was compacted away or replaced by a snapshot. */
  covers(index: Index, epoch: Term): boolean {
    return index < this.after.index || this.epochAt(index) === epoch;
  }

  apply(batch: DurableBatch): void {
    const { truncateAfter, snapshot, entries } = batch;
    if (truncateAfter !== undefined && truncateAfter < this.lastIndex) {
      if (truncateAfter < this.after.index && snapshot === undefined) {
        broken(
          `no truncation below the first entry (${this.after.index + 1})`,
          `truncateAfter ${truncateAfter}`,
        );
      }
      this.entries.length = Math.max(0, truncateAfter - this.after.index);
    }
    if (snapshot !== undefined) {
      this.after = snapshot.id;
      this.entries = [];
    }
    for (const entry of entries) {
      if (entry.index !== this.lastIndex + 1) {
        broken(`entry ${this.lastIndex + 1} to be appended next`, `entry ${entry.index}`);
      }
      this.entries.push(entry);
    }
  }

  /** Forgets entries up to and including `index`, which is held. */
  compact(index: Index): void {
    if (index <= this.after.index) return;
    const epoch = this.epochAt(index);
    if (epoch === undefined) broken(`entry ${index} to be in the log that is cut there`, "it is not");
    this.entries = this.entries.slice(index - this.after.index);
    this.after = { index, epoch };
  }

  copy(): SimulatedLog {
    const copy = new SimulatedLog();
    copy.after = this.after;
    copy.entries = this.entries.slice();
    return copy;
  }
}

function broken(expected: string, found: string): never {
  violated(expected, found, "rules of Ready");
}
