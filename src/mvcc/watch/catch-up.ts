// Feeds watchers that are behind: stretch by stretch, from the recent revisions in memory or from
// RocksDB, in the background and in turn. All watchers that need a stretch share one reading of it. A
// watcher that was told the current revision is handed over to those fed by apply, in the same moment.

import type { RevisionRecord, WatchEvent } from "./event.js";
import type { WatchSource } from "./hub.js";
import { MatchIndex } from "./match-index.js";
import type { Stretch, StretchLimits } from "./past.js";
import type { RecentRevisions } from "./recent.js";
import type { Watcher, WatchOutput } from "./watcher.js";

/** Bytes handed over before other work gets its turn. */
const turnBytes = 4 << 20;
/** Stretches in memory that one watcher may be fed in one turn: it must outrun apply. */
const stretchesPerTurn = 8;

export interface CatchUpOptions {
  readonly source: WatchSource;
  readonly recent: RecentRevisions;
  readonly limits: StretchLimits;
  readonly pause: () => Promise<void>;
  readonly onFatal: (error: Error) => void;
  /** The watcher was told everything: it is no longer in here. */
  readonly caughtUp: (watcher: Watcher) => void;
  readonly handOver: (watcher: Watcher, revision: number, events: readonly WatchEvent[]) => void;
  /** What the watcher needs was compacted, and it was told. */
  readonly ended: (watcher: Watcher) => void;
}

export class CatchUp {
  /** Those whose readers take events, the one to be served next first. */
  private readonly queue = new Set<Watcher>();
  private readonly stalled = new Map<WatchOutput, Set<Watcher>>();
  private running: Promise<void> | undefined = undefined;
  private closed = false;

  constructor(private readonly options: CatchUpOptions) {}

  add(watcher: Watcher): void {
    if (!watcher.output.ready) {
      this.stall(watcher);
      return;
    }
    watcher.place = "queued";
    this.queue.add(watcher);
    this.start();
  }

  remove(watcher: Watcher): void {
    if (watcher.place === "queued") this.queue.delete(watcher);
    const waiting = this.stalled.get(watcher.output);
    if (waiting?.delete(watcher) === true && waiting.size === 0) this.stalled.delete(watcher.output);
  }

  resume(output: WatchOutput): void {
    const waiting = this.stalled.get(output);
    if (waiting === undefined) return;
    this.stalled.delete(output);
    for (const watcher of waiting) this.add(watcher);
  }

  close(): Promise<void> {
    this.closed = true;
    return this.running ?? Promise.resolve();
  }

  private stall(watcher: Watcher): void {
    watcher.place = "stalled";
    const { output } = watcher;
    const waiting = this.stalled.get(output);
    if (waiting === undefined) this.stalled.set(output, new Set([watcher]));
    else waiting.add(watcher);
  }

  private start(): void {
    if (this.running !== undefined || this.closed) return;
    this.running = this.run()
      .catch((error: unknown) => {
        this.closed = true;
        this.options.onFatal(error instanceof Error ? error : new Error(String(error)));
      })
      .finally(() => {
        this.running = undefined;
        if (this.queue.size > 0) this.start();
      });
  }

  private async run(): Promise<void> {
    for (;;) {
      await this.options.pause();
      const [first] = this.queue;
      if (first === undefined || this.closed) return;
      for (let stretch = 0; stretch < stretchesPerTurn; stretch++) {
        const fromMemory = await this.serve(first);
        if (!fromMemory || first.place !== "queued" || this.closed) break;
      }
    }
  }

  /** Feeds one stretch to the watcher and to all that need it as well; true when it was in memory. */
  private async serve(first: Watcher): Promise<boolean> {
    const { source, recent, limits } = this.options;
    const { compactedRevision } = source;
    if (first.next > source.currentRevision) {
      this.leave(first);
      return false;
    }
    const inMemory = recent.get(first.next) !== undefined;
    if (first.tooLate || (!inMemory && first.next < compactedRevision)) {
      this.end(first, compactedRevision);
      return false;
    }
    const stretch = inMemory ? this.recentStretch(first.next) : await source.past.read(first.next, limits);
    if (stretch.through < first.next) {
      // Not written yet: the next turn looks again.
      this.toTail(first);
      return false;
    }
    await this.feed(first, stretch, inMemory);
    return inMemory;
  }

