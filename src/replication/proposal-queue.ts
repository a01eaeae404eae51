// The commands of this node on their way into the log: gathered into one batch per turn of the event
// loop, remembered until they are applied, sent again when they are certainly lost, given up when
// their time is over. Bounded in count and bytes.

import type { NodeId, Term } from "../consensus/types.js";
import { encodeBatch } from "./batch.js";
import type { BatchTimes } from "./ports.js";
import type { GroupFailure } from "./proposer.js";

export type Done = (result: unknown | GroupFailure) => void;

/** Commands that travel, and are applied, together. */
export interface Batch {
  readonly sequence: number;
  readonly commands: Uint8Array[];
  readonly requests: unknown[];
  readonly done: Done[];
  readonly deadlineAt: number;
  readonly times: BatchTimes;
  bytes: number;
  /** Encoded when sent for the first time. */
  payload: Uint8Array | undefined;
  /** Epoch of the leader it was handed to; 0 while it is not under way. */
  sentIn: Term;
}

export interface ProposalQueueOptions {
  readonly node: NodeId;
  readonly incarnation: number;
  /** A batch is closed when its commands exceed this. One command always fits. */
  readonly maxBatchBytes: number;
  /** Commands waiting or under way, at most. */
  readonly maxCommands: number;
  /** Bytes of commands waiting or under way, at most. */
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

export class ProposalQueue {
  private open: Batch | undefined;
  private unsent: Batch[] = [];
  private readonly bySequence = new Map<number, Batch>();
  private lastSequence: number;
  private commandCount = 0;
  private byteCount = 0;

  constructor(private readonly options: ProposalQueueOptions) {
    // Not from 0: a refusal of what an earlier life forwarded must not name a batch of this one.
    this.lastSequence = options.incarnation;
  }

  /** Commands waiting or under way. */
  get size(): number {
    return this.commandCount;
  }

  get hasUnsent(): boolean {
    return this.open !== undefined || this.unsent.length > 0;
  }

  /** Takes a command; false (and nothing is kept) when the bounds are reached. */
  add(command: Uint8Array, request: unknown, done: Done, now: number): boolean {
    if (this.commandCount >= this.options.maxCommands || this.byteCount >= this.options.maxBytes)
      return false;
    let batch = this.open;
    if (batch !== undefined && batch.bytes + command.length > this.options.maxBatchBytes) {
      this.close();
      batch = undefined;
    }
    if (batch === undefined) batch = this.open = this.newBatch(now);
    batch.commands.push(command);
    batch.requests.push(request);
    batch.done.push(done);
    batch.bytes += command.length;
    this.byteCount += command.length;
    this.commandCount++;
    return true;
  }

  private newBatch(now: number): Batch {
    const batch: Batch = {
      sequence: ++this.lastSequence,
      commands: [],
      requests: [],
      done: [],
      deadlineAt: now + this.options.timeoutMs,
      times: {
        queued: now,
        proposed: 0,
        written: 0,
        durable: 0,
        committed: 0,
        applying: 0,
        applied: 0,
        answered: 0,
      },
      bytes: 0,
      payload: undefined,
      sentIn: 0,
    };
    this.bySequence.set(batch.sequence, batch);
    return batch;
  }

  private close(): void {
    if (this.open === undefined) return;
    this.unsent.push(this.open);
    this.open = undefined;
  }

  /** Everything not under way, oldest first, as sent to the leader of `epoch` at `now`. */
  takeUnsent(epoch: Term, now: number): Batch[] {
    this.close();
    const batches = this.unsent;
    this.unsent = [];
    for (const batch of batches) {
      batch.sentIn = epoch;
      batch.times.proposed = now;
      batch.payload ??= encodeBatch(
        { node: this.options.node, incarnation: this.options.incarnation, sequence: batch.sequence },
        batch.commands,
      );
    }
    return batches;
  }

  get(sequence: number): Batch | undefined {
    return this.bySequence.get(sequence);
  }

  /** The batch was applied or given up: forgets it. False when it was forgotten before. */
  remove(batch: Batch): boolean {
    if (!this.bySequence.delete(batch.sequence)) return false;
    this.commandCount -= batch.commands.length;
    this.byteCount -= batch.bytes;
    if (this.open === batch) this.open = undefined;
    const at = this.unsent.indexOf(batch);
    if (at >= 0) this.unsent.splice(at, 1);
    return true;
  }

  /** The batch was certainly not appended: it waits to be sent again, in order. */
  sendAgain(batch: Batch): void {
    if (batch.sentIn === 0 || !this.bySequence.has(batch.sequence)) return;
    batch.sentIn = 0;
    this.unsent.push(batch);
    this.unsent.sort((a, b) => a.sequence - b.sequence);
  }

  /**
   * An entry of `epoch` was applied: what was handed to leaders of earlier epochs and has not been
   * applied by now never will be, since logs only grow in epochs that do not decrease.
   */
  lostBefore(epoch: Term): void {
    for (const batch of this.bySequence.values()) {
      if (batch.sentIn !== 0 && batch.sentIn < epoch) this.sendAgain(batch);
    }
  }

  /** Takes out every batch whose time is over. */
  expired(now: number): Batch[] {
    const over: Batch[] = [];
    for (const batch of this.bySequence.values()) {
      if (batch.deadlineAt > now) break;
      over.push(batch);
    }
    for (const batch of over) this.remove(batch);
    return over;
  }

  /** Takes out everything that is under way. */
  takeSent(): Batch[] {
    const sent = [...this.bySequence.values()].filter((batch) => batch.sentIn !== 0);
    for (const batch of sent) this.remove(batch);
    return sent;
  }

  /** Takes out everything. */
  drain(): Batch[] {
    const all = [...this.bySequence.values()];
    for (const batch of all) this.remove(batch);
    return all;
  }
}

/** A batch that is under way may still be applied. */
export function outcomeOf(batch: Batch): GroupFailure["outcome"] {
  return batch.sentIn === 0 ? "refused" : "unknown";
}
