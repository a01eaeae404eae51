// The Raft engine: the one door through which inputs enter, and the Ready in which everything leaves.
// A pure state machine (see ../engine.ts): no clock, no I/O, no randomness but what it was given.
// docs/protocols/raft.md describes messages, states and where this differs from the paper.

import type {
  DurableBatch,
  Engine,
  EngineConfig,
  EngineStatus,
  Input,
  PeerProgress,
  Ready,
} from "../engine.js";
import { invariant } from "../engine.js";
import type { Entry, Index, LogMark, NodeId, SnapshotMeta, Term } from "../types.js";
import { Election } from "./election.js";
import { isWellFormed, type RaftMessage } from "./messages.js";

/** Optional parts are set one by one: spreading them in costs microseconds on the hottest path. */
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Terms rise by one an election: one that leaps further is damaged or forged. Believed, a term near the
 * end of the safe integers would leave no term to elect anybody in, ever.
 */
const MAX_TERM_LEAP = 2 ** 32;

const NOTHING: readonly never[] = Object.freeze([]);

/** Takes the array's contents: an empty one stays, a full one is replaced by the caller. */
function handOver<T>(items: T[]): readonly T[] {
  return items.length === 0 ? NOTHING : items;
}

export function createRaft(config: EngineConfig): Engine<RaftMessage> {
  return new Raft(config);
}

export class Raft extends Election implements Engine<RaftMessage> {
  step(input: Input<RaftMessage>): void {
    switch (input.kind) {
      case "tick":
        this.onTick();
        break;
      case "message":
        this.onMessage(input.from, input.message);
        break;
      case "propose":
        this.onPropose(input.proposals);
        break;
      case "read":
        this.onRead(input.ids);
        break;
      case "changeMembership":
        this.onChangeMembership(input.id, input.change);
        break;
      case "transferLeadership":
        this.onTransfer(input.to);
        break;
      case "persisted":
        this.onPersisted(input.mark);
        break;
      case "applied":
        this.onApplied(input.index);
        break;
      case "compact":
        this.compactTo(input.upTo);
        break;
      case "snapshotReceived":
        this.onSnapshotReceived(input.from, input.epoch, input.snapshot);
        break;
      case "snapshotSent":
        this.onSnapshotSent(input.to, input.ok, input.index);
        break;
      case "unreachable":
        this.onUnreachable(input.peer);
        break;
      default:
        input satisfies never;
    }
  }

  private onTick(): void {
    this.now++;
    if (this.commitUnsaved) this.commitHintDue = true;
    if (this.role === "leader") this.tickLeader();
    else this.tickElection();
  }

  private onPersisted(mark: LogMark): void {
    if (!this.writes.persisted(mark)) return;
    this.onVoteDurable(mark.epoch);
    this.advanceCommit();
  }

  private onApplied(index: Index): void {
    invariant(
      index <= this.handedOver,
      () => `applied ${index}, but only ${this.handedOver} was handed over`,
    );
    if (index > this.applied) this.applied = index;
  }

  private onSnapshotReceived(from: NodeId, epoch: Term, snapshot: SnapshotMeta): void {
    if (epoch > this.term) this.becomeFollower(epoch, from);
    else if (epoch === this.term && this.role !== "leader") this.hearLeader(from);
    // The sender may have been deposed since, and have applied entries of a later term: they prove it.
    if (snapshot.id.epoch > this.term) this.becomeFollower(snapshot.id.epoch, 0);
    // A leader holds everything committed; a snapshot can tell it nothing.
    if (this.role !== "leader") this.handleSnapshot(from, epoch, snapshot);
  }

  private onMessage(from: NodeId, message: RaftMessage): void {
    if (!isWellFormed(message) || from === this.id || message.term - this.term > MAX_TERM_LEAP) {
      this.impossible++;
    } else if (message.term < this.term) {
      this.answerStale(from, message);
    } else if (message.term === this.term || this.adoptTerm(from, message)) {
      this.onCurrent(from, message);
    }
  }

  /** The message is of a later term. Enters it unless that must not be; false to ignore the message. */
  private adoptTerm(from: NodeId, message: RaftMessage): boolean {
    switch (message.kind) {
      case "vote":
        if (this.mustIgnore(message)) return false;
        if (!message.pre) this.becomeFollower(message.term, 0);
        return true;
      case "voteReply":
        if (message.pre && message.granted) return true;
        return this.adoptFromReply(from, message.term);
      case "appendReply":
      case "heartbeatReply":
        return this.adoptFromReply(from, message.term);
      case "append":
      case "heartbeat":
        this.becomeFollower(message.term, from);
        return true;
      case "timeoutNow":
        this.becomeFollower(message.term, 0);
        return true;
      default:
        message satisfies never;
        return false;
    }
  }

  /** A reply tells of a later term. A leader is not deposed by a node it does not know as a member. */
  private adoptFromReply(from: NodeId, term: Term): boolean {
    const stranger = this.role === "leader" && (this.progress.get(from)?.leavesAt ?? 1) !== 0;
    if (!stranger) this.becomeFollower(term, 0);
    return !stranger;
  }

  /** Tells a leader or pre-candidate of an earlier term what the term is, so that nobody stays stuck. */
  private answerStale(from: NodeId, message: RaftMessage): void {
    if (message.kind === "vote") {
      this.replyToVote(from, message, false);
    } else if (message.kind === "append" || message.kind === "heartbeat") {
      this.sendAfterAppend(
        from,
        { kind: "appendReply", term: this.term, rejected: true, index: 0, hintIndex: 0, hintTerm: 0 },
        false,
      );
    }
  }

