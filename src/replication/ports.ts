// What a group needs from outside: the way to its peers, the passing of time, and someone to tell.
// The server gives it sockets and timers, tests and simulations whatever they like.

import type { Outbound, RoleChange } from "../consensus/engine.js";
import type { Entry, Index, Membership, MembershipChange, NodeId, Term } from "../consensus/types.js";
import type { GroupFailure } from "./proposer.js";
import type { StateMachine } from "./state-machine.js";

/** Ways to the other nodes. Sends never block and never throw; what cannot be sent is lost. */
export interface Transport<M> {
  send(outbound: Outbound<M>): void;
  /** Hands batches to the node that leads `epoch`. False when they were certainly not sent. */
  forward(to: NodeId, epoch: Term, batches: readonly Uint8Array[]): boolean;
  /** Everything sent so far should leave now, before the disk is given its turn. */
  flush(): void;
  /** Tells the origin that these of its batches, forwarded under `epoch`, were not appended. */
  refuse(to: NodeId, epoch: Term, sequences: readonly number[], reason: string): void;
  /** Asks the leader for a read index. False when the question was certainly not sent. */
  askReadIndex(to: NodeId, id: number): boolean;
  /** Answers askReadIndex; undefined refuses. */
  answerReadIndex(to: NodeId, id: number, index: Index | undefined): void;
  /** Asks the leader something that the log does not hold. False when it was certainly not sent. */
  askLeader(to: NodeId, id: number, question: Uint8Array): boolean;
  /** Answers askLeader; undefined refuses. */
  answerQuestion(to: NodeId, id: number, answer: Uint8Array | undefined): void;
  /** Runs a membership change on the leader. */
  control(to: NodeId, change: MembershipChange): Promise<GroupFailure | undefined>;
  /** Streams the state machine's snapshot to a follower; resolves with its index when installed there. */
  sendSnapshot(to: NodeId, epoch: Term, stateMachine: StateMachine): Promise<Index>;
  /** Who takes part now; links to nodes that left may be closed. */
  membershipChanged(membership: Membership): void;
  /** A membership entry entered the log: its context says where a new node can be reached. */
  membershipAppended(context: Uint8Array): void;
}

/** Turns of the event loop, and time that never goes back. */
export interface Scheduler {
  /** Runs once everything that is ready to be read has been read. */
  defer(run: () => void): void;
  /** Milliseconds, monotonic. */
  now(): number;
}

/** Milestones of one batch on the node that proposed it, in milliseconds of Scheduler.now(); 0: not reached. */
export interface BatchTimes {
  queued: number;
  proposed: number;
  written: number;
  durable: number;
  committed: number;
  applying: number;
  applied: number;
  answered: number;
}

/** Told what happens, for metrics and logs. All optional. */
export interface GroupObserver {
  roleChanged?(change: RoleChange): void;
  /** A batch of this node was answered. */
  batchDone?(times: BatchTimes, commands: number): void;
  entriesCommitted?(entries: readonly Entry[]): void;
  commandsFailed?(count: number): void;
  /** The membership of the applied state is another one now: by an entry, or by a snapshot. */
  membershipApplied?(membership: Membership): void;
  warn?(message: string, fields: Record<string, unknown>): void;
}
