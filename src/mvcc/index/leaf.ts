// A leaf of the key index: up to 128 keys in order, their bytes packed one after another, and for each
// the create and modification revision, the version, the sub-revision and the head of its history in
// one typed array. No object per key.

export const leafCapacity = 128;
/** Key bytes above which a leaf is split even though it has room for more keys. */
export const leafSplitBytes = 64 * 1024;

/** Doubles an entry: create, main, version, then one pair of words. */
export const entryNumbers = 4;
/** Words an entry; the last two are the sub-revision and the history. */
export const entryWords = 8;
const entryBytes = entryNumbers * 8;

export class Leaf {
  count = 0;
  /** Keys that exist at the newest revision. */
  live = 0;
  next: Leaf | undefined = undefined;
  /** Per entry: create, main, version (0: a tombstone, create is then 0 too), [sub, history]. */
  readonly numbers: Float64Array;
  readonly words: Uint32Array;
  /** Where each key ends in `keys`. */
  readonly ends: Uint32Array;
  keys: Uint8Array;

  constructor(keyBytes: number) {
    const buffer = new ArrayBuffer(leafCapacity * (entryBytes + 4));
    this.numbers = new Float64Array(buffer, 0, leafCapacity * entryNumbers);
    this.words = new Uint32Array(buffer, 0, leafCapacity * entryWords);
    this.ends = new Uint32Array(buffer, leafCapacity * entryBytes, leafCapacity);
    this.keys = new Uint8Array(keyBytes);
  }

  get keyBytes(): number {
    return this.count === 0 ? 0 : this.ends[this.count - 1]!;
  }

  start(slot: number): number {
    return slot === 0 ? 0 : this.ends[slot - 1]!;
  }

  /** A copy of the key in this slot. */
  key(slot: number): Uint8Array {
    return Buffer.from(this.keys.subarray(this.start(slot), this.ends[slot]!));
  }

  /** Slot of the key, or -1 - (slot where it belongs). */
  search(key: Uint8Array): number {
    const { keys, ends } = this;
    const length = key.length;
    let low = 0;
    let high = this.count;
    // Every key between low and high shares that many first bytes with `key`.
    let lowShared = 0;
    let highShared = 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const start = middle === 0 ? 0 : ends[middle - 1]!;
      const size = ends[middle]! - start;
      const shorter = Math.min(size, length);
      let shared = Math.min(lowShared, highShared);
      while (shared < shorter && keys[start + shared] === key[shared]) shared++;
      if (shared < shorter ? keys[start + shared]! < key[shared]! : size < length) {
        low = middle + 1;
        lowShared = shared;
      } else if (shared === shorter && size === length) {
        return middle;
      } else {
        high = middle;
        highShared = shared;
      }
    }
    return -1 - low;
  }

  /** First slot whose key is at or above `key`. */
  lowerBound(key: Uint8Array): number {
    const slot = this.search(key);
    return slot < 0 ? -1 - slot : slot;
  }

  /** True when one more key of this many bytes fits without a split. */
  hasRoom(keyLength: number): boolean {
    return this.count < leafCapacity && (this.count < 2 || this.keyBytes + keyLength <= leafSplitBytes);
  }

  private reserveKeyBytes(needed: number): void {
    if (needed <= this.keys.length) return;
    const grown = new Uint8Array(Math.max(needed, Math.ceil((this.keys.length * 1.2) / 64) * 64));
    grown.set(this.keys.subarray(0, this.keyBytes));
    this.keys = grown;
  }

  /** Makes room in this slot for the key and copies it; the caller fills in numbers and words. */
  open(slot: number, key: Uint8Array): void {
    const { count, ends, numbers } = this;
    const length = key.length;
    const start = this.start(slot);
    const used = this.keyBytes;
    this.reserveKeyBytes(used + length);
    const keys = this.keys;
    if (slot < count) {
      keys.copyWithin(start + length, start, used);
      numbers.copyWithin((slot + 1) * entryNumbers, slot * entryNumbers, count * entryNumbers);
      for (let at = count; at > slot; at--) ends[at] = ends[at - 1]! + length;
    }
    ends[slot] = start + length;
    if (length <= 64) for (let at = 0; at < length; at++) keys[start + at] = key[at]!;
    else keys.set(key, start);
    this.count = count + 1;
  }

  /** Moves the entries from `slot` on to a new leaf behind this one. */
  splitAt(slot: number, extraKeyBytes: number): Leaf {
    const moved = this.count - slot;
    const start = this.start(slot);
    const used = this.keyBytes;
    const right = new Leaf(Math.max(64, Math.ceil((used - start) * 1.25) + extraKeyBytes));
    right.keys.set(this.keys.subarray(start, used));
    right.numbers.set(this.numbers.subarray(slot * entryNumbers, this.count * entryNumbers));
    for (let at = 0; at < moved; at++) right.ends[at] = this.ends[slot + at]! - start;
    right.count = moved;
    this.count = slot;
    right.recountLive();
    this.live -= right.live;
    right.next = this.next;
    this.next = right;
    return right;
  }

  /** Appends everything of the following leaf, which is then garbage. */
  absorb(right: Leaf): void {
    const used = this.keyBytes;
    this.reserveKeyBytes(used + right.keyBytes);
    this.keys.set(right.keys.subarray(0, right.keyBytes), used);
    this.numbers.set(right.numbers.subarray(0, right.count * entryNumbers), this.count * entryNumbers);
    for (let at = 0; at < right.count; at++) this.ends[this.count + at] = right.ends[at]! + used;
    this.count += right.count;
    this.live += right.live;
    this.next = right.next;
  }

  /** Moves the entry to a lower slot, over entries that are no longer wanted. */
  moveDown(from: number, to: number): void {
    const start = this.start(from);
    const end = this.ends[from]!;
    const target = this.start(to);
    this.keys.copyWithin(target, start, end);
    this.ends[to] = target + (end - start);
    this.numbers.copyWithin(to * entryNumbers, from * entryNumbers, (from + 1) * entryNumbers);
  }

  private recountLive(): void {
    let live = 0;
    for (let slot = 0; slot < this.count; slot++) if (this.numbers[slot * entryNumbers + 2] !== 0) live++;
    this.live = live;
  }
}

/** Bytewise order of two keys: negative, zero or positive. */
export function compareKeys(left: Uint8Array, right: Uint8Array): number {
  const shorter = Math.min(left.length, right.length);
  for (let at = 0; at < shorter; at++) {
    const difference = left[at]! - right[at]!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
