// One watch as the hub sees it, and where its events go.

import type { WatchEvent } from "./event.js";
import type { Watched } from "./match-index.js";

/** Takes what happens to the watchers of one reader, in order. Must not call back into the hub. */
export interface WatchOutput {
  /** False while the reader does not keep up: nothing is handed over until WatchHub.resume(). */
  readonly ready: boolean;
  /** @param revision for the response's header */
  events(watcher: Watcher, revision: number, events: readonly WatchEvent[]): void;
  /** The watcher needs what was compacted: it has ended. */
  compacted(watcher: Watcher, compactedRevision: number): void;
}

/**
 * - synced: gets every revision as it is applied.
 * - queued: behind, fed from the past.
 * - stalled: behind, and its reader takes nothing.
 */
export type WatcherPlace = "new" | "synced" | "queued" | "stalled" | "ended";

export interface WatcherOptions extends Watched {
  readonly puts: boolean;
  readonly deletes: boolean;
  readonly withPrevious: boolean;
}

export class Watcher implements Watched {
  readonly key: Uint8Array;
  readonly end: Uint8Array | undefined | null;
  readonly withPrevious: boolean;
  private readonly puts: boolean;
  private readonly deletes: boolean;
  /** The hub's. */
  place: WatcherPlace = "new";
  /** The hub's: lowest revision that it may still be told of. */
  next = 0;
  /** The hub's: the first revision asked for; 0: the one after its creation. */
  start = 0;
  /** The hub's: its start was compacted already when it began. */
  tooLate = false;
  /** The hub's: what it matched of the revisions at hand. */
  matched: WatchEvent[] | undefined = undefined;

  constructor(
    readonly output: WatchOutput,
    options: WatcherOptions,
  ) {
    this.key = options.key;
    this.end = options.end;
    this.puts = options.puts;
    this.deletes = options.deletes;
    this.withPrevious = options.withPrevious;
  }

  wants(event: WatchEvent): boolean {
    return event.revision >= this.next && (event.isDelete ? this.deletes : this.puts);
  }
}
