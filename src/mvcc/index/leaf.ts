// A leaf of the key index: its keys, and for each the create and modification revision, the version,
// the sub-revision and the head of its history, all in typed arrays. No object per key.

import { extraWordsAt, nodeCapacity, PackedKeys } from "./packed-keys.js";

/** Key bytes above which a leaf is split even though it has room for more keys. */
const splitBytes = 64 * 1024;

/** Doubles an entry: create, main, version (0: a tombstone, create is then 0 too), [sub, history]. */
export const entryNumbers = 4;
const entryWords = 2 * entryNumbers;
/** In `words`: where the sub-revision of slot 0 is, and the head of its history. */
const subsAt = extraWordsAt + 6;
const historiesAt = extraWordsAt + 7;

const wordCount = extraWordsAt + nodeCapacity * entryWords;
/** Bytes of a leaf besides its keys and the objects around them. */
export const leafBytes = wordCount * 4;

export class Leaf extends PackedKeys {
  /** Keys that exist at the newest revision. */
  live = 0;
  next: Leaf | undefined = undefined;
  /** Where the last key went in: keys that arrive in order show there. */
  lastSlot = -2;
  readonly numbers: Float64Array;

  constructor(keyBytes: number) {
    const words = new Uint32Array(wordCount);
    super(keyBytes, words);
    this.numbers = new Float64Array(words.buffer, extraWordsAt * 4, nodeCapacity * entryNumbers);
  }

  sub(slot: number): number {
    return this.words[subsAt + slot * entryWords]!;
  }
  history(slot: number): number {
    return this.words[historiesAt + slot * entryWords]!;
  }
  setHistory(slot: number, head: number): void {
    this.words[historiesAt + slot * entryWords] = head;
  }
  version(slot: number): number {
    return this.numbers[slot * entryNumbers + 2]!;
  }

  set(slot: number, create: number, main: number, version: number, sub: number): void {
    const { numbers } = this;
    const at = slot * entryNumbers;
    numbers[at] = create;
    numbers[at + 1] = main;
    numbers[at + 2] = version;
    this.words[subsAt + slot * entryWords] = sub;
  }

  /** True when one more key of this many bytes fits without a split. */
  hasRoom(keyLength: number): boolean {
    return this.count < nodeCapacity && (this.count < 2 || this.keyBytes + keyLength <= splitBytes);
  }

  /** True when this leaf can take everything of the other one and stay sparse. */
  canAbsorb(other: Leaf): boolean {
    return this.count + other.count <= (nodeCapacity * 3) / 4 && this.keyBytes + other.keyBytes <= splitBytes;
  }

  /** Makes room in this slot for the key and copies it, with no history; the caller sets the rest. */
  open(slot: number, key: Uint8Array): void {
    if (slot < this.count)
      this.numbers.copyWithin((slot + 1) * entryNumbers, slot * entryNumbers, this.count * entryNumbers);
    this.insertKey(slot, key);
    this.setHistory(slot, 0);
    this.lastSlot = slot;
  }

  /** Moves the entries from `slot` on to a new leaf behind this one. */
  splitAt(slot: number, extraKeyBytes: number): Leaf {
    const bytes = this.keyBytes - this.start(slot);
    const right = new Leaf(Math.max(64, Math.ceil(bytes * 1.25) + extraKeyBytes));
    right.numbers.set(this.numbers.subarray(slot * entryNumbers, this.count * entryNumbers));
    this.moveKeys(slot, right);
    for (let at = 0; at < right.count; at++) if (right.version(at) !== 0) right.live++;
    this.live -= right.live;
    right.next = this.next;
    this.next = right;
    return right;
  }

  /** Appends everything of the following leaf, which is then garbage. */
  absorb(right: Leaf): void {
    this.numbers.set(right.numbers.subarray(0, right.count * entryNumbers), this.count * entryNumbers);
    this.appendKeys(right);
    this.live += right.live;
    this.next = right.next;
  }

  /** Moves the entry to a lower slot, over entries that are no longer wanted. */
  moveDown(from: number, to: number): void {
    this.moveKeyDown(from, to);
    this.numbers.copyWithin(to * entryNumbers, from * entryNumbers, (from + 1) * entryNumbers);
  }
}
