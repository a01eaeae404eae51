// Time for leases. On the leader: renews them from memory, finds those that ran out and has the log end
// them, a bounded number at a time. On every other node: asks the leader, all renewals of one turn in one
// question. Leads from the moment at which the first entry of its epoch is applied; what comes earlier waits.

import { LeaseClock } from "./lease-clock.js";
import { highOf, lowOf } from "./lease-id.js";
import type { LeaseObserver, LeaseStore } from "./lease-store.js";
import {
  decodeKeepAliveAnswer,
  decodeQuestion,
  decodeRemainingAnswer,
  encodeKeepAliveAnswer,
  encodeQuestion,
  encodeRemainingAnswer,
  type IdHalves,
  type LeaseCheckpoint,
  type LeaseExpiry,
  type RemainingAnswer,
} from "./messages.js";

/** Leases in one question. */
const questionLimit = 16_384;
/** Commands about due leases under way at a time: with their bounds, what writes may find before them. */
const decisionLimit = 4;
/** Milliseconds after which leases are looked at again whose end did not get into the log. */
const retryMs = 100;

/** What a lessor needs of its node. `F` is how a request fails. */
export interface LessorPorts<F> {
  /** The present leases; other ones after a snapshot was installed. */
  leases(): LeaseStore;
  /** Index of the last entry applied completely, and its epoch. */
  applied(): { readonly index: number; readonly epoch: number };
  /** Whether this node leads, and the present epoch. */
  leads(): boolean;
  epoch(): number;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Runs once everything that is ready to be read has been read. */
  defer(run: () => void): void;
  /** Commands for the log; `done` tells whether they were applied. */
  expire(expiry: LeaseExpiry, done: (applied: boolean) => void): void;
  checkpoint(checkpoint: LeaseCheckpoint, done: (applied: boolean) => void): void;
  renew(ids: IdHalves, done: (applied: boolean) => void): void;
  /** True once this node has applied everything acknowledged before the call. */
  barrier(done: (passed: boolean) => void): void;
  /** Has the question answered by `answer` of whoever leads. */
  ask(question: Uint8Array, done: (answer: Uint8Array | F) => void): void;
  /** Time by which a new leader prolongs every lease; also the pause after which leadership is in doubt. */
  readonly electionTimeoutMs: number;
}

/** Seconds, 0 for a lease that does not exist; undefined: leadership was lost meanwhile. */
type Settled = (ttl: number | undefined) => void;

export class Lessor<F> implements LeaseObserver {
  /** While this node leads and knows all that earlier leaders did. */
  private clock: LeaseClock | undefined;
  private store: LeaseStore;
  private clockEpoch = 0;
  private tickedAt: number;
  /** False after a pause of the process, until a barrier shows that it still leads. */
  private confirmed = true;
  /** Commands about due leases that are under way. */
  private deciding = 0;
  private decideScheduled = false;
  /** Renewals that wait for the log, by slot. */
  private readonly waiting = new Map<number, Settled[]>();
  private readonly renewing = new Set<number>();
  private renewals: number[] = [];
  private gathered: Gathered<F> = nothing();
  private unsettled: Gathered<F> = nothing();
  private askScheduled = false;

  constructor(private readonly ports: LessorPorts<F>) {
    this.store = ports.leases();
    this.tickedAt = ports.now();
  }

  /** Whether renewals are answered from memory here. */
  get isPrimary(): boolean {
    return this.clock !== undefined;
  }

  // ------------------------------------------------------------------ leadership and time

  /** The role changed, or the first entry of an epoch was applied. */
  reconsider(): void {
    const { ports } = this;
    if (this.clock !== undefined && (!ports.leads() || ports.epoch() !== this.clockEpoch)) this.demote();
    if (this.clock !== undefined || !ports.leads() || ports.applied().epoch !== ports.epoch()) return;
    this.store = ports.leases();
    this.clockEpoch = ports.epoch();
    this.confirmed = true;
    this.clock = new LeaseClock(this.store, this.clockEpoch, ports.now(), ports.electionTimeoutMs);
  }

