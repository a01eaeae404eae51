// What a leader does besides replicating: it answers reads, changes the membership, hands leadership
// on, and gives it up when a quorum is out of reach or its own removal is committed.

import type { FailureReason } from "../engine.js";
import { applyChange, isJoint, leaveJoint } from "../membership/change.js";
import { encodeMembership } from "../membership/codec.js";
import type { Progress } from "../progress/progress.js";
import { jointCommittedIndex, jointVoteResult } from "../quorum/joint.js";
import { ReadQueue } from "../reads/read-queue.js";
import {
  EntryKind,
  type MembershipChange,
  type NodeId,
  type Proposal,
  type ProposalId,
  type ReadId,
} from "../types.js";
import type { HeartbeatReply } from "./messages.js";
import { Replication } from "./replication.js";

const NO_CONTEXT = new Uint8Array(0);

export abstract class Leadership extends Replication {
  protected readonly readQueue = new ReadQueue();
  protected transferTarget: NodeId = 0;
  private transferStarted = 0;
  private timeoutNowSent = false;
  private heartbeatElapsed = 0;

  protected startLeading(): void {
    this.readQueue.clear();
    this.transferTarget = 0;
    this.heartbeatElapsed = 0;
    this.startReplicating();
  }

  /** Reads that wait can no longer be answered here; what was appended may still commit elsewhere. */
  protected stopLeading(): void {
    for (const id of this.readQueue.clear()) this.fail("read", id, "lostLeadership");
    this.transferTarget = 0;
    this.stopReplicating();
  }

  protected tickLeader(): void {
    this.tickProgress();
    if (jointVoteResult(this.trail.effective, this.isHeard) !== "won") {
      this.becomeFollower(this.term, 0);
      return;
    }
    if (this.transferTarget !== 0 && this.now - this.transferStarted >= this.config.electionTicks) {
      this.abortTransfer("the target did not take over within an election timeout");
    }
    if (++this.heartbeatElapsed >= this.config.heartbeatTicks) {
      this.heartbeatElapsed = 0;
      this.broadcastHeartbeat();
    }
  }

  private readonly isHeard = (node: NodeId): boolean => {
    if (node === this.id) return true;
    const progress = this.progress.get(node);
    return progress !== undefined && this.isActive(progress);
  };

  protected broadcastHeartbeat(): void {
    const readPosition = this.readQueue.wanted;
    this.readQueue.broadcast();
    for (const progress of this.progress.values()) {
      const commit = Math.min(progress.match, this.commit);
      this.send(progress.node, { kind: "heartbeat", term: this.term, commit, readPosition }, true);
    }
  }

  protected onHeartbeatReply(from: NodeId, reply: HeartbeatReply): void {
    const progress = this.progress.get(from);
    if (progress === undefined) return;
    this.resume(progress);
    if (this.readQueue.echoed(from, reply.readPosition)) this.confirmReads();
  }

  // --- Proposals and reads --------------------------------------------------------------------------

  protected onPropose(proposals: readonly Proposal[]): void {
    let refusal: "notLeader" | "transferring" | "overloaded" | undefined;
    if (this.role !== "leader") refusal = "notLeader";
    else if (this.transferTarget !== 0) refusal = "transferring";
    for (const { id, payload } of proposals) {
      // Once one is refused, those behind it are too: they must not overtake it.
      refusal ??= this.overloadedBy(payload.length) ? "overloaded" : undefined;
      if (refusal !== undefined) {
        this.fail("proposal", id, refusal);
      } else {
        const { index, epoch } = this.appendAsLeader(EntryKind.command, payload);
        this.appended.push({ id, entry: { index, epoch } });
      }
    }
  }

  private overloadedBy(bytes: number): boolean {
    return this.uncommittedBytes > 0 && this.uncommittedBytes + bytes > this.config.maxUncommittedBytes;
  }

  protected onRead(ids: readonly ReadId[]): void {
    if (this.role !== "leader") {
      for (const id of ids) this.fail("read", id, "notLeader");
    } else if (this.commit < this.termStart) {
      this.readQueue.defer(ids);
    } else {
      this.readQueue.add(ids, this.commit);
      // Alone, this node is the quorum.
      this.confirmReads();
    }
  }

  private confirmReads(): void {
    const confirmed = jointCommittedIndex(this.trail.effective, this.echoOf);
    this.readQueue.confirm(confirmed, this.answerRead);
  }

