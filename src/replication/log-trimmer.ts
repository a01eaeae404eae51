// Decides how much of the log to keep for followers that lag: a number of payload bytes or a number of
// entries, whichever is reached first, in steps of an eighth of it, and never less than what the store
// does not hold durably yet. For a follower that is there but behind, busy with a snapshot say, more is
// kept: without it, it would need the next snapshot as soon as it had this one.

import type { Entry, EntryId, Index } from "../consensus/types.js";

/** Times as many bytes are kept while a follower that answers needs them. */
const patience = 8;
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

  /**
   * The newest entry up to which the log may be cut now.
   * @param limit durable in the store.
   * @param held every follower that answers has the log up to here.
   */
  due(limit: Index, held: Index): EntryId | undefined {
    let found: Mark | undefined;
    while (this.marks.length > 0) {
      const mark = this.marks[0]!;
      const share = mark.index > held ? patience : 1;
      const enough =
        this.bytes - mark.bytes >= share * this.retainedBytes ||
        this.last - mark.index >= share * this.retainedEntries;
      if (mark.index > limit || !enough) break;
      found = this.marks.shift();
    }
    return found;
  }
}
