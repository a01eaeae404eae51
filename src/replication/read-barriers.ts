// Linearizable reads: everyone who asks during one turn shares one barrier. A barrier is confirmed by
// the leader (or asked of it), then waits until this node has applied what the leader had committed.
// Nobody joins a barrier once it was asked for: an answer to any of its askings is good for all of it.

import type { Index, Term } from "../consensus/types.js";
import type { GroupFailure } from "./proposer.js";

type Done = (failure: GroupFailure | undefined) => void;

interface Barrier {
  readonly id: number;
  readonly waiters: Done[];
  readonly deadlineAt: number;
  /** Epoch of the leader that was asked; 0: ask (again) at the next turn. */
  askedIn: Term;
  askedAt: number;
  index: Index | undefined;
}

export class ReadBarriers {
  private lastId: number;
  private gathering: Done[] = [];
  private gatheringSince = 0;
  private readonly barriers = new Map<number, Barrier>();
  private waitingCount = 0;

  constructor(
    private readonly timeoutMs: number,
    /** Waiting reads, at most. */
    private readonly limit: number,
    /** Ids are counted up from here. No two lives of a node share any: an answer may outlive its asker. */
    firstId: number,
  ) {
    this.lastId = firstId;
  }

  /** False when too many wait already. */
  add(done: Done, now: number): boolean {
    if (this.waitingCount >= this.limit) return false;
    if (this.gathering.length === 0) this.gatheringSince = now;
    this.gathering.push(done);
    this.waitingCount++;
    return true;
  }

  /** Ids to ask the leader of `epoch` for: what was gathered since, and what must be asked again. */
  toAsk(epoch: Term, now: number): number[] {
    const ids: number[] = [];
    if (this.gathering.length > 0) {
      const barrier: Barrier = {
        id: ++this.lastId,
        waiters: this.gathering,
        deadlineAt: this.gatheringSince + this.timeoutMs,
        askedIn: 0,
        askedAt: 0,
        index: undefined,
      };
      this.gathering = [];
      this.barriers.set(barrier.id, barrier);
    }
    for (const barrier of this.barriers.values()) {
      if (barrier.askedIn !== 0) continue;
      barrier.askedIn = epoch;
      barrier.askedAt = now;
      ids.push(barrier.id);
    }
    return ids;
  }

  get hasUnasked(): boolean {
    if (this.gathering.length > 0) return true;
    for (const barrier of this.barriers.values()) if (barrier.askedIn === 0) return true;
    return false;
  }

  /** The leader confirmed: read once `index` is applied. */
  confirmed(id: number, index: Index): void {
    const barrier = this.barriers.get(id);
    if (barrier !== undefined) barrier.index = index;
  }

  /** The one who was asked could not confirm: ask again. */
  refused(id: number): void {
    const barrier = this.barriers.get(id);
    if (barrier !== undefined && barrier.index === undefined) barrier.askedIn = 0;
  }

  /** Leadership moved or the link broke: unanswered barriers are asked again. */
  askAgain(): void {
    for (const barrier of this.barriers.values()) if (barrier.index === undefined) barrier.askedIn = 0;
  }

  /** What was asked before `time` and not answered is asked again: question or answer may be lost. */
  askAgainBefore(time: number): void {
    for (const barrier of this.barriers.values()) {
      if (barrier.index === undefined && barrier.askedAt < time) barrier.askedIn = 0;
    }
  }

  /** Releases every barrier whose index is applied. */
  release(applied: Index): void {
    for (const barrier of this.barriers.values()) {
      if (barrier.index === undefined || barrier.index > applied) continue;
      this.barriers.delete(barrier.id);
      this.waitingCount -= barrier.waiters.length;
      for (const done of barrier.waiters) done(undefined);
    }
  }

  /** Fails what has waited too long; with `now` infinite, everything. */
  expire(now: number, failure: GroupFailure): void {
    for (const barrier of this.barriers.values()) {
      if (barrier.deadlineAt > now) continue;
      this.barriers.delete(barrier.id);
      this.waitingCount -= barrier.waiters.length;
      for (const done of barrier.waiters) done(failure);
    }
    if (this.gathering.length > 0 && this.gatheringSince + this.timeoutMs <= now) {
      const waiters = this.gathering;
      this.gathering = [];
      this.waitingCount -= waiters.length;
      for (const done of waiters) done(failure);
    }
  }
}
