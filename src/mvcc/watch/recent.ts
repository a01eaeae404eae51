// The newest revisions in memory, bounded in bytes, kept while anybody watches: what a watcher that
// fell behind by little, or that waits for a previous value, is fed from without reading the disk.

import type { RevisionRecord } from "./event.js";

interface Held {
  readonly record: RevisionRecord;
  bytes: number;
}

export class RecentRevisions {
  private held: Held[] = [];
  private head = 0;
  private total = 0;

  constructor(private readonly limitBytes: number) {}

  /** Bytes held, about. */
  get bytes(): number {
    return this.total;
  }

  /** Revisions are added one after another; the newest is held however large it is. */
  add(record: RevisionRecord): void {
    let bytes = 0;
    for (const event of record.events) bytes += event.size;
    this.held.push({ record, bytes });
    this.total += bytes;
    this.evict();
  }

  /** The events of these revisions have grown. */
  grown(records: readonly RevisionRecord[]): void {
    for (const record of records) {
      const held = this.find(record.revision);
      if (held?.record !== record) continue;
      let bytes = 0;
      for (const event of record.events) bytes += event.size;
      this.total += bytes - held.bytes;
      held.bytes = bytes;
    }
    this.evict();
  }

  private evict(): void {
    while (this.total > this.limitBytes && this.held.length - this.head > 1)
      this.total -= this.held[this.head++]!.bytes;
    if (this.head * 2 > this.held.length) {
      this.held = this.held.slice(this.head);
      this.head = 0;
    }
  }

  private find(revision: number): Held | undefined {
    const oldest = this.held[this.head];
    return oldest === undefined || revision < oldest.record.revision
      ? undefined
      : this.held[this.head + revision - oldest.record.revision];
  }

  /** The record of this revision, if it is still held. */
  get(revision: number): RevisionRecord | undefined {
    return this.find(revision)?.record;
  }

  clear(): void {
    this.held = [];
    this.head = 0;
    this.total = 0;
  }
}
