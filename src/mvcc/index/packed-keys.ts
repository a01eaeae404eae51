// Up to 128 keys in order, their bytes packed one after another. A search looks at the four bytes that
// follow what all keys have in common, kept side by side in one array, and then at one or two keys:
// in an index of millions it is cache misses that cost, not comparisons.

export const nodeCapacity = 128;
/** In `words`: where each key ends in `bytes`, then the head of each key, then what subclasses keep. */
const headsAt = nodeCapacity;
export const extraWordsAt = 2 * nodeCapacity;

export abstract class PackedKeys {
  count = 0;
  /** Bytes that all keys have in common at their beginning; perhaps not all of them. */
  protected shared = 0;
  bytes: Uint8Array;

  protected constructor(
    keyBytes: number,
    readonly words: Uint32Array,
  ) {
    this.bytes = new Uint8Array(keyBytes);
  }

  get keyBytes(): number {
    return this.count === 0 ? 0 : this.words[this.count - 1]!;
  }

  start(slot: number): number {
    return slot === 0 ? 0 : this.words[slot - 1]!;
  }

  /** A copy of the key in this slot. */
  key(slot: number): Uint8Array {
    return Buffer.from(this.bytes.subarray(this.start(slot), this.words[slot]!));
  }

  /** Slot of the key, or -1 - (slot where it belongs). */
  search(key: Uint8Array): number {
    const { words, count } = this;
    const head = headOf(key, 0, key.length, this.shared);
    let low = headsAt;
    let high = headsAt + count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (words[middle]! < head) low = middle + 1;
      else high = middle;
    }
    const slot = low - headsAt;
    // Nearly always the first key with this head is the one.
    if (slot < count && words[low] === head && this.compare(slot, key, 0) === 0) return slot;
    return this.searchRun(key, head, slot);
  }

  /** Goes on from the first slot whose head is not below the key's. */
  private searchRun(key: Uint8Array, head: number, first: number): number {
    const { words, bytes, count, shared } = this;
    if (count === 0) return -1;
    for (let at = 0; at < shared; at++) {
      if (at === key.length || key[at]! < bytes[at]!) return -1;
      if (key[at]! > bytes[at]!) return -1 - count;
    }
    let low = first;
    let high = first;
    while (high < count && words[headsAt + high] === head) high++;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.compare(middle, key, shared);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return -1 - low;
  }

  /** Order of the key in the slot and another; both are known to begin with the same `from` bytes. */
  private compare(slot: number, key: Uint8Array, from: number): number {
    const { bytes } = this;
    const start = this.start(slot);
    const size = this.words[slot]! - start;
    const shorter = Math.min(size, key.length);
    for (let at = from; at < shorter; at++) {
      const difference = bytes[start + at]! - key[at]!;
      if (difference !== 0) return difference;
    }
    return size - key.length;
  }

  /** First slot whose key is at or above `key`. */
  lowerBound(key: Uint8Array): number {
    const slot = this.search(key);
    return slot < 0 ? -1 - slot : slot;
  }

  protected reserveKeyBytes(needed: number): void {
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, Math.ceil((this.bytes.length * 1.2) / 64) * 64));
    grown.set(this.bytes.subarray(0, this.keyBytes));
    this.bytes = grown;
  }

  /** Makes room in this slot and copies the key to it. */
  protected insertKey(slot: number, key: Uint8Array): void {
    const { count, words } = this;
    const length = key.length;
    const start = this.start(slot);
    const used = this.keyBytes;
    this.reserveKeyBytes(used + length);
    const { bytes } = this;
    if (slot < count) {
      bytes.copyWithin(start + length, start, used);
      for (let at = count; at > slot; at--) {
        words[at] = words[at - 1]! + length;
        words[headsAt + at] = words[headsAt + at - 1]!;
      }
    }
    words[slot] = start + length;
    if (length <= 64) for (let at = 0; at < length; at++) bytes[start + at] = key[at]!;
    else bytes.set(key, start);
    this.count = count + 1;
    words[headsAt + slot] = headOf(key, 0, length, this.shared);
    // Against a neighbour, as the keys are sorted: the others have at least as much in common with it.
    const neighbour = slot === 0 ? Math.min(1, count) : slot - 1;
    if (count === 0 || this.sharedWith(neighbour, key) < this.shared) this.findShared();
  }

  private sharedWith(slot: number, key: Uint8Array): number {
    const start = this.start(slot);
    const limit = Math.min(this.words[slot]! - start, key.length, this.shared);
    let at = 0;
    while (at < limit && this.bytes[start + at] === key[at]) at++;
    return at;
  }

  /** Finds what all keys have in common anew, from the first and the last, and the heads behind it. */
  protected findShared(): void {
    const { bytes, words, count } = this;
    if (count === 0) return;
    const last = this.start(count - 1);
    const limit = Math.min(words[0]!, words[count - 1]! - last);
    let shared = 0;
    while (shared < limit && bytes[shared] === bytes[last + shared]) shared++;
    this.shared = shared;
    for (let slot = 0; slot < count; slot++)
      words[headsAt + slot] = headOf(bytes, this.start(slot), words[slot]!, shared);
  }

  /** Moves the keys from `slot` on to an empty node. */
  protected moveKeys(slot: number, right: PackedKeys): void {
    const start = this.start(slot);
    right.reserveKeyBytes(this.keyBytes - start);
    right.bytes.set(this.bytes.subarray(start, this.keyBytes));
    const moved = this.count - slot;
    for (let at = 0; at < moved; at++) right.words[at] = this.words[slot + at]! - start;
    right.count = moved;
    right.findShared();
    this.count = slot;
    this.findShared();
  }

  /** Appends the keys of a node whose keys are all above these. */
  protected appendKeys(right: PackedKeys): void {
    const used = this.keyBytes;
    this.reserveKeyBytes(used + right.keyBytes);
    this.bytes.set(right.bytes.subarray(0, right.keyBytes), used);
    for (let at = 0; at < right.count; at++) this.words[this.count + at] = right.words[at]! + used;
    this.count += right.count;
    this.findShared();
  }

  /** Moves the key to a lower slot, over keys that are no longer wanted. */
  protected moveKeyDown(from: number, to: number): void {
    const start = this.start(from);
    const end = this.words[from]!;
    const target = this.start(to);
    this.bytes.copyWithin(target, start, end);
    this.words[to] = target + (end - start);
    this.words[headsAt + to] = this.words[headsAt + from]!;
  }

  protected removeKey(slot: number): void {
    for (let at = slot + 1; at < this.count; at++) this.moveKeyDown(at, at - 1);
    this.count--;
  }
}

/** The four bytes from `offset` on as a number, zeros behind the end: orders as the bytes do, or ties. */
function headOf(bytes: Uint8Array, start: number, end: number, offset: number): number {
  const at = start + offset;
  if (at + 4 <= end)
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  let head = 0;
  for (let i = 0; i < 4; i++) head = head * 256 + (at + i < end ? bytes[at + i]! : 0);
  return head;
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
