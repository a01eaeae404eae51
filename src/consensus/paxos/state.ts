// The state every part of the Multi-Paxos engine shares, and the outbox in which a Ready is gathered. The
// engine is one class in layers, each a file: state, acceptor, replication, leadership, prepare, election,
// paxos. Upper layers are reached through the abstract methods here.

import { type EngineConfig, type Failure, invariant, type Outbound, type RoleChange } from "../engine.js";
import { Log } from "../log/log.js";
import { Writes } from "../log/writes.js";
import { isVoter } from "../membership/change.js";
import { decodeMembership } from "../membership/codec.js";
import { MembershipTrail } from "../membership/trail.js";
import {
  type Ballot,
  type Entry,
  type EntryId,
  EntryKind,
  type HardState,
  type Index,
  type LogMark,
  type Membership,
  type NodeId,
  type ProposalId,
  type ReadId,
  type Role,
  type SnapshotMeta,
  type Term,
} from "../types.js";
import type { PaxosMessage } from "./messages.js";
import { Quorums } from "./quorums.js";

export interface PaxosOptions {
  /** Nodes that must accept, if fewer than a majority: promise quorums grow by as much. 0: a majority. */
  readonly acceptQuorum?: number;
}

export abstract class PaxosState {
  protected readonly id: NodeId;
  protected readonly log: Log;
  protected readonly writes: Writes;
  protected readonly trail: MembershipTrail;
  protected readonly quorums: Quorums;

  /** Highest ballot promised. */
  protected promised: Ballot;
  /** Ballot in which the whole log was accepted. */
  protected accepted: Ballot;
  /** Highest round ever heard of; a new ballot goes above it. */
  protected highestRound: Term;
  protected role: "follower" | "asking" | "preparing" | "leader" = "follower";
  /** 0 when unknown. */
  protected leader: NodeId = 0;

  /** The decided index. */
  protected commit: Index;
  /** Committed entries were handed over for applying up to here. */
  protected handedOver: Index;
  protected applied: Index;

  /** Ticks since the engine was made. */
  protected now = 0;
  /** Messages of peers that no correct node can have sent; ignored and counted. */
  protected impossible = 0;

  protected messages: Outbound<PaxosMessage>[] = [];
  protected messagesAfterAppend: Outbound<PaxosMessage>[] = [];
  protected reads: { readonly id: ReadId; readonly index: Index }[] = [];
  protected appended: { readonly id: ProposalId; readonly entry: EntryId }[] = [];
  protected failed: Failure[] = [];
  protected needSnapshot: { readonly to: NodeId; readonly atLeast: Index }[] = [];
  /** A received snapshot that the next batch installs. */
  protected snapshotToInstall: SnapshotMeta | undefined;
  /** The commit index moved and no batch has told the disk for a whole tick. */
  protected commitHintDue = false;
  /** Mark of the latest durable batch, see markEpoch(). */
  private durableMark = 0;

  private saved: HardState;
  private toldRole: Role;
  private toldLeader: NodeId = 0;
  private toldRound: Term;
  private toldMembership: Membership;

