// What a leader does besides replicating: it answers reads, takes proposals, seals a configuration and
// begins the next, hands leadership on, and gives it up when a quorum is out of reach or its own removal
// is decided.

import type { FailureReason } from "../engine.js";
import { applyChange, isJoint, leaveJoint } from "../membership/change.js";
import { encodeMembership } from "../membership/codec.js";
import type { Progress } from "../progress/progress.js";
import { ReadQueue } from "../reads/read-queue.js";
import {
  EntryKind,
  type Index,
  type Membership,
  type MembershipChange,
  type NodeId,
  type Proposal,
  type ProposalId,
  type ReadId,
} from "../types.js";
import type { Rank } from "./acceptor.js";
import type { HeartbeatReply } from "./messages.js";
import { Replication } from "./replication.js";

const NOTHING = new Uint8Array(0);

export abstract class Leadership extends Replication {
  protected readonly readQueue = new ReadQueue();
  protected transferTarget: NodeId = 0;
  private transferStarted = 0;
  private takeOverSent = false;
  private heartbeatElapsed = 0;
  /** Index of the empty entry with which this leader began: no read is served below. */
  protected readFloor: Index = Number.POSITIVE_INFINITY;
  /** Proposals that wait for a stop-sign to be decided. */
  private waiting: Proposal[] = [];
  private waitingBytes = 0;
  /** Index of the membership whose members alone are served now. */
  private servedIndex: Index = -1;

  protected startLeading(adopted: Rank, decided: Index): void {
    this.readQueue.clear();
    this.transferTarget = 0;
    this.heartbeatElapsed = 0;
    this.readFloor = Number.POSITIVE_INFINITY;
    this.servedIndex = this.sealed ? -1 : this.trail.effectiveIndex;
    this.startReplicating(adopted);
    if (decided > this.commit) this.decide(decided);
    if (this.role === "leader") this.continueAfterStop();
    if (this.role === "leader") this.broadcastHeartbeat();
  }

  /** Reads that wait can no longer be answered here; what was appended may still be decided elsewhere. */
  protected stopLeading(): void {
    for (const id of this.readQueue.clear()) this.fail("read", id, "lostLeadership");
    for (const { id } of this.waiting) this.fail("proposal", id, "notLeader");
    this.waiting = [];
    this.waitingBytes = 0;
    this.transferTarget = 0;
    this.stopReplicating();
  }

  protected tickLeader(): void {
    this.tickPeers();
    if (!this.quorums.hears(this.configurations, this.isHeard)) {
      this.becomeFollower(0);
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
    const peer = this.peers.get(node);
    return peer !== undefined && this.isActive(peer.progress);
  };

  protected broadcastHeartbeat(): void {
    const readPosition = this.readQueue.wanted;
    this.readQueue.broadcast();
    for (const { progress } of this.peers.values()) {
      const decided = Math.min(progress.match, this.commit);
      this.send(progress.node, { kind: "heartbeat", round: this.round, decided, readPosition }, true);
    }
  }

  protected onHeartbeatReply(from: NodeId, reply: HeartbeatReply): void {
    const peer = this.peers.get(from);
    if (peer === undefined) return;
    this.resume(peer);
    if (this.readQueue.echoed(from, reply.readPosition)) this.confirmReads();
  }

  // --- Proposals and reads --------------------------------------------------------------------------

  protected onPropose(proposals: readonly Proposal[]): void {
    let refusal: "notLeader" | "transferring" | "overloaded" | undefined;
    if (this.role !== "leader") refusal = "notLeader";
    else if (this.transferTarget !== 0) refusal = "transferring";
    for (const proposal of proposals) {
      // Once one is refused, those behind it are too: they must not overtake it.
      refusal ??= this.overloadedBy(proposal.payload.length) ? "overloaded" : undefined;
      if (refusal !== undefined) {
        this.fail("proposal", proposal.id, refusal);
      } else if (this.sealed) {
        this.waiting.push(proposal);
        this.waitingBytes += proposal.payload.length;
      } else {
        this.append(proposal);
      }
    }
  }

  private append({ id, payload }: Proposal): void {
    const { index, epoch } = this.appendAsLeader(EntryKind.command, payload);
    this.appended.push({ id, entry: { index, epoch } });
  }

  private overloadedBy(bytes: number): boolean {
    const held = this.uncommittedBytes + this.waitingBytes;
    return held > 0 && held + bytes > this.config.maxUncommittedBytes;
  }

  protected onRead(ids: readonly ReadId[]): void {
    if (this.role !== "leader") {
      for (const id of ids) this.fail("read", id, "notLeader");
    } else if (this.commit < this.readFloor) {
      this.readQueue.defer(ids);
    } else {
      this.readQueue.add(ids, this.commit);
      // Alone, this node is the quorum.
      this.confirmReads();
    }
  }

  /** An accept quorum that still answers in this round shares a node with every later promise quorum. */
  private confirmReads(): void {
    const confirmed = this.quorums.accepted(this.configurations, this.echoOf);
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
    } else if (this.sealed) {
      this.fail("membership", id, "changePending", "an earlier change is not committed yet");
    } else if (this.commit < this.readFloor) {
      this.fail("membership", id, "changePending", "no entry of this round is committed yet");
    } else {
      const result = applyChange(this.trail.effective, change);
      if (result.ok) {
        const { index, epoch } = this.seal(result.membership, change.context);
        this.appended.push({ id, entry: { index, epoch } });
      } else {
        this.fail("membership", id, "invalidChange", result.reason);
      }
    }
  }

