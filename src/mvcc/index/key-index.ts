// The in-memory index of all keys and their retained revisions: a B+-tree with packed leaves. It knows
// where the value of every key at every readable revision lies, never the value itself. Results are
// left in `cell` instead of objects; keys handed out are copies.

import { invariant } from "../invariant.js";
import { HistoryPool } from "./history.js";
import { Inner, type Node, shortestSeparator } from "./inner.js";
import { entryNumbers, Leaf, leafBytes } from "./leaf.js";
import { compareKeys } from "./packed-keys.js";

/** A revision above every other: the newest state. */
export const newest = Number.POSITIVE_INFINITY;

/** Fields of KeyIndex.cell. */
export const Cell = { create: 0, main: 1, version: 2, sub: 3 } as const;

/** Takes the key in this slot, whose state is in `cell`; false ends the scan. */
export type Visit = (leaf: Leaf, slot: number) => boolean;

export class KeyIndex {
  /** What the last lookup, put, remove or visit found (see Cell). */
  readonly cell = new Float64Array(4);
  /** What put and remove replaced; version 0 when the key did not exist. */
  readonly replaced = new Float64Array(4);

  readonly history = new HistoryPool();
  private root: Node = new Leaf(256);
  /** Inner levels above the leaves. */
  private height = 0;
  private leaves = 1;
  private readonly pathNodes: Inner[] = [];
  private readonly pathSlots: number[] = [];

  /** Keys that exist at the newest revision. */
  get size(): number {
    return this.root.live;
  }

  /** Leads to the leaf in which the key is or belongs, and notes the path. */
  private descend(key: Uint8Array): Leaf {
    let node = this.root;
    const height = this.height;
    for (let level = 0; level < height; level++) {
      const inner = node as Inner;
      const slot = inner.childFor(key);
      this.pathNodes[level] = inner;
      this.pathSlots[level] = slot;
      node = inner.children[slot]!;
    }
    return node as Leaf;
  }

  private addLive(leaf: Leaf, delta: number): void {
    leaf.live += delta;
    for (let level = 0; level < this.height; level++)
      this.pathNodes[level]!.addLive(this.pathSlots[level]!, delta);
  }

  /** Fills `cell` with the state of the slot at the revision; false when the key did not exist then. */
  private load(leaf: Leaf, slot: number, revision: number): boolean {
    const { cell } = this;
    const at = slot * entryNumbers;
    const main = leaf.numbers[at + 1]!;
    if (main <= revision) {
      cell[0] = leaf.numbers[at]!;
      cell[1] = main;
      cell[3] = leaf.sub(slot);
      return (cell[2] = leaf.numbers[at + 2]!) !== 0;
    }
    const history = this.history;
    const node = history.find(leaf.history(slot), revision);
    if (node === 0) {
      cell.fill(0);
      return false;
    }
    cell[0] = history.create(node);
    cell[1] = history.main(node);
    cell[3] = history.sub(node);
    return (cell[2] = history.version(node)) !== 0;
  }

  /**
   * The state of the key at the revision, in `cell`. False when it did not exist; `cell` then tells a
   * tombstone (main above 0) from nothing at all (main 0).
   */
  get(key: Uint8Array, revision: number): boolean {
    const leaf = this.descend(key);
    const slot = leaf.search(key);
    if (slot < 0) {
      this.cell.fill(0);
      return false;
    }
    return this.load(leaf, slot, revision);
  }

  /** A new revision of the key. Create and version are in `cell`, what it replaced in `replaced`. */
  put(key: Uint8Array, main: number, sub: number): void {
    const leaf = this.descend(key);
    const slot = leaf.search(key);
    const { cell, replaced } = this;
    cell[1] = main;
    cell[3] = sub;
    if (slot < 0) {
      replaced[1] = 0;
      replaced[2] = 0;
      cell[0] = main;
      cell[2] = 1;
      this.insert(leaf, -1 - slot, key, main, main, 1, sub);
      return;
    }
    this.supersede(leaf, slot, main);
    const alive = replaced[2] !== 0;
    const create = (cell[0] = alive ? replaced[0]! : main);
    const version = (cell[2] = replaced[2]! + 1);
    leaf.set(slot, create, main, version, sub);
    if (!alive) this.addLive(leaf, 1);
  }