  private recentStretch(from: number): Stretch {
    const { recent, limits } = this.options;
    const records: RevisionRecord[] = [];
    let bytes = 0;
    while (records.length < limits.revisions && bytes < limits.bytes) {
      const record = recent.get(from + records.length);
      if (record === undefined) break;
      records.push(record);
      for (const event of record.events) bytes += event.bytes.length;
    }
    return { records, through: from + records.length - 1 };
  }

  private async feed(first: Watcher, stretch: Stretch, inMemory: boolean): Promise<void> {
    const { source, recent, pause } = this.options;
    const sharing = this.sharing(first, stretch.through);
    const incomplete = match(sharing, stretch.records);
    if (incomplete.length > 0 && !source.past.completeFromMemory(incomplete))
      await source.past.complete(incomplete);
    if (inMemory && incomplete.length > 0) recent.grown(stretch.records);
    let bytes = 0;
    for (const watcher of sharing) {
      const events = watcher.matched;
      watcher.matched = undefined;
      bytes += this.deliver(watcher, stretch.through, events);
      if (bytes < turnBytes) continue;
      bytes = 0;
      await pause();
      if (this.closed) return;
    }
  }

  /** All queued watchers whose next revision is in the stretch that begins with the next of `first`. */
  private sharing(first: Watcher, through: number): Watcher[] {
    const { next } = first;
    const sharing: Watcher[] = [];
    for (const watcher of this.queue)
      if (watcher.next >= next && watcher.next <= through && !watcher.tooLate) sharing.push(watcher);
    return sharing;
  }

  /** @returns bytes handed over */
  private deliver(watcher: Watcher, through: number, events: readonly WatchEvent[] | undefined): number {
    // It may have ended, or stopped taking events, since the stretch was read.
    if (watcher.place !== "queued") return 0;
    const { source, handOver } = this.options;
    let bytes = 0;
    if (events !== undefined) {
      if (!watcher.output.ready) {
        this.queue.delete(watcher);
        this.stall(watcher);
        return 0;
      }
      for (const event of events) bytes += (watcher.withPrevious ? event.withPrevious : event.bytes).length;
      watcher.next = through + 1;
      handOver(watcher, source.currentRevision, events);
      if (watcher.place !== "queued") return bytes;
    }
    watcher.next = through + 1;
    if (watcher.next > source.currentRevision) this.leave(watcher);
    else this.toTail(watcher);
    return bytes;
  }

  private leave(watcher: Watcher): void {
    this.queue.delete(watcher);
    this.options.caughtUp(watcher);
  }

  private toTail(watcher: Watcher): void {
    if (watcher.place !== "queued") return;
    this.queue.delete(watcher);
    this.queue.add(watcher);
  }

  private end(watcher: Watcher, compactedRevision: number): void {
    watcher.output.compacted(watcher, compactedRevision);
    this.options.ended(watcher);
  }
}

/**
 * Notes in every watcher what it matches of the records.
 * @returns events whose previous values are wanted and were not looked for yet
 */
function match(watchers: readonly Watcher[], records: readonly RevisionRecord[]): WatchEvent[] {
  const index = new MatchIndex<Watcher>();
  for (const watcher of watchers) index.add(watcher);
  const incomplete = new Set<WatchEvent>();
  const found: Watcher[] = [];
  for (const { events } of records) {
    for (const event of events) {
      index.collect(event.key, found);
      for (const watcher of found) {
        if (!watcher.wants(event)) continue;
        if (watcher.withPrevious && !event.complete) incomplete.add(event);
        if (watcher.matched === undefined) watcher.matched = [event];
        else watcher.matched.push(event);
      }
      found.length = 0;
    }
  }
  return [...incomplete];
}