  /** The message is of this term, or a pre-vote for a later one. */
  private onCurrent(from: NodeId, message: RaftMessage): void {
    switch (message.kind) {
      case "vote":
        this.onVoteRequest(from, message);
        break;
      case "voteReply":
        this.onVoteReply(from, message);
        break;
      case "append":
        if (this.hearLeader(from)) this.handleAppend(from, message);
        break;
      case "heartbeat":
        if (this.hearLeader(from)) {
          this.followHeartbeatCommit(message);
          this.readPositionSeen = Math.max(this.readPositionSeen, message.readPosition);
          const reply = {
            kind: "heartbeatReply",
            term: this.term,
            readPosition: this.readPositionSeen,
          } as const;
          this.send(from, reply, true);
        }
        break;
      case "appendReply":
        if (this.role === "leader") this.onAppendReply(from, message);
        break;
      case "heartbeatReply":
        if (this.role === "leader") this.onHeartbeatReply(from, message);
        break;
      case "timeoutNow":
        this.onTimeoutNow(from);
        break;
      default:
        message satisfies never;
    }
  }

  /** `from` leads this term. False when that is impossible, since another node does. */
  private hearLeader(from: NodeId): boolean {
    if (this.role === "leader" || (this.leader !== 0 && this.leader !== from)) {
      this.impossible++;
      return false;
    }
    if (this.role !== "follower") this.becomeFollower(this.term, from);
    this.leader = from;
    this.electionElapsed = 0;
    return true;
  }

  hasReady(): boolean {
    return (
      this.log.lastIndex > this.writes.handed ||
      this.messages.length > 0 ||
      this.messagesAfterAppend.length > 0 ||
      this.commit > this.handedOver ||
      this.acknowledgementDue ||
      this.reads.length > 0 ||
      this.appended.length > 0 ||
      this.failed.length > 0 ||
      this.needSnapshot.length > 0 ||
      this.batchDue ||
      this.roleChanged ||
      this.membershipUntold ||
      (this.role === "leader" && this.leaderHasToSay())
    );
  }

  private get batchDue(): boolean {
    return (
      this.hardStateChanged ||
      this.commitHintDue ||
      this.snapshotToInstall !== undefined ||
      this.writes.truncateAfter !== undefined
    );
  }

  private leaderHasToSay(): boolean {
    if (this.readQueue.broadcastDue) return true;
    for (const progress of this.progress.values()) if (this.wantsAppend(progress)) return true;
    return false;
  }

  ready(): Ready<RaftMessage> {
    if (this.role === "leader") {
      if (this.readQueue.broadcastDue) this.broadcastHeartbeat();
      this.replicate();
    }
    this.flushAcknowledgement();
    const append = this.takeBatch();
    const role = this.takeRole();
    const membership = this.takeMembership();
    const ready: Mutable<Ready<RaftMessage>> = {
      messages: handOver(this.messages),
      messagesAfterAppend: handOver(this.messagesAfterAppend),
      committed: this.takeCommitted(),
      reads: handOver(this.reads),
      appended: handOver(this.appended),
      failed: handOver(this.failed),
      needSnapshot: handOver(this.needSnapshot),
    };
    if (append !== undefined) ready.append = append;
    if (role !== undefined) ready.role = role;
    if (membership !== undefined) ready.membership = membership;
    if (this.messages.length > 0) this.messages = [];
    if (this.messagesAfterAppend.length > 0) this.messagesAfterAppend = [];
    if (this.reads.length > 0) this.reads = [];
    if (this.appended.length > 0) this.appended = [];
    if (this.failed.length > 0) this.failed = [];
    if (this.needSnapshot.length > 0) this.needSnapshot = [];
    return ready;
  }

  private takeBatch(): DurableBatch | undefined {
    const { writes, log } = this;
    const mustSync =
      log.lastIndex > writes.handed ||
      this.hardStateChanged ||
      this.snapshotToInstall !== undefined ||
      writes.truncateAfter !== undefined;
    if (!mustSync && !this.commitHintDue) return undefined;
    const entries = log.slice(writes.handed + 1, log.lastIndex);
    const truncateAfter = writes.truncateAfter;
    const hardState = this.takeHardState();
    const snapshot = this.snapshotToInstall;
    this.snapshotToInstall = undefined;
    this.commitHintDue = false;
    const batch: Mutable<DurableBatch> = {
      entries,
      mark: writes.handOver(this.term, log.lastIndex),
      mustSync,
    };
    if (truncateAfter !== undefined) batch.truncateAfter = truncateAfter;
    if (hardState !== undefined) batch.hardState = hardState;
    if (snapshot !== undefined) batch.snapshot = snapshot;
    return batch;
  }

  private takeCommitted(): readonly Entry[] {
    if (this.commit <= this.handedOver) return NOTHING;
    const entries = this.log.slice(this.handedOver + 1, this.commit);
    this.handedOver = this.commit;
    return entries;
  }

  status(): EngineStatus {
    const progress: PeerProgress[] = [];
    for (const peer of this.progress.values()) {
      if (peer.leavesAt !== 0) continue;
      const { node, state, match, next, inflights } = peer;
      progress.push({ node, state, match, next, inflight: inflights.count, active: this.isActive(peer) });
    }
    return {
      id: this.id,
      role: this.publicRole(),
      leader: this.leader,
      epoch: this.term,
      vote: this.vote,
      commit: this.commit,
      applied: this.applied,
      firstIndex: this.log.firstIndex,
      lastIndex: this.log.lastIndex,
      lastEpoch: this.log.lastTerm,
      membership: this.trail.effective,
      membershipIndex: this.trail.effectiveIndex,
      transferTarget: this.transferTarget,
      progress,
    };
  }
}
