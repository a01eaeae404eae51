// The state every part of the Raft engine shares, and the outbox in which a Ready is gathered. The
// engine is one class in layers, each a file: state, following, replication, leadership, election, raft. Upper
// layers are reached through the abstract methods here.

import { type EngineConfig, type Failure, invariant, type Outbound, type RoleChange } from "../engine.js";
import { Log } from "../log/log.js";
import { Writes } from "../log/writes.js";
import { isVoter } from "../membership/change.js";
import { decodeMembership } from "../membership/codec.js";
import { MembershipTrail } from "../membership/trail.js";
import {
  type Entry,
  type EntryId,
  EntryKind,
  type HardState,
  type Index,
  type Membership,
  type NodeId,
  type ProposalId,
  type ReadId,
  type Role,
  type SnapshotMeta,
  type Term,
} from "../types.js";
import type { RaftMessage } from "./messages.js";

export abstract class RaftState {
  protected readonly id: NodeId;
  protected readonly log: Log;
  protected readonly writes: Writes;
  protected readonly trail: MembershipTrail;

  /** Changed by the election layer alone. */
  protected term: Term;
  /** Whom this node voted for in this term; 0: nobody. */
  protected vote: NodeId;
  protected role: "follower" | "preCandidate" | "candidate" | "leader" = "follower";
  /** 0 when unknown. */
  protected leader: NodeId = 0;

  protected commit: Index;
  /** Committed entries were handed over for applying up to here. */
  protected handedOver: Index;
  protected applied: Index;

  /** Ticks since the engine was made. */
  protected now = 0;

  /** Messages of peers that no correct node can have sent; ignored and counted. */
  protected impossible = 0;

  protected messages: Outbound<RaftMessage>[] = [];
  protected messagesAfterAppend: Outbound<RaftMessage>[] = [];
  protected reads: { readonly id: ReadId; readonly index: Index }[] = [];
  protected appended: { readonly id: ProposalId; readonly entry: EntryId }[] = [];
  protected failed: Failure[] = [];
  protected needSnapshot: { readonly to: NodeId; readonly atLeast: Index }[] = [];
  /** A received snapshot that the next batch installs. */
  protected snapshotToInstall: SnapshotMeta | undefined;
  /** The commit index moved and no batch has told the disk for a whole tick. */
  protected commitHintDue = false;

  private savedTerm: Term;
  private savedVote: NodeId;
  private savedCommit: Index;
  private toldRole: Role;
  private toldLeader: NodeId = 0;
  private toldTerm: Term;
  private toldMembership: Membership;

  constructor(protected readonly config: EngineConfig) {
    const { hardState, snapshot, entries, entriesAfter } = config.restored;
    invariant(config.id > 0, "a node id is above 0");
    invariant(
      config.heartbeatTicks >= 1 && config.electionTicks > config.heartbeatTicks,
      "heartbeats are more frequent than elections",
    );
    invariant(config.maxInflightMessages >= 1, "one append at least may be under way");
    invariant(
      entriesAfter.index <= snapshot.id.index,
      () => `the log begins after ${entriesAfter.index}, the state ends at ${snapshot.id.index}`,
    );
    this.id = config.id;
    this.log = new Log(entriesAfter, entries);
    // What was committed and applied may never have reached this node's own log, which may even hold
    // something else there: what it holds beyond cannot have been committed.
    const consistent = this.log.termAt(snapshot.id.index) === snapshot.id.epoch;
    if (!consistent) this.log.restartAfter(snapshot.id);
    this.writes = new Writes(this.log.lastIndex);
    this.trail = new MembershipTrail(snapshot.membership, snapshot.membershipIndex);
    for (const entry of consistent ? entries : []) {
      if (entry.kind === EntryKind.membership && entry.index > snapshot.membershipIndex) {
        this.trail.appended(entry.index, decodeMembership(entry.payload).membership);
      }
    }
    const { promised } = hardState;
    this.term = Math.max(promised.round, this.log.lastTerm);
    this.vote = this.term === promised.round ? promised.node : 0;
    this.commit = Math.min(Math.max(hardState.commit, snapshot.id.index), this.log.lastIndex);
    this.handedOver = snapshot.id.index;
    this.applied = snapshot.id.index;
    this.trail.committedTo(this.commit);
    this.savedTerm = promised.round;
    this.savedVote = promised.node;
    this.savedCommit = this.commit;
    this.toldTerm = this.term;
    this.toldRole = this.publicRole();
    this.toldMembership = this.trail.effective;
  }

  protected abstract becomeFollower(term: Term, leader: NodeId): void;
  /** The membership in force changed, by append, roll-back or snapshot. */
  protected abstract membershipChanged(): void;
  /** The commit index moved. */
  protected abstract committed(): void;

  protected send(to: NodeId, message: RaftMessage, urgent: boolean): void {
    this.messages.push({ to, message, urgent });
  }

  /** The message promises something: it waits until everything that happened so far is durable. */
  protected sendAfterAppend(to: NodeId, message: RaftMessage, urgent: boolean): void {
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

  protected publicRole(): Role {
    return this.role === "follower" && this.trail.effective.learners.includes(this.id)
      ? "learner"
      : this.role;
  }

  /**
   * True when this node counts, or did until an entry that is not known to be committed: then it may
   * hold the only log that can win, and must still campaign, without its own vote (thesis, 4.2.2).
   */
  protected get mayCampaign(): boolean {
    return this.trail.some((membership) => isVoter(membership, this.id));
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
    invariant(
      index >= this.commit,
      () => `truncation after ${index} would cut committed entries (${this.commit})`,
    );
    this.log.truncateAfter(index);
    this.writes.truncated(index);
    if (this.trail.truncatedAfter(index)) this.membershipChanged();
  }

  protected get hardStateChanged(): boolean {
    return this.term !== this.savedTerm || this.vote !== this.savedVote;
  }

  protected get commitUnsaved(): boolean {
    return this.commit !== this.savedCommit;
  }

  /** The durable state if it differs from what the disk was last told; from now on it does not. */
  protected takeHardState(): HardState | undefined {
    if (!this.hardStateChanged && !this.commitUnsaved) return undefined;
    this.savedTerm = this.term;
    this.savedVote = this.vote;
    this.savedCommit = this.commit;
    this.commitHintDue = false;
    return {
      promised: { round: this.term, node: this.vote },
      accepted: { round: 0, node: 0 },
      commit: this.commit,
    };
  }

  protected get roleChanged(): boolean {
    return (
      this.leader !== this.toldLeader || this.term !== this.toldTerm || this.publicRole() !== this.toldRole
    );
  }

  protected takeRole(): RoleChange | undefined {
    if (!this.roleChanged) return undefined;
    this.toldRole = this.publicRole();
    this.toldLeader = this.leader;
    this.toldTerm = this.term;
    return { role: this.toldRole, leader: this.leader, epoch: this.term };
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
  protected readMembership(entry: Entry): Membership | undefined {
    try {
      return decodeMembership(entry.payload).membership;
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "MembershipCodecError") throw error;
      return undefined;
    }
  }
}
