// Hands every applied revision to the watchers that want it. Watchers are synced, and then get events
// within the apply that made them; or they are behind, and are fed from the past in the background
// until they have caught up. What a watcher gets is in revision order, complete and without repeats,
// and a revision is never split. A reader that does not keep up costs no memory: its watchers fall
// behind, and if what they need is compacted before they ask for it again, they are ended and told so.

import { WireWriter } from "../../protobuf/wire.js";
import { invariant } from "../invariant.js";
import type { AppliedEvent } from "../messages.js";
import { CatchUp } from "./catch-up.js";
import { type RevisionRecord, WatchEvent } from "./event.js";
import { MatchIndex } from "./match-index.js";
import type { Past } from "./past.js";
import { RecentRevisions } from "./recent.js";
import type { Watcher, WatchOutput } from "./watcher.js";

/** The state whose changes are watched. */
export interface WatchSource {
  readonly currentRevision: number;
  readonly compactedRevision: number;
  readonly past: Past;
  onRevision: ((revision: number, events: readonly AppliedEvent[]) => void) | undefined;
  /** A snapshot took the place of the state; what it changed was not told. */
  onInstalled: (() => void) | undefined;
}

/** The revision of the first change a store can have. */
const firstChange = 2;

export interface WatchHubOptions {
  readonly source: WatchSource;
  /** Bytes of recent revisions kept for those that fell behind by little. Default 8 MiB. */
  readonly recentBytes?: number;
  /** Revisions read from the past at a time. Default 1000. */
  readonly stretchRevisions?: number;
  /** Bytes read from the past at a time, about. Default 512 KiB. */
  readonly stretchBytes?: number;
  /** Lets other work run between pieces of background work. Default: setImmediate. */
  readonly pause?: () => Promise<void>;
  /** Told how many events were handed to watchers, for metrics. */
  readonly sent?: (events: number) => void;
  /** Reading the past failed; the process should stop. */
  readonly onFatal: (error: Error) => void;
}

export class WatchHub {
  private readonly source: WatchSource;
  private readonly synced = new MatchIndex<Watcher>();
  private readonly all = new Set<Watcher>();
  private readonly recent: RecentRevisions;
  private readonly behind: CatchUp;
  private readonly writer = new WireWriter();
  /** The last revision that synced watchers were told of. */
  private told = 0;
  private readonly found: Watcher[] = [];
  private readonly touched: Watcher[] = [];
  private readonly sent: ((events: number) => void) | undefined;
  private closed = false;

  constructor(options: WatchHubOptions) {
    this.source = options.source;
    this.sent = options.sent;
    this.recent = new RecentRevisions(options.recentBytes ?? 8 << 20);
    this.behind = new CatchUp({
      source: options.source,
      recent: this.recent,
      limits: {
        revisions: options.stretchRevisions ?? 1000,
        bytes: options.stretchBytes ?? 512 << 10,
      },
      pause: options.pause ?? (() => new Promise((resolve) => setImmediate(resolve))),
      onFatal: options.onFatal,
      caughtUp: (watcher) => this.sync(watcher),
      handOver: (watcher, revision, events) => this.handOver(watcher, revision, events),
      ended: (watcher) => this.remove(watcher),
    });
  }

  /** Watchers that have not ended. */
  get watchers(): number {
    return this.all.size;
  }

  /** Those of them that are behind. */
  get slowWatchers(): number {
    return this.all.size - this.synced.size;
  }

  /** Bytes of recent revisions in memory, about. */
  get recentBytes(): number {
    return this.recent.bytes;
  }

  /**
   * Begins to feed the watcher. What happened before is told later, never within this call.
   * @param start the first revision it is told of, future ones included; 0: the next one.
   */
  add(watcher: Watcher, start: number): void {
    if (this.closed) {
      watcher.output.stopped();
      return;
    }
    const { currentRevision, compactedRevision } = this.source;
    if (this.all.size === 0) this.listen();
    this.all.add(watcher);
    watcher.start = start;
    watcher.next = start === 0 ? currentRevision + 1 : Math.max(start, firstChange);
    watcher.tooLate = start !== 0 && start < compactedRevision;
    if (watcher.next > currentRevision) this.sync(watcher);
    else this.behind.add(watcher);
  }

