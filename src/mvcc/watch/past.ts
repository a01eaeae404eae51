// Reads revisions gone by from RocksDB for watchers that catch up, and previous values. It runs beside
// traffic and takes no lock; a pin keeps compactions from removing what is being read.

import { WireWriter } from "../../protobuf/wire.js";
import type { KeyValueStore, WriteBehind } from "../../storage/types.js";
import type { KeyIndex } from "../index/key-index.js";
import { invariant } from "../invariant.js";
import type { Pins } from "../pins.js";
import type { RevisionRef, RowStore } from "../row-store.js";
import { mainOf, prefixBytes, revisionKey } from "../rows.js";
import { type RevisionRecord, WatchEvent } from "./event.js";

/** Rows the store hands over at a time. */
const scanRows = 256;

/** What the past needs to know of its store. */
export interface PastOf {
  readonly index: KeyIndex;
  readonly pins: Pins;
  readonly compactedRevision: number;
}

/** Revisions without a gap. */
export interface Stretch {
  /** In order; those that a compaction left nothing of are missing. */
  readonly records: readonly RevisionRecord[];
  /** The last revision that is part of it. */
  readonly through: number;
}

export interface StretchLimits {
  readonly revisions: number;
  /** Bytes of rows; the first revision comes whole however large it is. */
  readonly bytes: number;
}

export class Past {
  /** RocksDB holds all revisions up to here. */
  private written = 0;

  constructor(
    private readonly of: PastOf,
    private readonly store: KeyValueStore,
    private readonly buffer: WriteBehind,
    private readonly rows: RowStore,
  ) {}

  /**
   * Reads from this revision on. The stretch is empty when none of them has reached RocksDB yet.
   * @param from the compacted revision or above
   */
  async read(from: number, limits: StretchLimits): Promise<Stretch> {
    const { pins, compactedRevision } = this.of;
    invariant(from >= compactedRevision, "the past is read above the compacted revision");
    pins.take(from);
    try {
      if (from > this.written) await this.buffer.flush();
      return await this.scan(from, limits, from === compactedRevision);
    } finally {
      pins.release(from);
    }
  }

  private async scan(from: number, limits: StretchLimits, mayLack: boolean): Promise<Stretch> {
    const { prefix } = this.rows;
    const records: RevisionRecord[] = [];
    const writer = new WireWriter(64 << 10);
    let events: WatchEvent[] = [];
    let through = from - 1;
    let bytes = 0;
    const bounds = { gte: revisionKey(prefix, from, 0), lt: revisionKey(prefix, from + limits.revisions, 0) };
    scanning: for await (const rows of this.store.scan({ ...bounds, chunkRows: scanRows })) {
      for (const [key, row] of rows) {
        const main = mainOf(key, prefixBytes);
        if (main !== through) {
          if (records.length > 0 && bytes >= limits.bytes) break scanning;
          // A batch of RocksDB holds whole revisions, and never a later one before an earlier.
          invariant(
            main === through + 1 || (mayLack && records.length === 0),
            () => `revision ${main} follows ${through} on disk`,
          );
          events = [];
          records.push({ revision: main, events });
          through = main;
        }
        const event = new WatchEvent(main, row, writer);
        events.push(event);
        bytes += event.bytes.length;
      }
    }
    this.written = Math.max(this.written, through);
    return { records, through };
  }

  /** Completes events with their previous values as far as memory holds them; true when all are complete. */
  completeFromMemory(events: readonly WatchEvent[]): boolean {
    let all = true;
    for (const event of events) {
      if (event.complete) continue;
      const previous = this.previous(event);
      const row = previous === undefined ? undefined : this.rows.inMemory(previous.main, previous.sub);
      if (previous === undefined || row !== undefined) event.complement(row);
      else all = false;
    }
    return all;
  }

  /** Completes events with their previous values. */
  async complete(events: readonly WatchEvent[]): Promise<void> {
    if (this.completeFromMemory(events)) return;
    const missing: WatchEvent[] = [];
    const wanted: RevisionRef[] = [];
    let lowest = Number.POSITIVE_INFINITY;
    for (const event of events) {
      const previous = event.complete ? undefined : this.previous(event);
      if (previous === undefined) continue;
      missing.push(event);
      wanted.push(previous);
      lowest = Math.min(lowest, event.revision - 1);
    }
    const { pins } = this.of;
    pins.take(lowest);
    try {
      const rows = await this.rows.fetch(wanted);
      for (const [at, event] of missing.entries()) if (!event.complete) event.complement(rows[at]);
    } finally {
      pins.release(lowest);
    }
  }

  /** Where the value before the event's revision is; undefined when there is none or it was compacted. */
  private previous(event: WatchEvent): RevisionRef | undefined {
    const { index, compactedRevision } = this.of;
    const at = event.revision - 1;
    if (at < compactedRevision || !index.get(event.key, at)) return undefined;
    return { main: index.cell[1]!, sub: index.cell[3]! };
  }
}