  private readonly answerRead = (read: { readonly id: ReadId; readonly index: number }): void => {
    this.reads.push(read);
  };

  private readonly echoOf = (node: NodeId): number =>
    node === this.id ? this.readQueue.latestPosition : this.readQueue.echoOf(node);

  // --- Membership -----------------------------------------------------------------------------------

  protected onChangeMembership(id: ProposalId, change: MembershipChange): void {
    if (this.role !== "leader") {
      this.fail("membership", id, "notLeader");
    } else if (this.transferTarget !== 0) {
      this.fail("membership", id, "transferring");
    } else if (this.commit < this.termStart) {
      this.fail("membership", id, "changePending", "no entry of this term is committed yet");
    } else if (this.trail.pending) {
      this.fail("membership", id, "changePending", "an earlier change is not committed yet");
    } else {
      const result = applyChange(this.trail.effective, change);
      if (result.ok) {
        const { index, epoch } = this.appendMembership(result.membership, change.context);
        this.appended.push({ id, entry: { index, epoch } });
      } else {
        this.fail("membership", id, "invalidChange", result.reason);
      }
    }
  }

  private appendMembership(membership: Parameters<typeof encodeMembership>[0], context: Uint8Array) {
    const entry = this.appendAsLeader(EntryKind.membership, encodeMembership(membership, context));
    this.trail.appended(entry.index, membership);
    this.membershipChanged();
    return entry;
  }

  protected override membershipChanged(): void {
    if (this.role !== "leader") return;
    this.followMembership(this.trail.effective);
    if (this.transferTarget !== 0 && !this.trail.effective.voters.includes(this.transferTarget)) {
      this.abortTransfer("the target is no longer a voter");
    }
    // A smaller quorum may already be satisfied.
    this.advanceCommit();
    this.confirmReads();
  }

  protected override committed(): void {
    if (this.role !== "leader" || this.commit < this.termStart) return;
    const deferred = this.readQueue.takeDeferred();
    if (deferred.length > 0) {
      this.readQueue.add(deferred, this.commit);
      this.confirmReads();
    }
    if (this.trail.pending) return;
    const membership = this.trail.committed;
    if (isJoint(membership)) {
      if (membership.autoLeave) this.appendMembership(leaveJoint(membership), NO_CONTEXT);
    } else if (!membership.voters.includes(this.id)) {
      this.resign();
    }
  }

  /** This leader's removal is committed: it says so, names the best successor, and stops. */
  private resign(): void {
    this.replicate();
    let best: Progress | undefined;
    for (const node of this.trail.effective.voters) {
      const progress = this.progress.get(node);
      if (progress !== undefined && (best === undefined || progress.match > best.match)) best = progress;
    }
    if (best !== undefined) this.send(best.node, { kind: "timeoutNow", term: this.term }, true);
    this.becomeFollower(this.term, 0);
  }

  // --- Transfer -------------------------------------------------------------------------------------

  protected onTransfer(to: NodeId): void {
    if (this.role !== "leader") {
      this.failTransfer(to, "notLeader");
      return;
    }
    if (to === this.transferTarget) return;
    const progress = this.progress.get(to);
    const known = this.trail.effective.voters.includes(to) && (progress !== undefined || to === this.id);
    if (!known) {
      this.failTransfer(to, "invalidChange", "the target is not a voter");
      return;
    }
    if (this.transferTarget !== 0) this.abortTransfer("replaced by a later transfer");
    if (progress === undefined) return;
    this.transferTarget = to;
    this.transferStarted = this.now;
    this.timeoutNowSent = false;
    this.continueTransfer(progress);
  }

  protected override followerAdvanced(progress: Progress): void {
    if (progress.node === this.transferTarget) this.continueTransfer(progress);
  }

  private continueTransfer(progress: Progress): void {
    if (this.timeoutNowSent || progress.match < this.log.lastIndex) return;
    this.timeoutNowSent = true;
    this.send(progress.node, { kind: "timeoutNow", term: this.term }, true);
  }

  private abortTransfer(detail: string): void {
    this.failTransfer(this.transferTarget, "transferring", detail);
    this.transferTarget = 0;
  }

  /** A transfer has no id of its own: it is named by its target. */
  private failTransfer(to: NodeId, reason: FailureReason, detail?: string): void {
    const target: number = to;
    this.fail("transfer", target, reason, detail);
  }
}
