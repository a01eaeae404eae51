// The follower's half of replication: compare what the leader sends with the own log, cut, append,
// acknowledge, follow the commit index, and take snapshots. What a peer sends is never believed beyond
// what a correct leader could have sent.

import { invariant } from "../engine.js";
import { lastEntryNotAfter } from "../log/conflict.js";
import { UNKNOWN_TERM } from "../log/log.js";
import {
  type Entry,
  EntryKind,
  type Index,
  type Membership,
  type NodeId,
  type SnapshotMeta,
  type Term,
} from "../types.js";
import type { Append, AppendReply, Heartbeat } from "./messages.js";
import { RaftState } from "./state.js";

export abstract class Following extends RaftState {
  private acknowledgeTo: NodeId = 0;
  private acknowledgeIndex: Index = 0;
  /** Highest index acknowledged in this term. */
  private acknowledgedIndex: Index = 0;

  // --- Decisions that can be overridden to prove that a checker notices -----------------------------

  /** Must an acknowledgement wait for the entries to be durable? It must. */
  protected acknowledgeWhen(): "durable" | "now" {
    return "durable";
  }

  /**
   * Does this entry, of an index that the log already has, contradict the log, so that it and all that
   * follows is replaced? Only if the terms differ: an old append that arrives late must not cut off
   * what came after it (paper, 5.3).
   */
  protected conflicts(entry: Entry): boolean {
    return this.log.termAt(entry.index) !== entry.epoch;
  }

  /** The append comes from the leader of this term. */
  protected handleAppend(from: NodeId, append: Append): void {
    const { previousIndex, entries } = append;
    const proven = previousIndex + entries.length;
    let skip = 0;
    if (previousIndex < this.commit) {
      // What is committed is the same everywhere; an append that says otherwise is not from a leader.
      if (this.contradictsCommitted(append)) {
        this.impossible++;
        return;
      }
      if (proven <= this.commit) {
        this.acknowledge(from, this.commit);
        return;
      }
      skip = this.commit - previousIndex;
    } else if (previousIndex > this.log.lastIndex || this.log.termAt(previousIndex) !== append.previousTerm) {
      this.reject(from, append);
      return;
    }
    while (skip < entries.length) {
      const entry = entries[skip] as Entry;
      if (entry.index > this.log.lastIndex || this.conflicts(entry)) break;
      skip++;
    }
    if (skip < entries.length && !this.accept(entries, skip)) {
      this.impossible++;
      return;
    }
    const commit = Math.min(append.commit, proven);
    // An append that only tells of a commit asks nothing. Should the earlier answer have been lost, the
    // next append finds the commit index known and is answered.
    const asks = entries.length > 0 || proven > this.acknowledgedIndex || commit <= this.commit;
    if (asks) this.acknowledge(from, proven);
    this.commitTo(commit);
  }

  private contradictsCommitted(append: Append): boolean {
    const differs = (index: Index, term: Term): boolean => {
      const ours = index <= this.commit ? this.log.termAt(index) : UNKNOWN_TERM;
      return ours !== UNKNOWN_TERM && ours !== term;
    };
    if (differs(append.previousIndex, append.previousTerm)) return true;
    return append.entries.some((entry) => differs(entry.index, entry.epoch));
  }

  /** Appends entries[from..], cutting off what they contradict. False when one of them is not valid. */
  private accept(entries: readonly Entry[], from: number): boolean {
    const memberships = new Map<Index, Membership>();
    for (let i = from; i < entries.length; i++) {
      const entry = entries[i] as Entry;
      if (entry.kind !== EntryKind.membership) continue;
      const membership = this.readMembership(entry);
      if (membership === undefined) return false;
      memberships.set(entry.index, membership);
    }
    const first = (entries[from] as Entry).index;
    if (first <= this.log.lastIndex) this.truncateAfter(first - 1);
    for (let i = from; i < entries.length; i++) this.log.push(entries[i] as Entry);
    for (const [index, membership] of memberships) this.trail.appended(index, membership);
    if (memberships.size > 0) this.membershipChanged();
    return true;
  }

  private reject(to: NodeId, append: Append): void {
    const hint = lastEntryNotAfter(
      this.log,
      Math.min(append.previousIndex, this.log.lastIndex),
      append.previousTerm,
    );
    this.sendAfterAppend(
      to,
      {
        kind: "appendReply",
        term: this.term,
        rejected: true,
        index: append.previousIndex,
        hintIndex: hint.index,
        hintTerm: hint.epoch,
      },
      false,
    );
  }

  /** Acknowledgements are cumulative: however many appends came in one turn, one answer leaves. */
  private acknowledge(to: NodeId, index: Index): void {
    this.acknowledgeIndex = this.acknowledgeTo === to ? Math.max(this.acknowledgeIndex, index) : index;
    this.acknowledgeTo = to;
  }

  protected get acknowledgementDue(): boolean {
    return this.acknowledgeTo !== 0;
  }

  /** An acknowledgement belongs to its term. */
  protected dropAcknowledgements(): void {
    this.acknowledgeTo = 0;
    this.acknowledgedIndex = 0;
  }

  protected flushAcknowledgement(): void {
    if (this.acknowledgeTo === 0) return;
    const reply: AppendReply = {
      kind: "appendReply",
      term: this.term,
      rejected: false,
      index: this.acknowledgeIndex,
      hintIndex: 0,
      hintTerm: 0,
    };
    if (this.acknowledgeWhen() === "durable") this.sendAfterAppend(this.acknowledgeTo, reply, false);
    else this.send(this.acknowledgeTo, reply, false);
    this.acknowledgedIndex = Math.max(this.acknowledgedIndex, this.acknowledgeIndex);
    this.acknowledgeTo = 0;
  }

  protected followHeartbeatCommit(heartbeat: Heartbeat): void {
    this.commitTo(Math.min(heartbeat.commit, this.log.lastIndex));
  }

  /** Replaces the log by a snapshot that reaches beyond what is committed here. */
  protected handleSnapshot(from: NodeId, epoch: Term, snapshot: SnapshotMeta): void {
    const { id } = snapshot;
    if (id.index > this.commit) {
      if (this.log.termAt(id.index) === id.epoch) {
        this.commitTo(id.index);
      } else {
        this.log.restartAfter(id);
        this.writes.restarted(id.index);
        this.trail.reset(snapshot.membership, snapshot.membershipIndex);
        this.commit = id.index;
        this.handedOver = id.index;
        this.applied = id.index;
        this.snapshotToInstall = snapshot;
        this.membershipChanged();
      }
    }
    if (epoch === this.term) this.acknowledge(from, this.commit);
  }

  protected compactTo(index: Index): void {
    invariant(index <= this.commit, () => `compaction to ${index} is above the commit index ${this.commit}`);
    this.log.compact(Math.min(index, this.applied, this.writes.handed));
  }
}