  /** The watcher is told nothing more. Nothing happens when it has ended already. */
  remove(watcher: Watcher): void {
    if (!this.all.delete(watcher)) return;
    if (watcher.place === "synced") this.synced.remove(watcher);
    else this.behind.remove(watcher);
    watcher.place = "ended";
    if (this.all.size === 0) this.stopListening();
  }

  /** Whether the watcher was told everything up to the current revision, and its start has come. */
  isCurrent(watcher: Watcher): boolean {
    return watcher.place === "synced" && watcher.start <= this.source.currentRevision;
  }

  /** The reader takes events again. */
  resume(output: WatchOutput): void {
    this.behind.resume(output);
  }

  /** Ends all watchers, and those added later; resolves when nothing is being read any more. */
  close(): Promise<void> {
    this.closed = true;
    this.stopListening();
    const outputs = new Set([...this.all].map(({ output }) => output));
    for (const output of outputs) output.stopped();
    return this.behind.close();
  }

  private listen(): void {
    const { source } = this;
    this.told = source.currentRevision;
    source.onRevision = (revision, events) => this.applied(revision, events);
    source.onInstalled = () => this.installed();
  }

  private stopListening(): void {
    this.source.onRevision = undefined;
    this.source.onInstalled = undefined;
    this.recent.clear();
  }

  private sync(watcher: Watcher): void {
    watcher.place = "synced";
    this.synced.add(watcher);
  }

  private fallBehind(watcher: Watcher, next: number): void {
    this.synced.remove(watcher);
    watcher.next = Math.max(watcher.next, next);
    this.behind.add(watcher);
  }

  private applied(revision: number, changes: readonly AppliedEvent[]): void {
    invariant(revision === this.told + 1, () => `revision ${revision} was applied after ${this.told}`);
    const events = changes.map(({ row }) => new WatchEvent(revision, row, this.writer));
    const record: RevisionRecord = { revision, events };
    this.recent.add(record);
    this.told = revision;
    if (this.synced.size === 0) return;
    const { found, touched } = this;
    for (const event of events) {
      this.synced.collect(event.key, found);
      for (const watcher of found) {
        if (!watcher.wants(event)) continue;
        if (watcher.matched === undefined) {
          // One change in a revision is the rule: then all watchers share the list of it.
          watcher.matched = events.length === 1 ? events : [event];
          touched.push(watcher);
        } else watcher.matched.push(event);
      }
      found.length = 0;
    }
    if (touched.length === 0) return;
    const { past } = this.source;
    let grown = false;
    for (const watcher of touched) {
      const matched = watcher.matched!;
      watcher.matched = undefined;
      // It may have ended while another one of its reader was told.
      if (watcher.place !== "synced") continue;
      if (!watcher.output.ready) this.fallBehind(watcher, revision);
      else if (!watcher.withPrevious) this.handOver(watcher, revision, matched);
      else {
        grown = true;
        if (past.completeFromMemory(matched)) this.handOver(watcher, revision, matched);
        else this.fallBehind(watcher, revision);
      }
    }
    touched.length = 0;
    if (grown) this.recent.grown([record]);
  }

  private handOver(watcher: Watcher, revision: number, events: readonly WatchEvent[]): void {
    this.sent?.(events.length);
    watcher.output.events(watcher, revision, events);
  }

  /** Everyone goes on from what was told last; the past of the new state has what came since. */
  private installed(): void {
    this.recent.clear();
    const next = this.told + 1;
    this.told = this.source.currentRevision;
    for (const watcher of this.all)
      if (watcher.place === "synced" && watcher.next <= this.told) this.fallBehind(watcher, next);
  }
}
