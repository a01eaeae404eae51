// What only the leader knows: when each lease runs out, by its own monotonic clock. Begins anew with
// every leadership, from the time that the log says each lease has left; never early, because it begins
// later than any promise an earlier leader made.
//
// A checkpoint in the log carries the remaining time over to the next leader. Renewals are not in the
// log, so a lease is checkpointed only when it looks abandoned: not renewed for half of its time, or not
// heard of since this leader began. One that is renewed after a checkpoint is renewed through the log.

import { DeadlineHeap } from "./deadline-heap.js";
import type { LeaseStore } from "./lease-store.js";
import type { LeaseCheckpoint, LeaseExpiry } from "./messages.js";

/** Milliseconds between checkpoints of a lease, at least; longer leases have a twentieth of their time. */
const checkpointMs = 5000;
/** Bounds of one entry in the log. A lease with more keys has one to itself. */
export const batchLimits = { leases: 256, keys: 256, checkpoints: 2048 };
/** Leases looked at in one go. */
const looks = 4096;

const Flag = {
  /** An expiry is in the log or on its way. */
  expiring: 1,
  /** The log may hold less than the full time: a checkpoint is in force or on its way. */
  checkpointed: 2,
} as const;

export interface Due {
  readonly expiry: LeaseExpiry | undefined;
  readonly checkpoint: LeaseCheckpoint | undefined;
}

export class LeaseClock {
  private readonly heap = new DeadlineHeap();
  private deadlines = new Float64Array(64);
  /** When the lease was renewed, granted, checkpointed, or found by this leader. */
  private seen = new Float64Array(64);
  /** Milliseconds after `seen` at which a checkpoint is due. */
  private patience = new Float64Array(64);
  private flags = new Uint8Array(64);

  /**
   * Begins to lead.
   * @param now milliseconds of a clock that never goes back.
   * @param extraMs given to every lease for the time between two leaders.
   */
  constructor(
    private readonly leases: LeaseStore,
    private readonly epoch: number,
    now: number,
    extraMs: number,
  ) {
    this.reserve(leases.capacity);
    for (let slot = 0; slot < leases.capacity; slot++) {
      if (!leases.isUsed(slot)) continue;
      this.deadlines[slot] = now + leases.remaining(slot) * 1000 + extraMs;
      this.seen[slot] = now;
      this.patience[slot] = Math.min(this.interval(slot), leases.ttl(slot) * 500);
      this.flags[slot] = leases.isCheckpointed(slot) ? Flag.checkpointed : 0;
      this.look(slot);
    }
  }

  private reserve(count: number): void {
    let size = this.flags.length;
    if (count <= size) return;
    while (size < count) size *= 2;
    const numbers = (old: Float64Array): Float64Array<ArrayBuffer> => {
      const grown = new Float64Array(size);
      grown.set(old);
      return grown;
    };
    this.deadlines = numbers(this.deadlines);
    this.seen = numbers(this.seen);
    this.patience = numbers(this.patience);
    const flags = new Uint8Array(size);
    flags.set(this.flags);
    this.flags = flags;
  }

  private interval(slot: number): number {
    return Math.max(checkpointMs, this.leases.ttl(slot) * 50);
  }

  /** Wants attention at the next checkpoint or when it runs out. */
  private look(slot: number): void {
    this.heap.set(slot, Math.min(this.deadlines[slot]!, this.seen[slot]! + this.patience[slot]!));
  }

  // What is known of one lease.

  /** Milliseconds until it runs out; negative when it has. */
  remainingMs(slot: number, now: number): number {
    return this.deadlines[slot]! - now;
  }

  deadline(slot: number): number {
    return this.deadlines[slot]!;
  }

  /** The lease ran out; it is gone as soon as the log says so. */
  isOver(slot: number, now: number): boolean {
    return (this.flags[slot]! & Flag.expiring) !== 0 || this.deadlines[slot]! <= now;
  }

