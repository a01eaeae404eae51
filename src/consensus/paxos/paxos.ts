// The Multi-Paxos engine: the one door through which inputs enter, and the Ready in which everything
// leaves. A pure state machine (see ../engine.ts): no clock, no I/O, no randomness but what it was given.
// docs/protocols/multi-paxos.md describes messages, states and where this differs from the sources.

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
import { isWellFormed, type PaxosMessage } from "./messages.js";
import type { PaxosOptions } from "./state.js";

/** Optional parts are set one by one: spreading them in costs microseconds on the hottest path. */
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const NOTHING: readonly never[] = Object.freeze([]);

/** Takes the array's contents: an empty one stays, a full one is replaced by the caller. */
function handOver<T>(items: T[]): readonly T[] {
  return items.length === 0 ? NOTHING : items;
}

export function createPaxos(config: EngineConfig, options?: PaxosOptions): Engine<PaxosMessage> {
  return new Paxos(config, options);
}

export class Paxos extends Election implements Engine<PaxosMessage> {
  step(input: Input<PaxosMessage>): void {
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
    if (!this.completeWrite(mark)) return;
    this.conclude();
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
    // Whoever applied entries of a round, that round was led; who leads it is not known.
    if (snapshot.id.epoch > this.round) {
      this.enterRound(snapshot.id.epoch, 0);
      this.becomeFollower(0);
    }
    // A leader holds everything decided; a snapshot can tell it nothing.
    if (this.role === "leader") return;
    this.install(snapshot);
    if (this.role === "preparing") this.refetch();
    else if (epoch === this.round && from === this.promised.node) this.requestPrepare(from, epoch, true);
  }

  private onMessage(from: NodeId, message: PaxosMessage): void {
    if (!isWellFormed(message) || from === this.id) this.impossible++;
    else if (message.kind === "ask") this.onAsk(from, message);
    else if (message.kind === "answer") this.onAnswer(from, message);
    else if (message.round < this.round) this.answerStale(from, message);
    else if (message.round > this.round) this.onLater(from, message);
    else this.onCurrent(from, message);
  }

  /** Tells a leader of an earlier round what was promised, so that nobody stays stuck. */
  private answerStale(from: NodeId, message: PaxosMessage): void {
    switch (message.kind) {
      case "prepare":
      case "heartbeat":
      case "acceptSync":
      case "accept":
        this.sendAfterAppend(from, { kind: "notAccepted", round: this.round }, true);
        break;
      case "ask":
      case "answer":
      case "promise":
      case "fetch":
      case "chunk":
      case "decide":
      case "accepted":
      case "notAccepted":
      case "prepareRequest":
      case "heartbeatReply":
      case "takeOver":
        break;
      default:
        message satisfies never;
    }
  }

  /** The message is of a round that this node has not promised. */
  private onLater(from: NodeId, message: PaxosMessage): void {
    switch (message.kind) {
      case "prepare":
        if (!this.mustIgnore(from, message)) this.onPrepare(from, message);
        break;
      case "heartbeat":
      case "acceptSync":
      case "accept":
      case "decide":
        // Its Prepare never came; a quorum chose it all the same.
        this.highestRound = Math.max(this.highestRound, message.round);
        if (this.role !== "follower") this.becomeFollower(0);
        this.requestPrepare(from, message.round);
        break;
      case "notAccepted":
      case "heartbeatReply":
        // A leader is not deposed by a node it does not know as a member.
        if (this.role !== "leader" || this.isMember(from)) this.outranked(message.round);
        break;
      case "ask":
      case "answer":
      case "promise":
      case "fetch":
      case "chunk":
      case "accepted":
      case "prepareRequest":
      case "takeOver":
        this.highestRound = Math.max(this.highestRound, message.round);
        break;
      default:
        message satisfies never;
    }
  }

  /** The message is of the promised round. */
  private onCurrent(from: NodeId, message: PaxosMessage): void {
    switch (message.kind) {
      case "prepare":
        // A rival may lead the round that this node promised to another: a quorum chose it.
        if (message.leading ? this.hearLeader(from) : this.mayPromise(from)) this.onPrepare(from, message);
        break;
      case "promise":
        if (this.role === "preparing") this.onPromise(from, message);
        else if (this.role === "leader") this.onLatePromise(from, message);
        break;
      case "fetch":
        if (this.promised.node === from) this.onFetch(from, message);
        break;
      case "chunk":
        if (this.role === "preparing") this.onChunk(from, message);
        break;
      case "acceptSync":
      case "accept":
        if (this.hearLeader(from)) this.onPart(from, message);
        break;
      case "decide":
        if (this.hearLeader(from)) this.onDecide(from, message);
        break;
      case "heartbeat":
        if (this.hearLeader(from)) this.onHeartbeat(from, message);
        break;
      case "accepted":
        if (this.role === "leader") this.onAccepted(from, message);
        break;
      case "heartbeatReply":
        if (this.role === "leader") this.onHeartbeatReply(from, message);
        break;
      case "prepareRequest":
        if (this.role === "leader") this.onPrepareRequest(from, message);
        break;
      case "takeOver":
        if (this.leader === from || this.promised.node === from) this.onTakeOver();
        break;
      case "notAccepted":
      case "ask":
      case "answer":
        break;
      default:
        message satisfies never;
    }
  }

  /** A round is promised to one node only. */
  private mayPromise(from: NodeId): boolean {
    return this.promised.node === from || this.promised.node === 0;
  }

  /** `from` leads the promised round. False when that is impossible, since another node does. */
  private hearLeader(from: NodeId): boolean {
    if (this.role === "leader" || (this.leader !== 0 && this.leader !== from)) {
      this.impossible++;
      return false;
    }
    if (this.role !== "follower") this.becomeFollower(from);
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
    for (const peer of this.peers.values()) if (this.wants(peer)) return true;
    return false;
  }

  ready(): Ready<PaxosMessage> {
    if (this.role === "leader") {
      if (this.readQueue.broadcastDue) this.broadcastHeartbeat();
      this.replicate();
    }
    this.flushAcknowledgement();
    const append = this.takeBatch();
    const role = this.takeRole();
    const membership = this.takeMembership();
    const ready: Mutable<Ready<PaxosMessage>> = {
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
    const batch: Mutable<DurableBatch> = { entries, mark: this.handOverWrite(), mustSync };
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
    for (const { progress: peer } of this.peers.values()) {
      if (peer.leavesAt !== 0) continue;
      const { node, state, match, next, inflights } = peer;
      progress.push({ node, state, match, next, inflight: inflights.count, active: this.isActive(peer) });
    }
    return {
      id: this.id,
      role: this.publicRole(),
      leader: this.leader,
      epoch: this.round,
      vote: this.promised.node,
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
