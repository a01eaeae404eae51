// The leases of a group as the log makes them: granted and remaining time, version, and the keys attached.
// Knows no time: what a lease has left now is the leader's knowledge (lease-clock.ts). Every change goes
// to the write-behind buffer at once; equal logs give equal leases.

import { invariant } from "../mvcc/invariant.js";
import type { KeyValueStore, WriteBehind } from "../storage/types.js";
import { Attachments } from "./attachments.js";
import { highOf, IdTable, idOf, lowOf } from "./lease-id.js";
import { decodeLeaseRow, encodeLeaseRow } from "./messages.js";

/** Told about leases right after they changed; a slot is free for another lease after `removed`. */
export interface LeaseObserver {
  granted(slot: number): void;
  /** A renewal that went through the log. */
  renewed(slot: number): void;
  removed(slot: number): void;
}

export class LeaseStore {
  private readonly slots = new IdTable();
  private readonly attachments = new Attachments();
  private free: number[] = [];
  private slotCount = 0;
  private highs = new Int32Array(64);
  private lows = new Int32Array(64);
  /** Seconds as granted; 0: the slot is free. */
  private ttls = new Float64Array(64);
  private remainings = new Float64Array(64);
  private versions = new Float64Array(64);
  observer: LeaseObserver | undefined;

  /** @param prefix of the leases' table. */
  constructor(
    private readonly buffer: WriteBehind,
    private readonly prefix: Uint8Array,
  ) {}

  /** Reads what an earlier start left in the store. */
  async load(store: KeyValueStore): Promise<void> {
    const { prefix } = this;
    const end = Buffer.from(prefix);
    end[end.length - 1]!++;
    for await (const rows of store.scan({ gte: prefix, lt: end })) {
      for (const [key, row] of rows) {
        const at = Buffer.from(key.buffer, key.byteOffset, key.length);
        const { ttl, remaining, version } = decodeLeaseRow(row);
        const slot = this.occupy(at.readInt32BE(prefix.length), at.readInt32BE(prefix.length + 4));
        this.ttls[slot] = ttl;
        this.remainings[slot] = remaining;
        this.versions[slot] = version;
      }
    }
  }

  // What is known.

  /** Leases. */
  get size(): number {
    return this.slots.size;
  }
  /** Slots in use or used before: above every slot there is. */
  get capacity(): number {
    return this.slotCount;
  }
  /** Keys attached to any lease. */
  get attachedKeys(): number {
    return this.attachments.size;
  }
  /** -1: no such lease. */
  find(high: number, low: number): number {
    return this.slots.find(high, low);
  }
  findId(id: bigint): number {
    return this.slots.find(highOf(id), lowOf(id));
  }
  exists(id: bigint): boolean {
    return this.findId(id) >= 0;
  }
  isUsed(slot: number): boolean {
    return this.ttls[slot] !== 0;
  }
  high(slot: number): number {
    return this.highs[slot]!;
  }
  low(slot: number): number {
    return this.lows[slot]!;
  }
  id(slot: number): bigint {
    return idOf(this.highs[slot]!, this.lows[slot]!);
  }
  /** Seconds as granted. */
  ttl(slot: number): number {
    return this.ttls[slot]!;
  }
  /** Seconds as of the last checkpoint; the granted time without one. */
  remaining(slot: number): number {
    return this.remainings[slot]! || this.ttls[slot]!;
  }
  /** Whether a checkpoint is in force. */
  isCheckpointed(slot: number): boolean {
    return this.remainings[slot] !== 0;
  }
  version(slot: number): number {
    return this.versions[slot]!;
  }
  keyCount(slot: number): number {
    return this.attachments.count(slot);
  }
  /** In the order of their bytes. */
  keys(slot: number): Buffer[] {
    return this.attachments.keys(slot);
  }
  /** IDs in ascending order. */
  ids(): bigint[] {
    const ids: bigint[] = [];
    for (let slot = 0; slot < this.slotCount; slot++) if (this.isUsed(slot)) ids.push(this.id(slot));
    return ids.sort((a, b) => (a < b ? -1 : 1));
  }

  // What the log does.

  /** False when there is a lease of that ID. `version` is the index of the entry. */
  grant(id: bigint, ttl: number, version: number): boolean {
    invariant(ttl > 0, "a lease lives for a second at least");
    if (this.exists(id)) return false;
    const slot = this.occupy(highOf(id), lowOf(id));
    this.ttls[slot] = ttl;
    this.remainings[slot] = 0;
    this.versions[slot] = version;
    this.save(slot);
    this.observer?.granted(slot);
    return true;
  }

  /** Its time is full again, and what was decided about it before is void. */
  renew(slot: number, version: number): void {
    this.remainings[slot] = 0;
    this.versions[slot] = version;
    this.save(slot);
    this.observer?.renewed(slot);
  }

  checkpoint(slot: number, remaining: number): void {
    this.remainings[slot] = Math.min(remaining, this.ttls[slot]!);
    this.save(slot);
  }

  /** Its keys must be gone already. */
  remove(slot: number): void {
    invariant(this.keyCount(slot) === 0, "a lease that goes has no keys");
    const high = this.highs[slot]!;
    const low = this.lows[slot]!;
    this.buffer.del(this.rowKey(high, low));
    this.slots.remove(high, low);
    this.ttls[slot] = 0;
    this.observer?.removed(slot);
    this.free.push(slot);
  }

  private occupy(high: number, low: number): number {
    const slot = this.free.pop() ?? this.slotCount++;
    if (slot === this.ttls.length) this.grow();
    this.highs[slot] = high;
    this.lows[slot] = low;
    this.slots.add(high, low, slot);
    return slot;
  }

  private grow(): void {
    const size = this.ttls.length * 2;
    const integers = (old: Int32Array): Int32Array<ArrayBuffer> => {
      const grown = new Int32Array(size);
      grown.set(old);
      return grown;
    };
    const numbers = (old: Float64Array): Float64Array<ArrayBuffer> => {
      const grown = new Float64Array(size);
      grown.set(old);
      return grown;
    };
    this.highs = integers(this.highs);
    this.lows = integers(this.lows);
    this.ttls = numbers(this.ttls);
    this.remainings = numbers(this.remainings);
    this.versions = numbers(this.versions);
  }

  private rowKey(high: number, low: number): Buffer {
    const { prefix } = this;
    const key = Buffer.allocUnsafe(prefix.length + 8);
    key.set(prefix);
    key.writeInt32BE(high, prefix.length);
    key.writeInt32BE(low, prefix.length + 4);
    return key;
  }

  private save(slot: number): void {
    const row = encodeLeaseRow({
      ttl: this.ttls[slot]!,
      remaining: this.remainings[slot]!,
      version: this.versions[slot]!,
    });
    this.buffer.put(this.rowKey(this.highs[slot]!, this.lows[slot]!), row);
  }

  // What the store of keys does.

  /** The key now has this lease, or none (0n, also for leases that do not exist), whatever it had before. */
  attach(key: Uint8Array, lease: bigint): void {
    const slot = lease === 0n ? -1 : this.findId(lease);
    if (slot >= 0) this.attachments.attach(key, slot);
    else this.attachments.detach(key);
  }
}