  /** Moves the present state of the slot to its history and to `replaced`. */
  private supersede(leaf: Leaf, slot: number, main: number): void {
    const { replaced } = this;
    const { numbers } = leaf;
    const at = slot * entryNumbers;
    const oldCreate = (replaced[0] = numbers[at]!);
    const oldMain = (replaced[1] = numbers[at + 1]!);
    const oldVersion = (replaced[2] = numbers[at + 2]!);
    const oldSub = (replaced[3] = leaf.sub(slot));
    invariant(oldMain <= main, "revisions of a key arrive in order");
    leaf.setHistory(slot, this.history.push(oldCreate, oldMain, oldVersion, oldSub, leaf.history(slot)));
  }

  /** Marks the slot, found by a scan for which the key exists, deleted. */
  private bury(leaf: Leaf, slot: number, main: number, sub: number): void {
    this.supersede(leaf, slot, main);
    leaf.set(slot, 0, main, 0, sub);
  }

  /** Deletes the key; false, and no change, when it does not exist. */
  remove(key: Uint8Array, main: number, sub: number): boolean {
    const leaf = this.descend(key);
    const slot = leaf.search(key);
    if (slot < 0 || leaf.version(slot) === 0) return false;
    this.bury(leaf, slot, main, sub);
    this.addLive(leaf, -1);
    return true;
  }

  /** Takes a revision as it was written before a restart. Revisions arrive in order. */
  restore(key: Uint8Array, create: number, main: number, version: number, sub: number): void {
    const leaf = this.descend(key);
    const slot = leaf.search(key);
    if (slot < 0) {
      this.insert(leaf, -1 - slot, key, create, main, version, sub);
      return;
    }
    this.supersede(leaf, slot, main);
    leaf.set(slot, create, main, version, sub);
    const delta = (version !== 0 ? 1 : 0) - (this.replaced[2] !== 0 ? 1 : 0);
    if (delta !== 0) this.addLive(leaf, delta);
  }

  private insert(
    foundLeaf: Leaf,
    foundSlot: number,
    key: Uint8Array,
    create: number,
    main: number,
    version: number,
    sub: number,
  ): void {
    let leaf = foundLeaf;
    let slot = foundSlot;
    if (!leaf.hasRoom(key.length)) {
      // Keys that arrive in order, ascending or descending, leave full leaves behind them.
      const inOrder =
        slot === leaf.lastSlot + 1 ||
        slot === leaf.lastSlot ||
        (slot === leaf.count && leaf.next === undefined);
      this.split(leaf, inOrder ? slot : leaf.count >>> 1, key, inOrder);
      leaf = this.descend(key);
      slot = -1 - leaf.search(key);
    }
    leaf.open(slot, key);
    leaf.set(slot, create, main, version, sub);
    if (version !== 0) this.addLive(leaf, 1);
  }

  /**
   * Splits the leaf at the end of the noted path. Where keys arrive in order, `key` belongs at the slot
   * of the split: to the end of the left leaf if that has room, else to a new one.
   */
  private split(leaf: Leaf, slot: number, key: Uint8Array, inOrder: boolean): void {
    const empty = slot === leaf.count;
    const right = leaf.splitAt(slot, empty ? leaf.keyBytes : key.length);
    this.leaves++;
    let separator = shortestSeparator(
      inOrder && !empty ? key : leaf.key(slot - 1),
      empty ? key : right.key(0),
    );
    let child: Node = right;
    for (let level = this.height - 1; level >= 0; level--) {
      const parent = this.pathNodes[level]!;
      const at = this.pathSlots[level]!;
      parent.insertAfter(at, separator, child);
      if (!parent.overfull) return;
      const halves = parent.split(empty && at + 2 === parent.children.length);
      separator = halves.separator;
      child = halves.right;
    }
    const root = new Inner();
    root.begin(this.root);
    root.insertAfter(0, separator, child);
    this.root = root;
    this.height++;
  }

