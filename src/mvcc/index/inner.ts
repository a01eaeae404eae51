// An inner node of the key index: children in key order, the separator keys between them, and how many
// existing keys are below, so that ranges are counted without visiting their keys.

import { compareKeys, type Leaf } from "./leaf.js";

export const innerCapacity = 64;

export type Node = Inner | Leaf;

export class Inner {
  /** Keys below that exist at the newest revision. */
  live = 0;
  /** One less than children; every key of children[i + 1] is at or above separators[i]. */
  separators: Uint8Array[] = [];
  children: Node[] = [];

  /** The child in which the key is or belongs. */
  childFor(key: Uint8Array): number {
    const separators = this.separators;
    const length = key.length;
    let low = 0;
    let high = separators.length;
    let lowShared = 0;
    let highShared = 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const separator = separators[middle]!;
      const shorter = Math.min(separator.length, length);
      let shared = Math.min(lowShared, highShared);
      while (shared < shorter && separator[shared] === key[shared]) shared++;
      if (shared < shorter ? separator[shared]! < key[shared]! : separator.length <= length) {
        low = middle + 1;
        lowShared = shared;
      } else {
        high = middle;
        highShared = shared;
      }
    }
    return low;
  }

  insertAfter(slot: number, separator: Uint8Array, child: Node): void {
    this.separators.splice(slot, 0, separator);
    this.children.splice(slot + 1, 0, child);
  }

  remove(slot: number): void {
    this.children.splice(slot, 1);
    if (this.separators.length > 0) this.separators.splice(slot === 0 ? 0 : slot - 1, 1);
  }

  /** Moves the upper half (at the right edge: the last child only) to a new node. */
  split(atEdge: boolean): { separator: Uint8Array; right: Inner } {
    const from = atEdge ? this.children.length - 1 : this.children.length >>> 1;
    const right = new Inner();
    right.children = this.children.splice(from);
    right.separators = this.separators.splice(from);
    const separator = this.separators.pop()!;
    for (const child of right.children) right.live += child.live;
    this.live -= right.live;
    return { separator, right };
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
