// The leader's half of replication: it sends what each follower lacks, counts what is durable where, and
// commits what a quorum holds. Appends are made when a Ready is taken, so that
// everything proposed, acknowledged or committed in one turn leaves as one message a follower.

import { lastEntryNotAfter } from "../log/conflict.js";
import { UNKNOWN_TERM } from "../log/log.js";
import { members } from "../membership/change.js";
import { Progress } from "../progress/progress.js";
import { jointCommittedIndex } from "../quorum/joint.js";
import { type Entry, EntryKind, type Index, type Membership, type NodeId } from "../types.js";
import { Following } from "./following.js";
import type { AppendReply } from "./messages.js";

const NO_ENTRIES: readonly Entry[] = [];
/** A snapshot that is neither reported nor acknowledged is asked for again after this many elections. */
const SNAPSHOT_PATIENCE = 60;
/** A removed member is told so for this many election timeouts. */
const FAREWELL = 3;

export abstract class Replication extends Following {
  /** What a leader knows of every other member, and for a while of those it removed. */
  protected readonly progress = new Map<NodeId, Progress>();
  /** Index of the empty entry with which this leader began. */
  protected termStart: Index = 0;
  /** Payload bytes above the commit index, on a leader. */
  protected uncommittedBytes = 0;

  /** A member was heard of or its progress moved: reads, transfers and others may go on. */
  protected abstract followerAdvanced(progress: Progress): void;

  /**
   * A decision that can be overridden to prove that a checker notices.
   * May the leader count replicas of the entry at `index`? Only of its own term: an entry of an earlier
   * one may be on a majority and still be overwritten (paper, 5.4.2 and figure 8).
   */
  protected committable(index: Index): boolean {
    return this.log.termAt(index) === this.term;
  }

  protected appendAsLeader(kind: EntryKind, payload: Uint8Array): Entry {
    const entry: Entry = { index: this.log.lastIndex + 1, epoch: this.term, kind, payload };
    this.log.push(entry);
    this.uncommittedBytes += payload.length;
    return entry;
  }

  protected startReplicating(): void {
    this.progress.clear();
    this.uncommittedBytes = 0;
    for (let index = this.commit + 1; index <= this.log.lastIndex; index++) {
      this.uncommittedBytes += this.log.at(index).payload.length;
    }
    this.followMembership(this.trail.effective);
    this.termStart = this.appendAsLeader(EntryKind.noop, new Uint8Array(0)).index;
  }

  protected stopReplicating(): void {
    this.progress.clear();
    this.uncommittedBytes = 0;
    this.termStart = 0;
  }

  /** Keeps one progress per other member; those removed are followed until they could have learnt it. */
  protected followMembership(membership: Membership): void {
    const { maxInflightMessages, maxInflightBytes, electionTicks } = this.config;
    const present = members(membership);
    for (const node of present) {
      if (node === this.id) continue;
      const known = this.progress.get(node);
      if (known !== undefined) {
        known.leavesAt = 0;
        continue;
      }
      const next = this.log.lastIndex + 1;
      this.progress.set(node, new Progress(node, next, this.now, maxInflightMessages, maxInflightBytes));
    }
    for (const progress of this.progress.values()) {
      if (progress.leavesAt === 0 && !present.includes(progress.node)) {
        progress.leavesAt = this.now + FAREWELL * electionTicks;
      }
    }
  }

  protected isActive(progress: Progress): boolean {
    return this.now - progress.lastActive < this.config.electionTicks;
  }

  /** A tick of the leader: gives up on snapshots nobody reports, and on members long removed. */
  protected tickProgress(): void {
    const { electionTicks } = this.config;
    for (const progress of this.progress.values()) {
      if (progress.leavesAt !== 0 && this.now >= progress.leavesAt) {
        this.progress.delete(progress.node);
      } else if (progress.state === "snapshot") {
        const waited = this.now - progress.snapshotSince;
        const silent = this.now - progress.lastActive;
        if (
          waited > SNAPSHOT_PATIENCE * electionTicks ||
          (waited > electionTicks && silent > electionTicks)
        ) {
          progress.pendingSnapshot = 0;
          progress.becomeProbe();
          progress.paused = true;
        }
      }
    }
  }