  /**
   * Visits the keys of [start, end) that exist at the revision, in order. Without `end`: all from
   * `start` on. The visitor must not change the index.
   */
  scan(start: Uint8Array, end: Uint8Array | undefined, revision: number, visit: Visit): void {
    if (end !== undefined && compareKeys(start, end) >= 0) return;
    let leaf: Leaf | undefined = this.descend(start);
    let slot = leaf.lowerBound(start);
    while (leaf !== undefined) {
      const limit = this.limitIn(leaf, end);
      for (; slot < limit; slot++) if (this.load(leaf, slot, revision) && !visit(leaf, slot)) return;
      if (limit < leaf.count) return;
      leaf = leaf.next;
      slot = 0;
    }
  }

  /** How many entries of the leaf are below `end`. */
  private limitIn(leaf: Leaf, end: Uint8Array | undefined): number {
    return end === undefined ? leaf.count : leaf.lowerBound(end);
  }

  /**
   * Deletes every existing key of the range at revision `main`, from sub-revision `sub` on.
   * `deleted` is told each key (a copy) with what it replaced in `replaced`. Returns how many.
   */
  removeRange(
    start: Uint8Array,
    end: Uint8Array | undefined,
    main: number,
    sub: number,
    deleted: (key: Uint8Array, sub: number) => void,
  ): number {
    if (end !== undefined && compareKeys(start, end) >= 0) return 0;
    let leaf: Leaf | undefined = this.descend(start);
    let slot = leaf.lowerBound(start);
    let count = 0;
    while (leaf !== undefined) {
      const limit = this.limitIn(leaf, end);
      const before = count;
      for (; slot < limit; slot++) {
        if (leaf.version(slot) === 0) continue;
        const key = leaf.key(slot);
        this.bury(leaf, slot, main, sub + count);
        deleted(key, sub + count);
        count++;
      }
      if (count > before) {
        this.descend(leaf.key(0));
        this.addLive(leaf, before - count);
      }
      if (limit < leaf.count) return count;
      leaf = leaf.next;
      slot = 0;
    }
    return count;
  }

  /** Keys of the range that exist at the newest revision, counted without visiting them. */
  countNewest(start: Uint8Array, end: Uint8Array | undefined): number {
    if (end !== undefined && compareKeys(start, end) >= 0) return 0;
    return (end === undefined ? this.root.live : this.liveBelow(end)) - this.liveBelow(start);
  }

  private liveBelow(key: Uint8Array): number {
    let node = this.root;
    let below = 0;
    for (let level = 0; level < this.height; level++) {
      const inner = node as Inner;
      const slot = inner.childFor(key);
      below += inner.liveBefore(slot);
      node = inner.children[slot]!;
    }
    const leaf = node as Leaf;
    const limit = leaf.lowerBound(key);
    for (let slot = 0; slot < limit; slot++) if (leaf.version(slot) !== 0) below++;
    return below;
  }

  /** Keys of the range that existed at the revision. */
  count(start: Uint8Array, end: Uint8Array | undefined, revision: number): number {
    if (revision === newest) return this.countNewest(start, end);
    let count = 0;
    this.scan(start, end, revision, () => {
      count++;
      return true;
    });
    return count;
  }

  /**
   * Drops what a compaction at `revision` makes unreadable from one leaf, the one where `cursor` is
   * (undefined: the first). `dropped` is told of every revision that is gone: the caller removes the
   * rows of `chain` (which it also releases) and then that of `last`, the newest (0: none).
   * Returns the cursor of the next leaf, or undefined at the end.
   */
  sweepLeaf(
    cursor: Uint8Array | undefined,
    revision: number,
    dropped: (chain: number, lastMain: number, lastSub: number) => void,
  ): Uint8Array | undefined {
    const leaf = this.descend(cursor ?? new Uint8Array(0));
    const { numbers } = leaf;
    let kept = 0;
    for (let slot = 0; slot < leaf.count; slot++) {
      const head = leaf.history(slot);
      const tombstone = leaf.version(slot) === 0;
      let keep = true;
      if (head !== 0 || tombstone) {
        const main = numbers[slot * entryNumbers + 1]!;
        if (main <= revision) {
          keep = !tombstone || main === revision;
          leaf.setHistory(slot, 0);
          if (!keep) dropped(head, main, leaf.sub(slot));
          else if (head !== 0) dropped(head, 0, 0);
        } else if (head !== 0) {
          leaf.setHistory(slot, this.sweepHistory(head, revision, dropped));
        }
      }
      if (!keep) continue;
      if (kept !== slot) leaf.moveDown(slot, kept);
      kept++;
    }
    leaf.count = kept;
    const next = leaf.next?.key(0);
    if (kept === 0) this.removeLeaf(leaf);
    else this.mergeLeft(leaf);
    return next;
  }