  constructor(
    protected readonly config: EngineConfig,
    options: PaxosOptions = {},
  ) {
    const { hardState, snapshot, entries, entriesAfter } = config.restored;
    invariant(config.id > 0, "a node id is above 0");
    invariant(
      config.heartbeatTicks >= 1 && config.electionTicks > config.heartbeatTicks,
      "heartbeats are more frequent than elections",
    );
    invariant(config.maxInflightMessages >= 1, "one message at least may be under way");
    invariant(
      entriesAfter.index <= snapshot.id.index,
      () => `the log begins after ${entriesAfter.index}, the state ends at ${snapshot.id.index}`,
    );
    this.id = config.id;
    this.quorums = new Quorums(options.acceptQuorum ?? 0);
    this.log = new Log(entriesAfter, entries);
    // What was decided and applied may never have reached this node's own log, which may even hold
    // something else there: what it holds beyond cannot have been chosen.
    const consistent = this.log.termAt(snapshot.id.index) === snapshot.id.epoch;
    if (!consistent) this.log.restartAfter(snapshot.id);
    this.writes = new Writes(this.log.lastIndex);
    this.trail = new MembershipTrail(snapshot.membership, snapshot.membershipIndex);
    for (let index = snapshot.id.index + 1; index <= this.log.lastIndex; index++) {
      const entry = this.log.at(index);
      if (entry.kind !== EntryKind.membership) continue;
      this.trail.appended(index, decodeMembership(entry.payload).membership);
    }
    const { promised, accepted } = hardState;
    const round = Math.max(promised.round, this.log.lastTerm);
    this.promised = round === promised.round ? promised : { round, node: 0 };
    this.accepted = accepted;
    this.highestRound = round;
    this.commit = Math.min(Math.max(hardState.commit, snapshot.id.index), this.log.lastIndex);
    this.handedOver = snapshot.id.index;
    this.applied = snapshot.id.index;
    this.trail.committedTo(this.commit);
    this.saved = { promised, accepted, commit: this.commit };
    this.toldRound = this.promised.round;
    this.toldRole = this.publicRole();
    this.toldMembership = this.trail.effective;
  }

  /** This node follows, or waits for, the leader of its promised round. */
  protected abstract becomeFollower(leader: NodeId): void;
  /** The configuration of the next entry changed, by append, roll-back or snapshot. */
  protected abstract membershipChanged(): void;
  /** The commit index moved. */
  protected abstract committed(): void;

  protected send(to: NodeId, message: PaxosMessage, urgent: boolean): void {
    this.messages.push({ to, message, urgent });
  }

  /** The message promises something: it waits until everything that happened so far is durable. */
  protected sendAfterAppend(to: NodeId, message: PaxosMessage, urgent: boolean): void {
    this.messagesAfterAppend.push({ to, message, urgent });
  }

  protected fail(
    of: Failure["of"],
    id: ProposalId | ReadId,
    reason: Failure["reason"],
    detail?: string,
  ): void {
    this.failed.push(detail === undefined ? { of, id, reason } : { of, id, reason, detail });
  }

  protected get round(): Term {
    return this.promised.round;
  }

  protected publicRole(): Role {
    switch (this.role) {
      case "follower":
        return this.trail.effective.learners.includes(this.id) ? "learner" : "follower";
      case "asking":
        return "preCandidate";
      case "preparing":
        return "candidate";
      case "leader":
        return "leader";
      default:
        return this.role satisfies never;
    }
  }

  /**
   * The log ends with a stop-sign that is not known to be decided: nothing may follow it. A stop-sign
   * with an entry behind it is decided, since nobody would have put the entry there otherwise.
   */
  protected get sealed(): boolean {
    const { effectiveIndex } = this.trail;
    return effectiveIndex > this.commit && effectiveIndex === this.log.lastIndex;
  }

  /** The configurations whose quorums count: the last one, and while its stop-sign is undecided the one it ends. */
  protected get configurations(): readonly Membership[] {
    const { effective, previous } = this.trail;
    return this.sealed && previous !== undefined ? [previous, effective] : [effective];
  }

  protected get mayLead(): boolean {
    const { configurations } = this;
    return (
      configurations.some((membership) => isVoter(membership, this.id)) &&
      configurations.every(({ voters }) => voters.length > 0)
    );
  }

  /** Moves the commit index forward, never back. */
  protected commitTo(index: Index): void {
    if (index <= this.commit) return;
    invariant(
      index <= this.log.lastIndex,
      () => `commit ${index} is above the end of the log, ${this.log.lastIndex}`,
    );
    this.commit = index;
    this.trail.committedTo(index);
    this.committed();
  }

  protected truncateAfter(index: Index): void {
    if (index === this.log.lastIndex) return;
    invariant(
      index >= this.commit,
      () => `truncation after ${index} would cut decided entries (${this.commit})`,
    );
    this.log.truncateAfter(index);
    this.writes.truncated(index);
    if (this.trail.truncatedAfter(index)) this.membershipChanged();
  }