  private demote(): void {
    this.clock = undefined;
    this.renewals = [];
    this.renewing.clear();
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const settled of waiting.flat()) settled(undefined);
  }

  /** To be called every tenth of a second or so. */
  tick(): void {
    const now = this.ports.now();
    const paused = now - this.tickedAt > this.ports.electionTimeoutMs;
    this.tickedAt = now;
    this.reconsider();
    const { clock } = this;
    if (clock === undefined) return;
    if (paused) this.confirmed = false;
    if (!this.confirmed) {
      this.ports.barrier((passed) => {
        if (passed && this.clock === clock) this.confirmed = true;
      });
    }
    this.decide();
  }

  private decide(): void {
    const { clock, ports } = this;
    const now = ports.now();
    if (clock === undefined || clock.nextAt > now || this.deciding >= decisionLimit) return;
    const { expiry, checkpoint } = clock.takeDue(now, ports.applied().index);
    const decided = (applied: boolean): void => {
      this.deciding--;
      // After a failure a later tick is early enough.
      if (applied) this.decideSoon();
    };
    if (checkpoint !== undefined) {
      this.deciding++;
      ports.checkpoint(checkpoint, decided);
    }
    if (expiry !== undefined) {
      this.deciding++;
      ports.expire(expiry, (applied) => {
        if (!applied && this.clock === clock) clock.giveBack(expiry, ports.now() + retryMs);
        decided(applied);
      });
    }
    this.decideSoon();
  }

  private decideSoon(): void {
    if (this.decideScheduled) return;
    this.decideScheduled = true;
    this.ports.defer(() => {
      this.decideScheduled = false;
      this.decide();
    });
  }

  // ------------------------------------------------------------------ what the log did

  granted(slot: number): void {
    this.clock?.granted(slot, this.ports.now());
  }

  renewed(slot: number): void {
    this.clock?.renewedInLog(slot, this.ports.now());
    this.settle(slot, this.store.ttl(slot));
  }

  removed(slot: number): void {
    this.clock?.removed(slot);
    this.settle(slot, 0);
  }

  private settle(slot: number, ttl: number | undefined): void {
    const waiting = this.waiting.get(slot);
    if (waiting === undefined) return;
    this.waiting.delete(slot);
    this.renewing.delete(slot);
    for (const settled of waiting) settled(ttl);
  }

  // ------------------------------------------------------------------ what clients ask

  /** Renews at once and returns the time to live in seconds; -1 when keepAlive must be called. */
  renewNow(high: number, low: number): number {
    const { clock, store } = this;
    if (clock === undefined || !this.confirmed) return -1;
    const now = this.ports.now();
    if (now - this.tickedAt > this.ports.electionTimeoutMs) return -1;
    const slot = store.find(high, low);
    if (slot < 0 || clock.isOver(slot, now) || clock.mustRenewInLog(slot)) return -1;
    clock.renew(slot, now);
    return store.ttl(slot);
  }

  /** Renews; `done` gets the time to live in seconds (0: no such lease) or the failure. */
  keepAlive(high: number, low: number, done: (outcome: number | F) => void): void {
    add(this.clock === undefined ? this.gathered : this.unsettled, high, low, done);
    if (this.askScheduled) return;
    this.askScheduled = true;
    this.ports.defer(() => {
      this.askScheduled = false;
      const { gathered, unsettled } = this;
      this.gathered = nothing();
      this.unsettled = nothing();
      this.askToRenew(gathered, false);
      this.askToRenew(unsettled, true);
    });
  }

  private askToRenew({ ids, dones }: Gathered<F>, wait: boolean): void {
    for (let from = 0; from < dones.length; from += questionLimit) {
      const part = ids.slice(2 * from, 2 * (from + questionLimit));
      const waiting = dones.slice(from, from + questionLimit);
      this.ports.ask(encodeQuestion({ kind: "keepAlive", ids: part, wait }), (answer) => {
        if (!(answer instanceof Uint8Array)) {
          for (const done of waiting) done(answer);
          return;
        }
        const undecided: Gathered<F> = nothing();
        for (const [at, ttlPlusOne] of decodeKeepAliveAnswer(answer).entries()) {
          if (ttlPlusOne > 0) waiting[at]?.(ttlPlusOne - 1);
          else if (waiting[at] !== undefined) add(undecided, part[2 * at]!, part[2 * at + 1]!, waiting[at]);
        }
        this.askToRenew(undecided, true);
      });
    }
  }

  /** What the leader says the lease has left. */
  timeToLive(id: bigint, done: (outcome: RemainingAnswer | F) => void): void {
    const question = encodeQuestion({ kind: "remaining", high: highOf(id), low: lowOf(id) });
    this.ports.ask(question, (answer) =>
      done(answer instanceof Uint8Array ? decodeRemainingAnswer(answer) : answer),
    );
  }

  /** Keys that hang on the lease as of what this node applied, in the order of their bytes. */
  keys(id: bigint): Uint8Array[] {
    const leases = this.ports.leases();
    const slot = leases.findId(id);
    return slot < 0 ? [] : leases.keys(slot);
  }

  /** Every lease: on the leader those that run out first at the front, elsewhere by ID. */
  list(): bigint[] {
    const { clock, store } = this;
    if (clock === undefined) return this.ports.leases().ids();
    const slots: number[] = [];
    for (let slot = 0; slot < store.capacity; slot++) if (store.isUsed(slot)) slots.push(slot);
    return slots.sort((a, b) => clock.deadline(a) - clock.deadline(b)).map((slot) => store.id(slot));
  }

  // ------------------------------------------------------------------ what other nodes ask

  /** Answers a question of `ask`; with undefined when this node cannot, being no leader or not yet. */
  answer(bytes: Uint8Array, reply: (answer: Uint8Array | undefined) => void): void {
    if (this.clock === undefined) return reply(undefined);
    const question = decodeQuestion(bytes);
    switch (question.kind) {
      case "keepAlive":
        if (question.wait) return this.answerSettled(question.ids, reply);
        return reply(encodeKeepAliveAnswer(pairs(question.ids, (high, low) => this.renewNow(high, low) + 1)));
      case "remaining":
        return this.afterBarrier((clock) => {
          if (clock === undefined) return reply(undefined);
          const slot = this.store.find(question.high, question.low);
          if (slot < 0) return reply(encodeRemainingAnswer({ found: false, remainingMs: 0, ttl: 0 }));
          const remainingMs = Math.max(0, Math.floor(clock.remainingMs(slot, this.ports.now())));
          reply(encodeRemainingAnswer({ found: true, remainingMs, ttl: this.store.ttl(slot) }));
        });
      default:
        return question satisfies never;
    }
  }

  private afterBarrier(run: (clock: LeaseClock | undefined) => void): void {
    const { clock } = this;
    this.ports.barrier((passed) => run(passed && this.clock === clock ? clock : undefined));
  }

  private answerSettled(ids: IdHalves, reply: (answer: Uint8Array | undefined) => void): void {
    const ttls = new Array<number>(ids.length / 2).fill(0);
    let open = ttls.length;
    let lost = false;
    if (open === 0) return reply(encodeKeepAliveAnswer(ttls));
    pairs(ids, (high, low, at) =>
      this.renewSettled(high, low, (ttl) => {
        if (ttl === undefined) lost = true;
        else ttls[at] = ttl + 1;
        if (--open === 0) reply(lost ? undefined : encodeKeepAliveAnswer(ttls));
      }),
    );
    this.proposeRenewals();
  }

  /** Renews as soon as it is certain whether that is possible. */
  private renewSettled(high: number, low: number, settled: Settled): void {
    const doubtful = !this.confirmed || this.ports.now() - this.tickedAt > this.ports.electionTimeoutMs;
    const slot = this.store.find(high, low);
    if (slot >= 0 && !doubtful) return this.renewKnown(slot, settled);
    // Perhaps it was granted elsewhere and is not applied here; perhaps somebody else leads by now.
    this.afterBarrier((clock) => {
      if (clock === undefined) return settled(undefined);
      const found = this.store.find(high, low);
      if (found < 0) return settled(0);
      this.renewKnown(found, settled);
      this.proposeRenewals();
    });
  }

  private renewKnown(slot: number, settled: Settled): void {
    const { clock, store } = this;
    if (clock === undefined) return settled(undefined);
    const now = this.ports.now();
    const over = clock.isOver(slot, now);
    if (!over && !clock.mustRenewInLog(slot)) {
      clock.renew(slot, now);
      return settled(store.ttl(slot));
    }
    const waiting = this.waiting.get(slot);
    if (waiting === undefined) this.waiting.set(slot, [settled]);
    else waiting.push(settled);
    if (over || this.renewing.has(slot)) return;
    this.renewing.add(slot);
    this.renewals.push(store.high(slot), store.low(slot));
  }

  private proposeRenewals(): void {
    if (this.renewals.length === 0) return;
    const { clock, renewals } = this;
    this.renewals = [];
    this.ports.renew(renewals, (applied) => {
      if (applied || this.clock !== clock) return;
      pairs(renewals, (high, low) => {
        const slot = this.store.find(high, low);
        if (slot >= 0 && this.renewing.has(slot)) this.settle(slot, undefined);
      });
    });
  }
}

/** Renewals that leave together. */
interface Gathered<F> {
  readonly ids: number[];
  readonly dones: ((outcome: number | F) => void)[];
}

function nothing<F>(): Gathered<F> {
  return { ids: [], dones: [] };
}

function add<F>(to: Gathered<F>, high: number, low: number, done: (outcome: number | F) => void): void {
  to.ids.push(high, low);
  to.dones.push(done);
}

function pairs<T>(ids: IdHalves, each: (high: number, low: number, at: number) => T): T[] {
  const results: T[] = [];
  for (let at = 0; at < ids.length; at += 2) results.push(each(ids[at]!, ids[at + 1]!, at / 2));
  return results;
}
