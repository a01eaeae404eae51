// Applies committed entries in order. Applying is synchronous unless a command needs values that
// memory does not hold; then everything behind it waits. A long backlog is applied in slices, so that
// the event loop keeps answering heartbeats.

import { InvariantViolation } from "../consensus/engine.js";
import { decodeMembership } from "../consensus/membership/codec.js";
import { type Entry, EntryKind, type Index, type NodeId, type Term } from "../consensus/types.js";
import { decodeCommands, decodeOrigin } from "./batch.js";
import type { Scheduler } from "./ports.js";
import type { Batch, ProposalQueue } from "./proposal-queue.js";
import type { StateMachine } from "./state-machine.js";

/** Milliseconds of applying after which the event loop gets a turn. */
const sliceMs = 8;

export interface ApplierOptions {
  readonly node: NodeId;
  readonly incarnation: number;
  readonly stateMachine: StateMachine;
  readonly queue: ProposalQueue;
  readonly scheduler: Scheduler;
  /** Own batch applied: its results, one a command. */
  readonly answer: (batch: Batch, results: unknown[]) => void;
  /** An entry of a higher epoch than any before was applied. */
  readonly epochAdvanced: (epoch: Term) => void;
  /** Some entries were applied. */
  readonly progressed: () => void;
  /** The state machine threw: a bug, or a damaged store. */
  readonly fatal: (error: Error) => void;
}

/** The entry being applied. */
interface Position {
  readonly entry: Entry;
  readonly commands: readonly Uint8Array[];
  readonly own: Batch | undefined;
  readonly results: unknown[];
  next: number;
  /** What commands[next] needs is in memory. */
  prepared: boolean;
}

export class Applier {
  private queue: Entry[] = [];
  /** When each of `queue` was known to be committed. */
  private committedAt: number[] = [];
  private head = 0;
  private current: Position | undefined;
  private waiting = false;
  private scheduled = false;
  private stopped = false;
  private epoch: Term;
  appliedIndex: Index;

  constructor(private readonly options: ApplierOptions) {
    this.appliedIndex = options.stateMachine.applied.id.index;
    this.epoch = options.stateMachine.applied.id.epoch;
  }

  /** Entries handed over and not yet applied. */
  get backlog(): number {
    return this.queue.length - this.head + (this.current === undefined ? 0 : 1);
  }

  enqueue(entries: readonly Entry[]): void {
    const now = this.options.scheduler.now();
    for (const entry of entries) {
      this.queue.push(entry);
      this.committedAt.push(now);
    }
  }

  /** A snapshot took the place of the state. */
  restart(index: Index, epoch: Term): void {
    this.appliedIndex = index;
    this.epoch = epoch;
  }

  stop(): void {
    this.stopped = true;
    this.clear();
  }

  private clear(): void {
    if (this.queue.length > 0) {
      this.queue = [];
      this.committedAt = [];
    }
    this.head = 0;
  }

  /** Applies what is there, as far as it goes without waiting. */
  run(): void {
    if (this.waiting || this.stopped || this.scheduled) return;
    const before = this.appliedIndex;
    try {
      const until = this.options.scheduler.now() + sliceMs;
      while (!this.waiting && this.step()) {
        if (this.options.scheduler.now() < until) continue;
        this.scheduled = true;
        this.options.scheduler.defer(() => {
          this.scheduled = false;
          this.run();
        });
        break;
      }
    } catch (error) {
      this.stop();
      this.options.fatal(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.appliedIndex !== before) this.options.progressed();
  }

  /** Works on one entry; false when there is none. */
  private step(): boolean {
    if (this.current === undefined) {
      const entry = this.queue[this.head];
      if (entry === undefined) {
        this.clear();
        return false;
      }
      this.current = this.begin(entry, this.committedAt[this.head]!);
      this.head++;
    }
    const position = this.current;
    if (!this.applyCommands(position)) return true;
    this.current = undefined;
    this.finish(position);
    return true;
  }

  private begin(entry: Entry, committedAt: number): Position {
    if (entry.index !== this.appliedIndex + 1) {
      throw new InvariantViolation(`apply expected entry ${this.appliedIndex + 1}, found ${entry.index}`);
    }
    if (entry.kind !== EntryKind.command) {
      return { entry, commands: [], own: undefined, results: [], next: 0, prepared: false };
    }
    const origin = decodeOrigin(entry.payload);
    const mine = origin.node === this.options.node && origin.incarnation === this.options.incarnation;
    const own = mine ? this.options.queue.get(origin.sequence) : undefined;
    if (own !== undefined) {
      own.times.committed = committedAt;
      own.times.applying = this.options.scheduler.now();
    }
    return {
      entry,
      commands: own?.commands ?? decodeCommands(entry.payload),
      own,
      results: [],
      next: 0,
      prepared: false,
    };
  }

  /** False when it must wait for values. */
  private applyCommands(position: Position): boolean {
    const { stateMachine } = this.options;
    const { entry, commands, own, results } = position;
    while (position.next < commands.length) {
      const command = commands[position.next]!;
      const preparing = position.prepared ? undefined : stateMachine.prepare(command, own !== undefined);
      if (preparing !== undefined) {
        this.waiting = true;
        position.prepared = true;
        preparing.then(
          () => this.resume(),
          (error: unknown) => {
            this.stop();
            this.options.fatal(error instanceof Error ? error : new Error(String(error)));
          },
        );
        return false;
      }
      const result = stateMachine.apply(command, entry, own !== undefined, own?.requests[position.next]);
      if (own !== undefined) results.push(result);
      position.next++;
      position.prepared = false;
    }
    return true;
  }

  private resume(): void {
    this.waiting = false;
    this.run();
  }

  private finish(position: Position): void {
    const { entry, own, results } = position;
    const { stateMachine } = this.options;
    if (entry.kind === EntryKind.membership) {
      const { membership, context } = decodeMembership(entry.payload);
      stateMachine.applyMembership(membership, context, entry);
    }
    stateMachine.endEntry(entry);
    this.appliedIndex = entry.index;
    if (own !== undefined) {
      own.times.applied = this.options.scheduler.now();
      // Its time may have run out while it waited for values: then it has been answered.
      if (this.options.queue.remove(own)) this.options.answer(own, results);
    }
    if (entry.epoch > this.epoch) {
      this.epoch = entry.epoch;
      this.options.epochAdvanced(entry.epoch);
    }
  }

  /** Resolves once nothing is being applied and nothing waits, or the applier was stopped. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.backlog === 0 || this.stopped) return resolve();
        this.run();
        this.options.scheduler.defer(look);
      };
      look();
    });
  }
}
