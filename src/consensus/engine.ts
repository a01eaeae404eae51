// The one interface between a consensus protocol and everything else. An engine is a deterministic
// state machine over one contiguous log: it reads no clock, draws no entropy of its own, performs no
// I/O. All it learns arrives through step(); all it wants done leaves in ready(). Same inputs, same
// outputs. docs/architecture.md has the driver's loop.

import type {
  Entry,
  EntryId,
  HardState,
  Index,
  LogMark,
  Membership,
  MembershipChange,
  NodeId,
  Proposal,
  ProposalId,
  ReadId,
  Role,
  SnapshotMeta,
  Term,
} from "./types.js";

/** @typeParam M the protocol's own message type, opaque to the driver. */
export interface Engine<M> {
  /** Takes one input. Never throws on what a peer sent; throws InvariantViolation on a bug of our own. */
  step(input: Input<M>): void;
  /** True when ready() would hand over anything. Cheap. */
  hasReady(): boolean;
  /** Hands over everything that is to be done since the last call. */
  ready(): Ready<M>;
  /** For metrics, tests and invariant checks. */
  status(): EngineStatus;
}

export type Input<M> =
  /** One unit of time passed. Lost ticks are never made up for. */
  | { readonly kind: "tick" }
  | { readonly kind: "message"; readonly from: NodeId; readonly message: M }
  /** Refused (see Ready.failed) unless this node leads. */
  | { readonly kind: "propose"; readonly proposals: readonly Proposal[] }
  /** Linearizable read barriers. Refused unless this node leads. */
  | { readonly kind: "read"; readonly ids: readonly ReadId[] }
  | { readonly kind: "changeMembership"; readonly id: ProposalId; readonly change: MembershipChange }
  | { readonly kind: "transferLeadership"; readonly to: NodeId }
  /** Every append up to and including the one that carried this mark is durable. */
  | { readonly kind: "persisted"; readonly mark: LogMark }
  /** The state machine has applied up to here. */
  | { readonly kind: "applied"; readonly index: Index }
  /** The log up to here will not be needed again; the driver keeps a snapshot at or above it. */
  | { readonly kind: "compact"; readonly upTo: Index }
  /** A complete, verified, staged snapshot arrived from `from`, who leads (or led) `epoch`. */
  | {
      readonly kind: "snapshotReceived";
      readonly from: NodeId;
      readonly epoch: Term;
      readonly snapshot: SnapshotMeta;
    }
  /** The snapshot asked for by Ready.needSnapshot was delivered (`ok`) up to `index`, or not. */
  | { readonly kind: "snapshotSent"; readonly to: NodeId; readonly ok: boolean; readonly index: Index }
  /** A message to this peer was lost for sure. */
  | { readonly kind: "unreachable"; readonly peer: NodeId };

export interface Outbound<M> {
  readonly to: NodeId;
  readonly message: M;
  /** Sent ahead of bulk messages: heartbeats, votes and their replies. */
  readonly urgent: boolean;
}

/** One atomic, ordered, durable batch. An epoch is never durable after entries of that epoch. */
export interface DurableBatch {
  /** Entries above this index are removed before `entries` are appended. */
  readonly truncateAfter?: Index;
  readonly entries: readonly Entry[];
  readonly hardState?: HardState;
  /** Install this received snapshot: it replaces the whole log up to its id. */
  readonly snapshot?: SnapshotMeta;
  /** To be reported back by `persisted`. */
  readonly mark: LogMark;
  /** False when losing this batch at a crash would do no harm (a commit hint alone). */
  readonly mustSync: boolean;
}

export type FailureReason =
  | "notLeader"
  | "lostLeadership"
  | "overloaded"
  | "transferring"
  /** Membership: another change is not yet committed, or no entry of this epoch is. */
  | "changePending"
  /** Membership: the change itself is impossible (unknown node, last voter, …). */
  | "invalidChange";

export interface Failure {
  readonly of: "proposal" | "read" | "membership" | "transfer";
  readonly id: number;
  readonly reason: FailureReason;
  readonly detail?: string;
}

export interface RoleChange {
  readonly role: Role;
  /** 0 when unknown. */
  readonly leader: NodeId;
  readonly epoch: Term;
}

export interface Ready<M> {
  readonly append?: DurableBatch;
  /** May go now, in parallel with the append. */
  readonly messages: readonly Outbound<M>[];
  /** May go only when `append` (and every earlier one) is durable; at once when nothing is under way. */
  readonly messagesAfterAppend: readonly Outbound<M>[];
  /** Apply in order. Always contiguous with what was handed over before. */
  readonly committed: readonly Entry[];
  /** Answered read barriers: read after applying up to `index`. */
  readonly reads: readonly { readonly id: ReadId; readonly index: Index }[];
  /** Where proposals and membership changes of this node entered the log. */
  readonly appended: readonly { readonly id: ProposalId; readonly entry: EntryId }[];
  readonly failed: readonly Failure[];
  readonly role?: RoleChange;
  /** A follower is behind the log: send it a snapshot at or above `atLeast`, then say snapshotSent. */
  readonly needSnapshot: readonly { readonly to: NodeId; readonly atLeast: Index }[];
  /** The membership in force, when it changed (by append, roll-back or snapshot). */
  readonly membership?: Membership;
}

export interface PeerProgress {
  readonly node: NodeId;
  readonly state: "probe" | "replicate" | "snapshot";
  readonly match: Index;
  readonly next: Index;
  readonly inflight: number;
  readonly active: boolean;
}

export interface EngineStatus {
  readonly id: NodeId;
  readonly role: Role;
  readonly leader: NodeId;
  readonly epoch: Term;
  readonly vote: NodeId;
  readonly commit: Index;
  readonly applied: Index;
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  readonly lastEpoch: Term;
  readonly membership: Membership;
  /** Index of the entry that set `membership`. */
  readonly membershipIndex: Index;
  readonly transferTarget: NodeId;
  /** On a leader, one for every other member and learner. */
  readonly progress: readonly PeerProgress[];
}

/** What an engine is born with; all of it is durable. */
export interface RestoredState {
  readonly hardState: HardState;
  /** What the state machine already holds: `applied` is its index. */
  readonly snapshot: SnapshotMeta;
  /** Contiguous; may begin at or below snapshot.id.index + 1. Kept for followers that lag. */
  readonly entries: readonly Entry[];
  /** Id of the entry before the first of `entries`. */
  readonly entriesAfter: EntryId;
}

export interface EngineConfig {
  readonly id: NodeId;
  /** Ticks without a leader before an election, at least; drawn anew from [n, 2n). */
  readonly electionTicks: number;
  /** Ticks between heartbeats; well below electionTicks. */
  readonly heartbeatTicks: number;
  /** Uniform in [0, 2^32), seeded by the driver. */
  readonly random: () => number;
  /** Appends under way to one follower, at most. */
  readonly maxInflightMessages: number;
  /** Payload bytes under way to one follower, at most. */
  readonly maxInflightBytes: number;
  /** Payload bytes in one append (one entry always fits). */
  readonly maxAppendBytes: number;
  /** Payload bytes appended by the leader and not yet committed; above it proposals are "overloaded". */
  readonly maxUncommittedBytes: number;
  readonly restored: RestoredState;
}

/** A bug of our own: what was expected, what was found, where. Stops the process. */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

/** Throws InvariantViolation unless the condition holds. Stays on in production. */
export function invariant(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new InvariantViolation(typeof message === "string" ? message : message());
}
