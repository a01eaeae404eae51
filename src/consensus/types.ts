// The vocabulary of every consensus engine: identifiers, log entries, durable state and membership.
// Pure data; nothing here knows about disks, sockets or clocks.

/** Position in the log, from 1; 0 means "before the first entry". A safe integer. */
export type Index = number & { readonly __brand?: "Index" };
/** Raft term, or the round of a ballot, or a Zab epoch: a safe integer that only grows. */
export type Term = number & { readonly __brand?: "Term" };
/** Identifier of a node (etcd's member ID), a safe integer above 0 and never reused; 0 means "none". */
export type NodeId = number & { readonly __brand?: "NodeId" };
/** Names a proposal within one process; echoed in `Ready.appended` and `Ready.failed`. */
export type ProposalId = number & { readonly __brand?: "ProposalId" };
/** Names a read barrier within one process; echoed in `Ready.reads` and `Ready.failed`. */
export type ReadId = number & { readonly __brand?: "ReadId" };

/** What an entry carries. The numbers are written to disk and to the wire. */
export const EntryKind = {
  /** Empty entry with which a new leader commits what it inherited. */
  noop: 0,
  /** A batch of commands for the state machine. */
  command: 1,
  /** A membership (see `membership/codec.ts`), in force from the moment it is appended. */
  membership: 2,
} as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** Identity of an entry: two entries with the same id are the same entry. */
export interface EntryId {
  readonly index: Index;
  readonly epoch: Term;
}

export interface Entry extends EntryId {
  readonly kind: EntryKind;
  /** Opaque to the engine unless `kind` is membership. Never mutated after it was handed over. */
  readonly payload: Uint8Array;
}

/** How far the log is durable: on behalf of the leader of `epoch`, up to `index`. Never an index alone. */
export interface LogMark {
  readonly epoch: Term;
  readonly index: Index;
}

/** Highest promise made: round with the node it was made to (0: none). In Raft, term and vote. */
export interface Ballot {
  readonly round: Term;
  readonly node: NodeId;
}

/** What must survive a crash besides the log itself. Its meaning per engine: docs/architecture.md. */
export interface HardState {
  readonly promised: Ballot;
  /** Accepted round of the whole log; unused by Raft (zero ballot). */
  readonly accepted: Ballot;
  /** A hint that may lag. */
  readonly commit: Index;
}

/** Who takes part. Joint while `outgoing` is not empty: every decision then needs both majorities. */
export interface Membership {
  /** Incoming (or only) voters, ascending. */
  readonly voters: readonly NodeId[];
  /** Outgoing voters of a joint membership, ascending; empty otherwise. */
  readonly outgoing: readonly NodeId[];
  /** Members that receive the log and do not count; ascending, disjoint from both voter sets. */
  readonly learners: readonly NodeId[];
  /** Outgoing voters that become learners when the joint membership is left; ascending. */
  readonly learnersNext: readonly NodeId[];
  /** The leader leaves the joint membership by itself as soon as it is committed. */
  readonly autoLeave: boolean;
}

export type MembershipStep =
  | { readonly op: "addVoter"; readonly node: NodeId }
  | { readonly op: "addLearner"; readonly node: NodeId }
  | { readonly op: "remove"; readonly node: NodeId };

/**
 * A requested change. One step is applied directly; several, or `joint`, pass through a joint
 * membership. An empty list of steps leaves a joint membership.
 */
export interface MembershipChange {
  readonly steps: readonly MembershipStep[];
  readonly joint?: boolean;
  /** Opaque bytes stored in the entry for the state machine (addresses of the new member, say). */
  readonly context: Uint8Array;
}

/** What a snapshot stands for. Its membership is always a committed one, with its own index. */
export interface SnapshotMeta {
  readonly id: EntryId;
  readonly membership: Membership;
  readonly membershipIndex: Index;
}

export interface Proposal {
  readonly id: ProposalId;
  readonly payload: Uint8Array;
}

export type Role = "follower" | "preCandidate" | "candidate" | "leader" | "learner";
