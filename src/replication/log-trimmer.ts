// Decides how much of the log to keep for followers that lag: a number of payload bytes, in steps of
// an eighth of it, and never less than what the store does not hold durably yet.

import type { Entry, EntryId, Index } from "../consensus/types.js";

/** Fixed cost of an entry besides its payload, about, in memory. */
const entryOverheadBytes = 64;

interface Mark extends EntryId {
  /** Bytes appended up to and including this entry since the process started. */
  readonly bytes: number;
}

export class LogTrimmer {
  private marks: Mark[] = [];
  private bytes = 0;
  private nextMarkAt: number;

  constructor(private readonly retainedBytes: number) {
    this.nextMarkAt = this.step;
  }

  private get step(): number {
    return Math.max(1, Math.floor(this.retainedBytes / 8));
  }

  appended(entry: Entry): void {
    // What was truncated is no place to cut at.
    while (this.marks.length > 0 && this.marks.at(-1)!.index >= entry.index) this.marks.pop();
    this.bytes += entry.payload.length + entryOverheadBytes;
    if (this.bytes < this.nextMarkAt) return;
    this.marks.push({ index: entry.index, epoch: entry.epoch, bytes: this.bytes });
    this.nextMarkAt = this.bytes + this.step;
  }

  /** The log began anew after a snapshot. */
  restart(): void {
    this.marks = [];
    this.nextMarkAt = this.bytes + this.step;
  }

  /** The newest entry up to which the log may be cut now; `limit` is durable in the store. */
  due(limit: Index): EntryId | undefined {
    let found: Mark | undefined;
    while (this.marks.length > 0) {
      const mark = this.marks[0]!;
      if (mark.index > limit || this.bytes - mark.bytes < this.retainedBytes) break;
      found = this.marks.shift();
    }
    return found;
  }
}