  /** True when replicate() would send this follower anything. */
  protected wantsAppend(progress: Progress): boolean {
    switch (progress.state) {
      case "snapshot":
        return false;
      case "probe":
        if (progress.paused) return false;
        break;
      case "replicate":
        if (progress.probeDue) return true;
        if (progress.inflights.full) return false;
        if (progress.next > this.log.lastIndex) {
          return Math.min(this.commit, progress.next - 1) > progress.sentCommit;
        }
        break;
      default:
        progress.state satisfies never;
    }
    return progress.next >= this.log.firstIndex || this.maySendSnapshot(progress);
  }

  private maySendSnapshot(progress: Progress): boolean {
    return progress.leavesAt === 0 && this.isActive(progress);
  }

  /** Sends every follower what it lacks, as far as its window allows. */
  protected replicate(): void {
    for (const progress of this.progress.values()) {
      while (this.wantsAppend(progress)) this.sendAppend(progress);
    }
  }

  private sendAppend(progress: Progress): void {
    const previousIndex = progress.next - 1;
    const previousTerm = this.log.termAt(previousIndex);
    if (previousTerm === UNKNOWN_TERM) {
      if (!this.maySendSnapshot(progress)) {
        progress.probeDue = false;
        return;
      }
      const atLeast = this.log.firstIndex - 1;
      progress.becomeSnapshot(atLeast, this.now);
      this.needSnapshot.push({ to: progress.node, atLeast });
      return;
    }
    let entries = NO_ENTRIES;
    let bytes = 0;
    let last = previousIndex;
    if (progress.next <= this.log.lastIndex && !progress.inflights.full) {
      last = this.log.lastWithin(progress.next, this.config.maxAppendBytes);
      entries = this.log.slice(progress.next, last);
      for (const entry of entries) bytes += entry.payload.length;
    }
    this.send(
      progress.node,
      { kind: "append", term: this.term, previousIndex, previousTerm, commit: this.commit, entries },
      false,
    );
    progress.sent(last, entries.length, bytes, this.commit);
  }

  protected onAppendReply(from: NodeId, reply: AppendReply): void {
    const progress = this.progress.get(from);
    if (progress === undefined) return;
    progress.lastActive = this.now;
    if (reply.rejected) {
      const hint =
        reply.hintTerm > 0
          ? lastEntryNotAfter(this.log, reply.hintIndex, reply.hintTerm).index
          : reply.hintIndex;
      progress.rejected(reply.index, hint);
      return;
    }
    if (reply.index > this.log.lastIndex) {
      this.impossible++;
      return;
    }
    const news = progress.acknowledged(reply.index);
    switch (progress.state) {
      case "probe":
        if (news || progress.match === reply.index) progress.becomeReplicate();
        break;
      case "snapshot":
        if (progress.match + 1 >= this.log.firstIndex) progress.becomeReplicate();
        break;
      case "replicate":
        break;
      default:
        progress.state satisfies never;
    }
    if (news) this.advanceCommit();
    if (this.role === "leader") this.followerAdvanced(progress);
  }

  /** A follower answered a heartbeat: whatever was held back or lost is tried again. */
  protected resume(progress: Progress): void {
    progress.lastActive = this.now;
    progress.paused = false;
    if (progress.state === "replicate" && progress.match < this.log.lastIndex) progress.probeDue = true;
  }

  /** Commits what a quorum holds durably, if that is an entry of this term. */
  protected advanceCommit(): void {
    if (this.role !== "leader") return;
    const index = jointCommittedIndex(this.trail.effective, this.durableOn);
    if (index > this.commit && index <= this.log.lastIndex && this.committable(index)) {
      this.countCommitted(index);
      this.commitTo(index);
    }
  }

  private readonly durableOn = (node: NodeId): Index =>
    node === this.id ? this.writes.durable : (this.progress.get(node)?.match ?? 0);

  private countCommitted(upTo: Index): void {
    for (let index = this.commit + 1; index <= upTo; index++) {
      this.uncommittedBytes -= this.log.at(index).payload.length;
    }
  }

  protected onSnapshotSent(to: NodeId, ok: boolean, index: Index): void {
    const progress = this.progress.get(to);
    if (progress === undefined || progress.state !== "snapshot") return;
    progress.pendingSnapshot = ok ? Math.min(index, this.log.lastIndex) : 0;
    progress.becomeProbe();
    // An answer, to the snapshot or to a heartbeat, opens the way again.
    progress.paused = true;
  }

  protected onUnreachable(peer: NodeId): void {
    const progress = this.progress.get(peer);
    if (progress === undefined || progress.state !== "replicate") return;
    progress.becomeProbe();
    progress.paused = true;
  }
}