  /**
   * Makes the log continue with these entries: what is there already stays, what contradicts them is cut.
   * The log up to the entry before the first must be known to agree. False when they are not valid.
   */
  protected merge(entries: readonly Entry[]): boolean {
    let skip = 0;
    for (const entry of entries) {
      if (entry.index > this.commit && this.log.termAt(entry.index) !== entry.epoch) break;
      skip++;
    }
    const rest = skip === 0 ? entries : entries.slice(skip);
    const first = rest[0];
    if (first === undefined) return true;
    const memberships = new Map<Index, Membership>();
    let epoch = this.log.termAt(first.index - 1);
    if (first.index > this.log.lastIndex + 1) return false;
    for (const entry of rest) {
      if (entry.epoch < epoch) return false;
      epoch = entry.epoch;
      if (entry.kind !== EntryKind.membership) continue;
      const membership = this.readMembership(entry);
      if (membership === undefined) return false;
      memberships.set(entry.index, membership);
    }
    this.truncateAfter(first.index - 1);
    for (const entry of rest) this.log.push(entry);
    for (const [index, membership] of memberships) this.trail.appended(index, membership);
    if (memberships.size > 0) this.membershipChanged();
    return true;
  }

  /** Makes `round` the promised one. */
  protected promise(round: Term, node: NodeId): void {
    invariant(
      round > this.round || (round === this.round && this.promised.node === 0),
      () => `round ${round} of ${node} is promised above ${this.round} of ${this.promised.node}`,
    );
    this.promised = { round, node };
    this.highestRound = Math.max(this.highestRound, round);
  }

  /**
   * The epoch of a durable mark: twice the promised round, plus one when the log is accepted in it. A
   * promise and an acceptance without new entries are then told apart.
   */
  private get markEpoch(): number {
    return 2 * this.round + (this.accepted.round === this.round ? 1 : 0);
  }

  protected handOverWrite(): LogMark {
    return this.writes.handOver(this.markEpoch, this.log.lastIndex);
  }

  /** Returns whether the mark was under way. */
  protected completeWrite(mark: LogMark): boolean {
    if (!this.writes.persisted(mark)) return false;
    this.durableMark = Math.max(this.durableMark, mark.epoch);
    return true;
  }

  /** This node's promise of its present round is durable. */
  protected get promiseDurable(): boolean {
    return this.durableMark >= 2 * this.round;
  }

  /** The log is durably accepted in the present round up to here. */
  protected get acceptedDurable(): Index {
    return this.durableMark >= 2 * this.round + 1 ? this.writes.durable : 0;
  }

  protected get hardStateChanged(): boolean {
    const { promised, accepted } = this.saved;
    return (
      this.promised.round !== promised.round ||
      this.promised.node !== promised.node ||
      this.accepted.round !== accepted.round
    );
  }

  protected get commitUnsaved(): boolean {
    return this.commit !== this.saved.commit;
  }

  /** The durable state if it differs from what the disk was last told; from now on it does not. */
  protected takeHardState(): HardState | undefined {
    if (!this.hardStateChanged && !this.commitUnsaved) return undefined;
    this.saved = { promised: this.promised, accepted: this.accepted, commit: this.commit };
    this.commitHintDue = false;
    return this.saved;
  }

  protected get roleChanged(): boolean {
    return (
      this.leader !== this.toldLeader || this.round !== this.toldRound || this.publicRole() !== this.toldRole
    );
  }

  protected takeRole(): RoleChange | undefined {
    if (!this.roleChanged) return undefined;
    this.toldRole = this.publicRole();
    this.toldLeader = this.leader;
    this.toldRound = this.round;
    return { role: this.toldRole, leader: this.leader, epoch: this.round };
  }

  protected get membershipUntold(): boolean {
    return this.trail.effective !== this.toldMembership;
  }

  protected takeMembership(): Membership | undefined {
    if (!this.membershipUntold) return undefined;
    this.toldMembership = this.trail.effective;
    return this.toldMembership;
  }

  /** The membership of an entry, undefined when the bytes are none. */
  private readMembership(entry: Entry): Membership | undefined {
    try {
      return decodeMembership(entry.payload).membership;
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "MembershipCodecError") throw error;
      return undefined;
    }
  }
}
