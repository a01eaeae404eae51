// An inner node of the key index: children in key order, the separator keys between them, and how many
// existing keys are below each, so that ranges are counted without visiting their keys.

import type { Leaf } from "./leaf.js";
import { compareKeys, extraWordsAt, nodeCapacity, PackedKeys } from "./packed-keys.js";

export type Node = Inner | Leaf;

/** Children at most. */
const childLimit = nodeCapacity;

/** Every key of children[i + 1] is at or above the separator in slot i. */
export class Inner extends PackedKeys {
  readonly children: Node[] = [];

  constructor() {
    super(256, new Uint32Array(extraWordsAt + childLimit + 1));
  }

  /** Keys below that exist at the newest revision. */
  get live(): number {
    return this.liveBefore(this.children.length);
  }

  /** Those below the children in front of this one. */
  liveBefore(child: number): number {
    const { words } = this;
    let live = 0;
    for (let at = 0; at < child; at++) live += words[extraWordsAt + at]!;
    return live;
  }

  addLive(child: number, delta: number): void {
    this.words[extraWordsAt + child]! += delta;
  }

  /** The child in which the key is or belongs. */
  childFor(key: Uint8Array): number {
    const slot = this.search(key);
    return slot < 0 ? -1 - slot : slot + 1;
  }

  get overfull(): boolean {
    return this.children.length > childLimit;
  }

  /** The first child. */
  begin(child: Node): void {
    this.children.push(child);
    this.words[extraWordsAt] = child.live;
  }

  /** A child was split: `right` goes behind it. */
  insertAfter(child: number, separator: Uint8Array, right: Node): void {
    this.insertKey(child, separator);
    const { words } = this;
    words.copyWithin(extraWordsAt + child + 2, extraWordsAt + child + 1, extraWordsAt + this.children.length);
    this.children.splice(child + 1, 0, right);
    words[extraWordsAt + child] = this.children[child]!.live;
    words[extraWordsAt + child + 1] = right.live;
  }

  remove(child: number): void {
    const { words } = this;
    words.copyWithin(extraWordsAt + child, extraWordsAt + child + 1, extraWordsAt + this.children.length);
    this.children.splice(child, 1);
    if (this.count > 0) this.removeKey(child === 0 ? 0 : child - 1);
  }

  /** Moves the upper half (at the right edge: the last child only) to a new node. */
  split(atEdge: boolean): { separator: Uint8Array; right: Inner } {
    const total = this.children.length;
    const from = atEdge ? total - 1 : total >>> 1;
    const right = new Inner();
    right.children.push(...this.children.splice(from));
    right.words.set(this.words.subarray(extraWordsAt + from, extraWordsAt + total), extraWordsAt);
    const separator = this.key(from - 1);
    this.moveKeys(from, right);
    this.removeKey(from - 1);
    return { separator, right };
  }

  /** Bytes of its arrays. */
  get arrayBytes(): number {
    return this.bytes.length + this.words.length * 4 + this.children.length * 8;
  }
}

/** The shortest key above `left` and at or below `right`, where left < right. */
export function shortestSeparator(left: Uint8Array, right: Uint8Array): Uint8Array {
  let shared = 0;
  while (shared < left.length && left[shared] === right[shared]) shared++;
  const separator = Uint8Array.from(right.subarray(0, shared + 1));
  if (compareKeys(left, separator) >= 0) throw new RangeError("keys of a split are out of order");
  return separator;
}
