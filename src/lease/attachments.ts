// Which keys hang on which lease: a packed table of keys, chained by lease. About 45 bytes a key beyond
// the key itself, no object a key; a lease is named by its slot.

import { compareKeys } from "../mvcc/index/packed-keys.js";
import { KeyArena } from "./key-arena.js";

/** Numbers of a node: see `Field`. */
const nodeNumbers = 7;
const Field = { lease: 0, hash: 1, segment: 2, offset: 3, length: 4, next: 5, previous: 6 } as const;

export class Attachments {
  private arena = new KeyArena();
  /** Nodes from 1 on; node 0 is none. */
  private nodes = new Int32Array(nodeNumbers * 64);
  private nodeCount = 1;
  private freeNode = 0;
  /** Node by hash, open addressing; 0: free. */
  private table = new Int32Array(128);
  private mask = 127;
  /** First node and number of nodes of each lease. */
  private heads = new Int32Array(64);
  private counts = new Int32Array(64);
  private attached = 0;

  /** Keys attached to any lease. */
  get size(): number {
    return this.attached;
  }

  /** Keys attached to the lease. */
  count(lease: number): number {
    return lease < this.counts.length ? this.counts[lease]! : 0;
  }

  private hash(key: Uint8Array): number {
    let hash = 0x811c9dc5;
    for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key[at]!, 0x01000193);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0x85ebca6b);
    return hash ^ (hash >>> 13);
  }

  /** Position in the table of the key, or of the free place where the search ended. */
  private search(key: Uint8Array, hash: number): number {
    const { nodes, table, mask, arena } = this;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const node = table[at]!;
      if (node === 0) return at;
      const base = node * nodeNumbers;
      if (nodes[base + Field.hash] !== hash || nodes[base + Field.length] !== key.length) continue;
      if (arena.equals(nodes[base + Field.segment]!, nodes[base + Field.offset]!, key)) return at;
    }
  }

  /** Slot of the key's lease; -1: none. */
  leaseOf(key: Uint8Array): number {
    if (this.attached === 0) return -1;
    const node = this.table[this.search(key, this.hash(key))]!;
    return node === 0 ? -1 : this.nodes[node * nodeNumbers + Field.lease]!;
  }

  /** Attaches the key, taking it from the lease it had. */
  attach(key: Uint8Array, lease: number): void {
    const hash = this.hash(key);
    let at = this.search(key, hash);
    let node = this.table[at]!;
    if (node !== 0) {
      if (this.nodes[node * nodeNumbers + Field.lease] === lease) return;
      this.unlink(node);
    } else {
      if ((this.attached + 1) * 2 > this.mask) {
        this.growTable();
        at = this.search(key, hash);
      }
      node = this.newNode();
      this.arena.add(key);
      const base = node * nodeNumbers;
      this.nodes[base + Field.hash] = hash;
      this.nodes[base + Field.segment] = this.arena.segment;
      this.nodes[base + Field.offset] = this.arena.offset;
      this.nodes[base + Field.length] = key.length;
      this.table[at] = node;
      this.attached++;
    }
    this.link(node, lease);
  }

  private newNode(): number {
    const free = this.freeNode;
    if (free !== 0) {
      this.freeNode = this.nodes[free * nodeNumbers + Field.next]!;
      return free;
    }
    if ((this.nodeCount + 1) * nodeNumbers > this.nodes.length) this.nodes = doubled(this.nodes);
    return this.nodeCount++;
  }

  private link(node: number, lease: number): void {
    while (lease >= this.heads.length) {
      this.heads = doubled(this.heads);
      this.counts = doubled(this.counts);
    }
    const { nodes } = this;
    const base = node * nodeNumbers;
    const head = this.heads[lease]!;
    nodes[base + Field.lease] = lease;
    nodes[base + Field.next] = head;
    nodes[base + Field.previous] = 0;
    if (head !== 0) nodes[head * nodeNumbers + Field.previous] = node;
    this.heads[lease] = node;
    this.counts[lease]!++;
  }

  private unlink(node: number): void {
    const { nodes } = this;
    const base = node * nodeNumbers;
    const lease = nodes[base + Field.lease]!;
    const next = nodes[base + Field.next]!;
    const previous = nodes[base + Field.previous]!;
    if (previous === 0) this.heads[lease] = next;
    else nodes[previous * nodeNumbers + Field.next] = next;
    if (next !== 0) nodes[next * nodeNumbers + Field.previous] = previous;
    this.counts[lease]!--;
  }

  private growTable(): void {
    const { nodes, table } = this;
    const size = table.length * 2;
    const grown = new Int32Array(size);
    const mask = size - 1;
    for (const node of table) {
      if (node === 0) continue;
      let at = nodes[node * nodeNumbers + Field.hash]! & mask;
      while (grown[at] !== 0) at = (at + 1) & mask;
      grown[at] = node;
    }
    this.table = grown;
    this.mask = mask;
  }

  /** The key hangs on no lease any more; nothing happens when it did on none. */
  detach(key: Uint8Array): void {
    if (this.attached === 0) return;
    const at = this.search(key, this.hash(key));
    const node = this.table[at]!;
    if (node !== 0) this.remove(at, node);
  }

  private remove(position: number, node: number): void {
    const { nodes, table, mask } = this;
    this.unlink(node);
    let gap = position;
    for (let at = (gap + 1) & mask; table[at] !== 0; at = (at + 1) & mask) {
      const home = nodes[table[at]! * nodeNumbers + Field.hash]! & mask;
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      table[gap] = table[at]!;
      gap = at;
    }
    table[gap] = 0;
    this.attached--;
    const base = node * nodeNumbers;
    this.arena.remove(nodes[base + Field.segment]!, nodes[base + Field.length]!);
    nodes[base + Field.lease] = -1;
    nodes[base + Field.next] = this.freeNode;
    this.freeNode = node;
    if (this.arena.wasteful) this.moveKeys();
  }

  private moveKeys(): void {
    const { nodes, arena } = this;
    const fresh = new KeyArena();
    for (let base = nodeNumbers; base < this.nodeCount * nodeNumbers; base += nodeNumbers) {
      if (nodes[base + Field.lease]! < 0) continue;
      fresh.add(
        arena.get(nodes[base + Field.segment]!, nodes[base + Field.offset]!, nodes[base + Field.length]!),
      );
      nodes[base + Field.segment] = fresh.segment;
      nodes[base + Field.offset] = fresh.offset;
    }
    this.arena = fresh;
  }

  /** Copies of the lease's keys in the order of their bytes. */
  keys(lease: number): Buffer[] {
    const { nodes, arena } = this;
    const keys: Buffer[] = [];
    let node = lease < this.heads.length ? this.heads[lease]! : 0;
    for (; node !== 0; node = nodes[node * nodeNumbers + Field.next]!) {
      const base = node * nodeNumbers;
      keys.push(
        arena.get(nodes[base + Field.segment]!, nodes[base + Field.offset]!, nodes[base + Field.length]!),
      );
    }
    return keys.sort(compareKeys);
  }

  /** Bytes held by its own count. */
  get bytes(): number {
    return 4 * (this.nodes.length + this.table.length + 2 * this.heads.length) + this.arena.bytes;
  }
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(array.length * 2);
  grown.set(array);
  return grown;
}