  /** Whether a renewal must go through the log. */
  mustRenewInLog(slot: number): boolean {
    return (this.flags[slot]! & Flag.checkpointed) !== 0;
  }

  // What happens to it.

  granted(slot: number, now: number): void {
    this.reserve(slot + 1);
    this.flags[slot] = 0;
    this.renew(slot, now);
    this.look(slot);
  }

  /** Full time again, as of now. Where the heap has it is early enough: it looks again then. */
  renew(slot: number, now: number): void {
    const ttlMs = this.leases.ttl(slot) * 1000;
    this.deadlines[slot] = now + ttlMs;
    this.seen[slot] = now;
    this.patience[slot] = ttlMs / 2;
  }

  /** The log renewed it: neither checkpoint nor expiry decided before hold any more. */
  renewedInLog(slot: number, now: number): void {
    this.flags[slot] = 0;
    this.renew(slot, now);
    this.look(slot);
  }

  removed(slot: number): void {
    this.flags[slot] = 0;
    this.heap.remove(slot);
  }

  // What must be decided.

  /** When something will be due at the earliest; later than that when leases were renewed. */
  get nextAt(): number {
    return this.heap.firstTime;
  }

  /**
   * Takes what is due, bounded by `batchLimits`; what is taken is then under way until `giveBack`.
   * @param applied index of the last entry applied completely: younger leases wait.
   */
  takeDue(now: number, applied: number): Due {
    const { heap, leases, epoch } = this;
    const expired: number[] = [];
    const checkpointed: number[] = [];
    let keys = 0;
    for (let look = 0; heap.firstTime <= now && look < looks; look++) {
      if (checkpointed.length >= batchLimits.checkpoints) break;
      const slot = heap.first;
      if (leases.version(slot) > applied) heap.set(slot, now + 1);
      else if (this.deadlines[slot]! <= now) {
        const more = leases.keyCount(slot);
        if (expired.length > 0 && (expired.length >= batchLimits.leases || keys + more > batchLimits.keys))
          break;
        keys += more;
        this.flags[slot]! |= Flag.expiring;
        heap.remove(slot);
        expired.push(slot);
      } else {
        if (this.seen[slot]! + this.patience[slot]! <= now) {
          this.seen[slot] = now;
          this.patience[slot] = this.interval(slot);
          if (this.secondsLeft(slot, now) < leases.remaining(slot)) {
            this.flags[slot]! |= Flag.checkpointed;
            checkpointed.push(slot);
          }
        }
        this.look(slot);
      }
    }
    const versions = (slots: readonly number[]): number[] => slots.map((slot) => leases.version(slot));
    const ids = (slots: readonly number[]): number[] =>
      slots.flatMap((slot) => [leases.high(slot), leases.low(slot)]);
    return {
      expiry: expired.length === 0 ? undefined : { epoch, ids: ids(expired), versions: versions(expired) },
      checkpoint:
        checkpointed.length === 0
          ? undefined
          : {
              epoch,
              ids: ids(checkpointed),
              versions: versions(checkpointed),
              remaining: checkpointed.map((slot) => this.secondsLeft(slot, now)),
            },
    };
  }

  /** Rounded up, so that nobody expires the lease early. */
  private secondsLeft(slot: number, now: number): number {
    return Math.ceil((this.deadlines[slot]! - now) / 1000);
  }

  /** An expiry did not get into the log, or nobody knows: its leases are looked at again, not before `retryAt`. */
  giveBack({ ids, versions }: LeaseExpiry, retryAt: number): void {
    for (const [at, version] of versions.entries()) {
      const slot = this.leases.find(ids[2 * at]!, ids[2 * at + 1]!);
      if (slot < 0 || this.leases.version(slot) !== version) continue;
      if ((this.flags[slot]! & Flag.expiring) === 0) continue;
      this.flags[slot]! &= ~Flag.expiring;
      this.heap.set(slot, Math.max(retryAt, this.deadlines[slot]!));
    }
  }
}
