// The log in memory: one contiguous run of entries after a base entry of which only the id is kept.
// Lookups by index are O(1); appending and compaction are amortised O(1) an entry; a slice copies
// references, never payloads. Knows nothing of terms beyond their order, nothing of durability.

import { invariant } from "../engine.js";
import type { Entry, EntryId, Index, Term } from "../types.js";

/** What termAt() says of an index that is compacted away or not there yet. */
export const UNKNOWN_TERM = -1;

const NO_ENTRIES: readonly Entry[] = [];
/** Below this many dead slots at the front, the array is not moved. */
const MIN_DEAD_SLOTS = 1024;

export class Log {
  private items: (Entry | undefined)[];
  /** Slot of the first live entry; slots before it are empty. */
  private head = 0;
  private baseIndex: Index;
  private baseTerm: Term;
  /** The most recent slice: followers in step with each other are sent the same one. */
  private recent: readonly Entry[] = NO_ENTRIES;

  /** @param after id of the entry before the first of `entries`. */
  constructor(after: EntryId, entries: readonly Entry[]) {
    this.baseIndex = after.index;
    this.baseTerm = after.epoch;
    this.items = [];
    this.append(entries);
  }

  /** Index of the first entry that is here; one above lastIndex when none is. */
  get firstIndex(): Index {
    return this.baseIndex + 1;
  }

  get lastIndex(): Index {
    return this.baseIndex + this.items.length - this.head;
  }

  get lastTerm(): Term {
    return this.termAt(this.lastIndex);
  }

  /** Term of the entry at `index`, the base included; UNKNOWN_TERM when it is not here. */
  termAt(index: Index): Term {
    const offset = index - this.baseIndex;
    if (offset === 0) return this.baseTerm;
    if (offset < 0) return UNKNOWN_TERM;
    return this.items[this.head + offset - 1]?.epoch ?? UNKNOWN_TERM;
  }

  at(index: Index): Entry {
    const entry = this.items[this.head + index - this.baseIndex - 1];
    invariant(
      entry !== undefined && index > this.baseIndex,
      () => `entry ${index} asked for, log holds ${this.firstIndex}..${this.lastIndex}`,
    );
    return entry;
  }

  /** The entries from..to, both included. The array is shared: it must not be changed. */
  slice(from: Index, to: Index): readonly Entry[] {
    if (to < from) return NO_ENTRIES;
    invariant(
      from >= this.firstIndex && to <= this.lastIndex,
      () => `slice ${from}..${to} of a log that holds ${this.firstIndex}..${this.lastIndex}`,
    );
    const length = to - from + 1;
    if (this.recent.length === length && this.recent[0]?.index === from) return this.recent;
    const start = this.head + from - this.firstIndex;
    this.recent = this.items.slice(start, start + length) as Entry[];
    return this.recent;
  }

  /** Index of the last entry of a message that starts at `from`: at least one, then as the limit allows. */
  lastWithin(from: Index, limitBytes: number): Index {
    let index = from;
    let bytes = this.at(from).payload.length;
    while (index < this.lastIndex) {
      bytes += this.at(index + 1).payload.length;
      if (bytes > limitBytes) break;
      index++;
    }
    return index;
  }

  /** Adds entries at the end; they must follow without a gap and with terms that do not fall. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) this.push(entry);
  }

  push(entry: Entry): void {
    invariant(
      entry.index === this.lastIndex + 1 && entry.epoch >= this.lastTerm,
      () => `entry ${entry.index}@${entry.epoch} cannot follow ${this.lastIndex}@${this.lastTerm}`,
    );
    this.items.push(entry);
  }

  /** Removes the entries above `index`. */
  truncateAfter(index: Index): void {
    invariant(
      index >= this.baseIndex && index <= this.lastIndex,
      () => `cannot truncate after ${index}: log holds ${this.firstIndex}..${this.lastIndex}`,
    );
    this.items.length = this.head + index - this.baseIndex;
    this.recent = NO_ENTRIES;
  }

  /** Forgets the entries up to and including `index`. */
  compact(index: Index): void {
    if (index <= this.baseIndex) return;
    const term = this.termAt(index);
    invariant(term !== UNKNOWN_TERM, () => `cannot compact to ${index}: log ends at ${this.lastIndex}`);
    const newHead = this.head + index - this.baseIndex;
    if (newHead >= MIN_DEAD_SLOTS && newHead * 2 >= this.items.length) {
      this.items = this.items.slice(newHead);
      this.head = 0;
    } else {
      this.items.fill(undefined, this.head, newHead);
      this.head = newHead;
    }
    this.baseIndex = index;
    this.baseTerm = term;
    this.recent = NO_ENTRIES;
  }

  /** Replaces everything: the log is empty and begins after `id`. */
  restartAfter(id: EntryId): void {
    this.items = [];
    this.head = 0;
    this.baseIndex = id.index;
    this.baseTerm = id.epoch;
    this.recent = NO_ENTRIES;
  }
}
