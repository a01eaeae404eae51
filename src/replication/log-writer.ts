// Carries the engine's durable batches to the write-ahead log, and holds back what may only be said
// once they are durable. Order is everything: a message released after a batch is released after
// every earlier batch too.

import type { DurableBatch, Outbound } from "../consensus/engine.js";
import type { LogMark } from "../consensus/types.js";
import type { Wal } from "../wal/types.js";

export class LogWriter<M> {
  /** Messages of each batch under way, oldest first. */
  private readonly underWay: Outbound<M>[][] = [];

  constructor(
    private readonly group: number,
    private readonly wal: Wal,
    private readonly send: (outbound: Outbound<M>) => void,
  ) {}

  /** Batches handed to the log and not yet durable. */
  get pending(): number {
    return this.underWay.length;
  }

  /**
   * @param restartAfter the log begins anew after this entry: a snapshot took its place.
   * @param durable runs when the batch is durable, after its messages were sent.
   */
  append(batch: DurableBatch, messages: readonly Outbound<M>[], durable: (mark: LogMark) => void): void {
    const held = [...messages];
    this.underWay.push(held);
    this.wal.append(
      {
        group: this.group,
        entries: batch.entries,
        mustSync: batch.mustSync,
        ...(batch.truncateAfter === undefined ? {} : { truncateAfter: batch.truncateAfter }),
        ...(batch.hardState === undefined ? {} : { hardState: batch.hardState }),
        ...(batch.snapshot === undefined ? {} : { restartAfter: batch.snapshot.id }),
      },
      () => {
        this.underWay.shift();
        for (const message of held) this.send(message);
        durable(batch.mark);
      },
    );
  }

  /** Sends messages that need no batch of their own, behind those that are held back. */
  afterEverything(messages: readonly Outbound<M>[]): void {
    const last = this.underWay.at(-1);
    if (last === undefined) for (const message of messages) this.send(message);
    else last.push(...messages);
  }
}