  /** Appends the stop-sign of the present configuration, which names the next one. */
  private seal(next: Membership, context: Uint8Array) {
    const entry = this.appendAsLeader(EntryKind.membership, encodeMembership(next, context));
    this.trail.appended(entry.index, next);
    this.membershipChanged();
    return entry;
  }

  protected override membershipChanged(): void {
    if (this.role !== "leader") return;
    this.followMembership();
    if (this.transferTarget !== 0 && !this.trail.effective.voters.includes(this.transferTarget)) {
      this.abortTransfer("the target is no longer a voter");
    }
  }

  protected override committed(): void {
    if (this.role !== "leader") return;
    this.continueAfterStop();
    if (this.role !== "leader" || this.commit < this.readFloor) return;
    const deferred = this.readQueue.takeDeferred();
    if (deferred.length > 0) {
      this.readQueue.add(deferred, this.commit);
      this.confirmReads();
    }
  }

  /** Goes on where nothing seals the log: with the entry of this round, what waited, and what is due. */
  private continueAfterStop(): void {
    if (this.sealed) return;
    const { effective, effectiveIndex } = this.trail;
    if (this.servedIndex !== effectiveIndex) {
      // Those whom the new configuration does not name are served until they have learnt it.
      this.servedIndex = effectiveIndex;
      this.followMembership();
      // A smaller quorum may already have answered.
      this.confirmReads();
    }
    if (this.readFloor === Number.POSITIVE_INFINITY) {
      this.readFloor = this.appendAsLeader(EntryKind.noop, NOTHING).index;
    }
    if (this.waiting.length > 0) {
      const { waiting } = this;
      this.waiting = [];
      this.waitingBytes = 0;
      for (const proposal of waiting) this.append(proposal);
    }
    if (this.commit < this.readFloor || this.commit < effectiveIndex) return;
    if (isJoint(effective)) {
      if (effective.autoLeave) this.seal(leaveJoint(effective), NOTHING);
    } else if (!effective.voters.includes(this.id)) {
      this.resign();
    }
  }

  /** This leader's removal is decided: it says so, names the best successor, and stops. */
  private resign(): void {
    this.replicate();
    let best: Progress | undefined;
    for (const node of this.trail.effective.voters) {
      const progress = this.peers.get(node)?.progress;
      if (progress !== undefined && (best === undefined || progress.match > best.match)) best = progress;
    }
    if (best !== undefined) this.send(best.node, { kind: "takeOver", round: this.round }, true);
    this.becomeFollower(0);
  }

  // --- Transfer -------------------------------------------------------------------------------------

  protected onTransfer(to: NodeId): void {
    if (this.role !== "leader") {
      this.failTransfer(to, "notLeader");
      return;
    }
    if (to === this.transferTarget) return;
    const progress = this.peers.get(to)?.progress;
    const known = this.trail.effective.voters.includes(to) && (progress !== undefined || to === this.id);
    if (!known) {
      this.failTransfer(to, "invalidChange", "the target is not a voter");
      return;
    }
    if (this.transferTarget !== 0) this.abortTransfer("replaced by a later transfer");
    if (progress === undefined) return;
    this.transferTarget = to;
    this.transferStarted = this.now;
    this.takeOverSent = false;
    this.continueTransfer(progress);
  }

  protected override followerAdvanced(progress: Progress): void {
    if (progress.node === this.transferTarget) this.continueTransfer(progress);
  }

  private continueTransfer(progress: Progress): void {
    if (this.takeOverSent || progress.match < this.log.lastIndex) return;
    this.takeOverSent = true;
    this.send(progress.node, { kind: "takeOver", round: this.round }, true);
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