  /** Sweeps the history of a key that changed after `revision`; returns its new head. */
  private sweepHistory(
    head: number,
    revision: number,
    dropped: (chain: number, lastMain: number, lastSub: number) => void,
  ): number {
    const { history } = this;
    const boundary = history.find(head, revision);
    if (boundary === 0) return head;
    const older = history.next(boundary);
    if (history.version(boundary) !== 0 || history.main(boundary) === revision) {
      if (older !== 0) {
        history.cutAfter(head, boundary);
        dropped(older, 0, 0);
      }
      return head;
    }
    // A tombstone below the compaction goes with everything before it.
    const main = history.main(boundary);
    const sub = history.sub(boundary);
    let newHead = 0;
    if (boundary !== head) {
      let last = head;
      while (history.next(last) !== boundary) last = history.next(last);
      history.cutAfter(head, last);
      newHead = head;
    }
    history.release(boundary);
    dropped(older, main, sub);
    return newHead;
  }

  /** Takes the empty leaf at the end of the noted path out of the tree. */
  private removeLeaf(leaf: Leaf): void {
    if (this.height === 0) return;
    const before = this.leafBefore();
    if (before !== undefined) before.next = leaf.next;
    this.leaves--;
    for (let level = this.height - 1; level >= 0; level--) {
      const parent = this.pathNodes[level]!;
      parent.remove(this.pathSlots[level]!);
      if (parent.children.length > 0 || level === 0) break;
    }
    this.lowerRoot();
  }

  /** The leaf in front of the one at the end of the noted path. */
  private leafBefore(): Leaf | undefined {
    for (let level = this.height - 1; level >= 0; level--) {
      const slot = this.pathSlots[level]!;
      if (slot === 0) continue;
      let node = this.pathNodes[level]!.children[slot - 1]!;
      for (let below = level + 1; below < this.height; below++) {
        const inner = node as Inner;
        node = inner.children[inner.children.length - 1]!;
      }
      return node as Leaf;
    }
    return undefined;
  }

  /** Joins the leaf at the end of the noted path with its left neighbour when both are sparse. */
  private mergeLeft(leaf: Leaf): void {
    if (this.height === 0) return;
    const parent = this.pathNodes[this.height - 1]!;
    const slot = this.pathSlots[this.height - 1]!;
    if (slot === 0) return;
    const left = parent.children[slot - 1] as Leaf;
    if (!left.canAbsorb(leaf)) return;
    left.absorb(leaf);
    parent.addLive(slot - 1, leaf.live);
    parent.remove(slot);
    this.leaves--;
    this.lowerRoot();
  }

  private lowerRoot(): void {
    while (this.height > 0 && (this.root as Inner).children.length <= 1) {
      const only = (this.root as Inner).children[0];
      this.height = only === undefined ? 0 : this.height - 1;
      this.root = only ?? new Leaf(256);
      if (only === undefined) this.leaves = 1;
    }
  }

  /** Bytes held, by its own count: arrays at their capacity plus an estimate for objects. */
  get bytes(): number {
    // A leaf is one object with three views over two buffers.
    const objectBytes = 700;
    let bytes = this.leaves * (leafBytes + objectBytes) + this.history.bytes;
    for (let leaf: Leaf | undefined = this.firstLeaf(); leaf !== undefined; leaf = leaf.next)
      bytes += leaf.bytes.length;
    const add = (node: Node, level: number): void => {
      if (level === this.height) return;
      bytes += (node as Inner).arrayBytes + objectBytes;
      for (const child of (node as Inner).children) add(child, level + 1);
    };
    add(this.root, 0);
    return bytes;
  }

  private firstLeaf(): Leaf {
    let node = this.root;
    for (let level = 0; level < this.height; level++) node = (node as Inner).children[0]!;
    return node as Leaf;
  }
}
