// Which of many key ranges hold a key: an AVL tree of half-open intervals ordered by start and end,
// every node knowing the furthest end below it. Equal intervals share a node. A question costs
// logarithmic time plus a little for every interval found, however many there are.

import { compareKeys } from "../index/packed-keys.js";

/** Exclusive; undefined: beyond every key. */
type End = Uint8Array | undefined;

class Node<T> {
  left: Node<T> | undefined = undefined;
  right: Node<T> | undefined = undefined;
  height = 1;
  furthest: End;
  constructor(
    readonly start: Uint8Array,
    readonly end: End,
    readonly members: Set<T>,
  ) {
    this.furthest = end;
  }
}

function compareEnds(a: End, b: End): number {
  if (a === undefined || b === undefined) return (a === undefined ? 1 : 0) - (b === undefined ? 1 : 0);
  return compareKeys(a, b);
}

const before = (key: Uint8Array, end: End): boolean => end === undefined || compareKeys(key, end) < 0;
const heightOf = <T>(node: Node<T> | undefined): number => (node === undefined ? 0 : node.height);

export class IntervalIndex<T> {
  private root: Node<T> | undefined = undefined;
  private members = 0;

  get size(): number {
    return this.members;
  }

  /** Steps from the root to the lowest node. */
  get height(): number {
    return heightOf(this.root);
  }

  add(start: Uint8Array, end: End, member: T): void {
    this.root = insert(this.root, start, end, member);
    this.members++;
  }

  /** The member must be there with the same bounds. */
  remove(start: Uint8Array, end: End, member: T): void {
    let node = this.root;
    while (node !== undefined) {
      const order = compareKeys(start, node.start) || compareEnds(end, node.end);
      if (order === 0) break;
      node = order < 0 ? node.left : node.right;
    }
    if (node?.members.delete(member) !== true) throw new Error("an interval to remove is not in the index");
    this.members--;
    if (node.members.size === 0) this.root = remove(this.root, start, end);
  }

  /** Appends the members whose interval holds the key. */
  collect(key: Uint8Array, found: T[]): void {
    if (this.root !== undefined) collect(this.root, key, found);
  }
}

function collect<T>(node: Node<T>, key: Uint8Array, found: T[]): void {
  if (!before(key, node.furthest)) return;
  if (node.left !== undefined) collect(node.left, key, found);
  if (compareKeys(node.start, key) > 0) return;
  if (before(key, node.end)) for (const member of node.members) found.push(member);
  if (node.right !== undefined) collect(node.right, key, found);
}

function insert<T>(node: Node<T> | undefined, start: Uint8Array, end: End, member: T): Node<T> {
  if (node === undefined) return new Node(start, end, new Set([member]));
  const order = compareKeys(start, node.start) || compareEnds(end, node.end);
  if (order === 0) {
    node.members.add(member);
    return node;
  }
  if (order < 0) node.left = insert(node.left, start, end, member);
  else node.right = insert(node.right, start, end, member);
  return balance(node);
}

function remove<T>(node: Node<T> | undefined, start: Uint8Array, end: End): Node<T> | undefined {
  if (node === undefined) return undefined;
  const order = compareKeys(start, node.start) || compareEnds(end, node.end);
  if (order < 0) node.left = remove(node.left, start, end);
  else if (order > 0) node.right = remove(node.right, start, end);
  else {
    if (node.left === undefined) return node.right;
    if (node.right === undefined) return node.left;
    let heir = node.right;
    while (heir.left !== undefined) heir = heir.left;
    const taken = new Node(heir.start, heir.end, heir.members);
    taken.right = remove(node.right, heir.start, heir.end);
    taken.left = node.left;
    return balance(taken);
  }
  return balance(node);
}

function measure<T>(node: Node<T>): void {
  const { left, right } = node;
  node.height = 1 + Math.max(heightOf(left), heightOf(right));
  let furthest = node.end;
  if (left !== undefined && compareEnds(left.furthest, furthest) > 0) furthest = left.furthest;
  if (right !== undefined && compareEnds(right.furthest, furthest) > 0) furthest = right.furthest;
  node.furthest = furthest;
}

function rotateRight<T>(node: Node<T>, left: Node<T>): Node<T> {
  node.left = left.right;
  left.right = node;
  measure(node);
  measure(left);
  return left;
}

function rotateLeft<T>(node: Node<T>, right: Node<T>): Node<T> {
  node.right = right.left;
  right.left = node;
  measure(node);
  measure(right);
  return right;
}

function balance<T>(node: Node<T>): Node<T> {
  measure(node);
  const { left, right } = node;
  const lean = heightOf(left) - heightOf(right);
  if (lean > 1 && left !== undefined) {
    const inner = left.right;
    if (inner !== undefined && heightOf(left.left) < inner.height) node.left = rotateLeft(left, inner);
    return rotateRight(node, node.left ?? left);
  }
  if (lean < -1 && right !== undefined) {
    const inner = right.left;
    if (inner !== undefined && heightOf(right.right) < inner.height) node.right = rotateRight(right, inner);
    return rotateLeft(node, node.right ?? right);
  }
  return node;
}
