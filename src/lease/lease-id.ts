// A lease ID as two 32-bit halves: any int64 without BigInt arithmetic where leases are renewed by the
// hundred thousand. At the edges an ID is a bigint.

export const highOf = (id: bigint): number => Number(BigInt.asIntN(32, id >> 32n));
export const lowOf = (id: bigint): number => Number(BigInt.asIntN(32, id));

export function idOf(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

/** Finds the slot of a lease by its ID: open addressing in typed arrays, 12 bytes an entry. */
export class IdTable {
  private highs = new Int32Array(64);
  private lows = new Int32Array(64);
  /** Slot + 1; 0: free. */
  private slots = new Int32Array(64);
  private mask = 63;
  private count = 0;

  get size(): number {
    return this.count;
  }

  private home(high: number, low: number): number {
    let hash = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) & this.mask;
  }

  /** -1: not there. */
  find(high: number, low: number): number {
    const { highs, lows, slots, mask } = this;
    for (let at = this.home(high, low); ; at = (at + 1) & mask) {
      const slot = slots[at]!;
      if (slot === 0 || (lows[at] === low && highs[at] === high)) return slot - 1;
    }
  }

  /** The ID must not be there yet. */
  add(high: number, low: number, slot: number): void {
    if ((this.count + 1) * 2 > this.mask) this.grow();
    this.insert(high, low, slot + 1);
    this.count++;
  }

  private insert(high: number, low: number, stored: number): void {
    const { highs, lows, slots, mask } = this;
    let at = this.home(high, low);
    while (slots[at] !== 0) at = (at + 1) & mask;
    highs[at] = high;
    lows[at] = low;
    slots[at] = stored;
  }

  private grow(): void {
    const { highs, lows, slots } = this;
    const size = slots.length * 2;
    this.highs = new Int32Array(size);
    this.lows = new Int32Array(size);
    this.slots = new Int32Array(size);
    this.mask = size - 1;
    for (let at = 0; at < slots.length; at++)
      if (slots[at] !== 0) this.insert(highs[at]!, lows[at]!, slots[at]!);
  }

  /** Takes the ID out; what lies behind it moves up, so that no probe meets a gap. */
  remove(high: number, low: number): void {
    const { highs, lows, slots, mask } = this;
    let gap = this.home(high, low);
    while (slots[gap] !== 0 && !(lows[gap] === low && highs[gap] === high)) gap = (gap + 1) & mask;
    if (slots[gap] === 0) return;
    this.count--;
    for (let at = (gap + 1) & mask; slots[at] !== 0; at = (at + 1) & mask) {
      const distance = (at - this.home(highs[at]!, lows[at]!)) & mask;
      if (distance < ((at - gap) & mask)) continue;
      highs[gap] = highs[at]!;
      lows[gap] = lows[at]!;
      slots[gap] = slots[at]!;
      gap = at;
    }
    slots[gap] = 0;
  }
}
