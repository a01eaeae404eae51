// Linearizable reads by confirmed leadership (Raft thesis, 6.4), with one cumulative position instead
// of a round per read: every read takes the commit index of its arrival and a position; heartbeats
// carry the latest position, followers echo the highest they saw, and a quorum of echoes at or above a
// position confirms it and all before. A late or repeated echo can therefore never confirm a later read.

import type { Index, NodeId, ReadId } from "../types.js";

interface Batch {
  readonly position: number;
  readonly index: Index;
  readonly ids: ReadId[];
}

export interface AnsweredRead {
  readonly id: ReadId;
  readonly index: Index;
}

export class ReadQueue {
  private position = 0;
  private broadcastPosition = 0;
  private batches: Batch[] = [];
  /** Reads that arrived before the leader had committed an entry of its own term. */
  private deferred: ReadId[] = [];
  private readonly echoes = new Map<NodeId, number>();

  /** Highest position that a heartbeat should ask to confirm; 0 when no read waits. */
  get wanted(): number {
    return this.batches.length === 0 ? 0 : this.position;
  }

  /** True when reads wait that no heartbeat has carried yet. */
  get broadcastDue(): boolean {
    return this.batches.length > 0 && this.position > this.broadcastPosition;
  }

  get waiting(): number {
    let count = this.deferred.length;
    for (const batch of this.batches) count += batch.ids.length;
    return count;
  }

  /** Keeps reads until the leader knows its commit index. */
  defer(ids: readonly ReadId[]): void {
    for (const id of ids) this.deferred.push(id);
  }

  takeDeferred(): readonly ReadId[] {
    const ids = this.deferred;
    this.deferred = [];
    return ids;
  }

  /** Adds reads that may be answered with `commit` once leadership is confirmed from now on. */
  add(ids: readonly ReadId[], commit: Index): void {
    if (ids.length === 0) return;
    const last = this.batches[this.batches.length - 1];
    if (last !== undefined && last.position > this.broadcastPosition && last.index === commit) {
      for (const id of ids) last.ids.push(id);
      return;
    }
    this.batches.push({ position: ++this.position, index: commit, ids: [...ids] });
  }

  /** Heartbeats with the wanted position are about to leave to everybody. */
  broadcast(): void {
    this.broadcastPosition = this.position;
  }

  /** A follower echoed `position`. Returns whether that is news. */
  echoed(node: NodeId, position: number): boolean {
    if (position > this.broadcastPosition || position <= (this.echoes.get(node) ?? 0)) return false;
    this.echoes.set(node, position);
    return true;
  }

  /** Highest position this node has echoed. */
  echoOf(node: NodeId): number {
    return this.echoes.get(node) ?? 0;
  }

  get latestPosition(): number {
    return this.position;
  }

  /** Takes out the reads confirmed by a quorum that echoed up to `position`. */
  confirm(position: number, answer: (read: AnsweredRead) => void): void {
    let count = 0;
    for (const batch of this.batches) {
      if (batch.position > position) break;
      for (const id of batch.ids) answer({ id, index: batch.index });
      count++;
    }
    if (count > 0) this.batches.splice(0, count);
  }

  /** Leadership began or ended: forgets echoes and hands back every read that waits. */
  clear(): readonly ReadId[] {
    const ids = this.batches.flatMap((batch) => batch.ids).concat(this.deferred);
    this.batches = [];
    this.deferred = [];
    this.echoes.clear();
    this.broadcastPosition = this.position;
    return ids;
  }
}
