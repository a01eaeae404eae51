// Decides how much of the log to keep for followers that lag: a number of payload bytes or a number of
// entries, whichever is reached first, in steps of an eighth of it, and never less than what the store
// does not hold durably yet.

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
  private last: Index = 0;
  private nextBytes: number;
  private nextIndex: Index;

  constructor(
    private readonly retainedBytes: number,
    private readonly retainedEntries: number,
  ) {
    this.nextBytes = this.byteStep;
    this.nextIndex = this.entryStep;
  }

  private get byteStep(): number {
    return Math.max(1, Math.floor(this.retainedBytes / 8));
  }

  private get entryStep(): number {
    return Math.max(1, Math.floor(this.retainedEntries / 8));
  }

  appended(entry: Entry): void {
    // What was truncated is no place to cut at.
    while (this.marks.length > 0 && this.marks.at(-1)!.index >= entry.index) this.marks.pop();
    this.bytes += entry.payload.length + entryOverheadBytes;
    this.last = entry.index;
    if (this.bytes < this.nextBytes && entry.index < this.nextIndex) return;
    this.marks.push({ index: entry.index, epoch: entry.epoch, bytes: this.bytes });
    this.nextBytes = this.bytes + this.byteStep;
    this.nextIndex = entry.index + this.entryStep;
  }

  /** The log began anew after a snapshot. */
  restart(): void {
    this.marks = [];
    this.nextBytes = this.bytes + this.byteStep;
    this.nextIndex = 0;
  }

  /** The newest entry up to which the log may be cut now; `limit` is durable in the store. */
  due(limit: Index): EntryId | undefined {
    let found: Mark | undefined;
    while (this.marks.length > 0) {
      const mark = this.marks[0]!;
      const enough =
        this.bytes - mark.bytes >= this.retainedBytes || this.last - mark.index >= this.retainedEntries;
      if (mark.index > limit || !enough) break;
      found = this.marks.shift();
    }
    return found;
  }
}
