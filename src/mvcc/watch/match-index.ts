// Which watchers want a key, without asking all of them: those of a single key by hash, those of
// ranges by an interval index.

import { IntervalIndex } from "./interval-index.js";

/** What of the key space is watched: `end` as rangeEnd() gives it (null: the key alone). */
export interface Watched {
  readonly key: Uint8Array;
  readonly end: Uint8Array | undefined | null;
}

export class MatchIndex<W extends Watched> {
  private readonly single = new Map<string, Set<W>>();
  private readonly ranges = new IntervalIndex<W>();
  private singles = 0;

  get size(): number {
    return this.singles + this.ranges.size;
  }

  add(watcher: W): void {
    const { key, end } = watcher;
    if (end !== null) {
      this.ranges.add(key, end, watcher);
      return;
    }
    const name = nameOf(key);
    const same = this.single.get(name);
    if (same === undefined) this.single.set(name, new Set([watcher]));
    else same.add(watcher);
    this.singles++;
  }

  remove(watcher: W): void {
    const { key, end } = watcher;
    if (end !== null) {
      this.ranges.remove(key, end, watcher);
      return;
    }
    const name = nameOf(key);
    const same = this.single.get(name);
    if (same?.delete(watcher) !== true) throw new Error("a watcher to remove is not in the index");
    if (same.size === 0) this.single.delete(name);
    this.singles--;
  }

  /** Appends the watchers that want this key. */
  collect(key: Uint8Array, found: W[]): void {
    if (this.singles > 0) {
      const same = this.single.get(nameOf(key));
      if (same !== undefined) for (const watcher of same) found.push(watcher);
    }
    if (this.ranges.size > 0) this.ranges.collect(key, found);
  }
}

function nameOf(key: Uint8Array): string {
  const buffer = key instanceof Buffer ? key : Buffer.from(key.buffer, key.byteOffset, key.length);
  return buffer.toString("latin1");
}
