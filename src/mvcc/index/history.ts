// Superseded revisions of keys: newest-first chains in pooled pages, 40 bytes a revision and no object.
// Every node also holds a jump to a much older node, so that finding the state of a key at an old
// revision takes logarithmically many steps however often the key changed (skew-binary jump pointers,
// Myers 1983, "An applicative random-access stack").

import { invariant } from "../invariant.js";

const pageShift = 12;
const pageNodes = 1 << pageShift;
const pageMask = pageNodes - 1;
/** Doubles a node: create, main, version, then sub|next and jump|depth as pairs of words. */
const nodeNumbers = 5;
const nodeWords = 10;

/** Nodes at the end of a chain whose jump leads no further than the next node. */
const plainDepth = 16;

/** Identifier of a node; 0 is the end of a chain. */
export type NodeRef = number;

export class HistoryPool {
  private readonly numbers: Float64Array[] = [];
  private readonly words: Uint32Array[] = [];
  private used = 1;
  private free: NodeRef = 0;
  private freeCount = 0;

  /** Revisions held. */
  get size(): number {
    return this.used - 1 - this.freeCount;
  }

  /** Bytes of all pages. */
  get bytes(): number {
    return this.numbers.length * pageNodes * nodeNumbers * 8;
  }

  /** Puts a revision in front of the chain `next` and returns the new head. */
  push(create: number, main: number, version: number, sub: number, next: NodeRef): NodeRef {
    const node = this.allocate();
    const numbers = this.numbers[node >>> pageShift]!;
    const at = (node & pageMask) * nodeNumbers;
    numbers[at] = create;
    numbers[at + 1] = main;
    numbers[at + 2] = version;
    const words = this.words[node >>> pageShift]!;
    const word = (node & pageMask) * nodeWords + 6;
    words[word] = sub;
    words[word + 1] = next;
    let jump = next;
    let depth = 1;
    if (next !== 0) {
      const nextDepth = this.depth(next);
      depth = nextDepth + 1;
      // Short chains are walked: most keys have one, and looking further back costs cache misses.
      const middle = nextDepth < plainDepth ? 0 : this.jump(next);
      if (middle !== 0) {
        const far = this.jump(middle);
        const farDepth = far === 0 ? 0 : this.depth(far);
        if (nextDepth - this.depth(middle) === this.depth(middle) - farDepth) jump = far;
      }
    }
    words[word + 2] = jump;
    words[word + 3] = depth;
    return node;
  }

  private allocate(): NodeRef {
    if (this.free !== 0) {
      const node = this.free;
      this.free = this.next(node);
      this.freeCount--;
      return node;
    }
    if (this.used >>> pageShift === this.numbers.length) {
      invariant(this.used < 0xffffffff - pageNodes, "the history of keys is full");
      const buffer = new ArrayBuffer(pageNodes * nodeNumbers * 8);
      this.numbers.push(new Float64Array(buffer));
      this.words.push(new Uint32Array(buffer));
    }
    return this.used++;
  }

  release(node: NodeRef): void {
    this.words[node >>> pageShift]![(node & pageMask) * nodeWords + 7] = this.free;
    this.free = node;
    this.freeCount++;
    if (this.size === 0) this.reset();
  }

  /** Gives all memory back: a compaction left no history. */
  private reset(): void {
    this.numbers.length = 0;
    this.words.length = 0;
    this.used = 1;
    this.free = 0;
    this.freeCount = 0;
  }

  create(node: NodeRef): number {
    return this.numbers[node >>> pageShift]![(node & pageMask) * nodeNumbers]!;
  }
  main(node: NodeRef): number {
    return this.numbers[node >>> pageShift]![(node & pageMask) * nodeNumbers + 1]!;
  }
  /** 0: a tombstone. */
  version(node: NodeRef): number {
    return this.numbers[node >>> pageShift]![(node & pageMask) * nodeNumbers + 2]!;
  }
  sub(node: NodeRef): number {
    return this.words[node >>> pageShift]![(node & pageMask) * nodeWords + 6]!;
  }
  next(node: NodeRef): NodeRef {
    return this.words[node >>> pageShift]![(node & pageMask) * nodeWords + 7]!;
  }
  private jump(node: NodeRef): NodeRef {
    return this.words[node >>> pageShift]![(node & pageMask) * nodeWords + 8]!;
  }
  private depth(node: NodeRef): number {
    return this.words[node >>> pageShift]![(node & pageMask) * nodeWords + 9]!;
  }

  /** The newest node of the chain at or below the revision; 0 when there is none. */
  find(head: NodeRef, revision: number): NodeRef {
    let node = head;
    while (node !== 0 && this.main(node) > revision) {
      const jump = this.jump(node);
      node = jump !== 0 && this.main(jump) > revision ? jump : this.next(node);
    }
    return node;
  }

  /** Cuts the chain after `last`, which must be on it (0: nothing is kept). The rest is not released. */
  cutAfter(head: NodeRef, last: NodeRef): void {
    for (let node = head; node !== 0; node = this.next(node)) {
      const words = this.words[node >>> pageShift]!;
      const word = (node & pageMask) * nodeWords + 6;
      const isLast = node === last;
      // A jump past the cut would lead to released nodes: let it end at the cut instead. Nodes newer
      // than `last` within the same revision are told apart by their depth.
      const jump = words[word + 2]!;
      if (isLast) {
        words[word + 1] = 0;
        words[word + 2] = 0;
        return;
      }
      if (jump === 0 || this.depth(jump) < this.depth(last)) words[word + 2] = last;
    }
    invariant(false, "the node to cut after is not on the chain");
  }
}
