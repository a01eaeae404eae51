// What the API layer sees of a group: propose commands, wait for read barriers, change membership,
// ask for its state. Implemented by group.ts; a fake of it serves the API's unit tests.

import type { EngineStatus } from "../consensus/engine.js";
import type { MembershipChange, NodeId, Term } from "../consensus/types.js";

/**
 * Why a request did not (or may not) take effect.
 * - refused: certainly not applied and never will be; safe to retry.
 * - unknown: may or may not be applied.
 */
export interface GroupFailure {
  readonly kind: "failed";
  readonly reason:
    | "noLeader"
    | "leaderChanged"
    | "timeout"
    | "tooManyRequests"
    | "stopped"
    | "notLeader"
    | "changePending"
    | "invalidChange"
    | "badTransferee"
    | "learnerNotReady"
    | "unhealthy"
    | "peerUrlExists"
    | "tooManyLearners";
  readonly outcome: "refused" | "unknown";
  readonly detail?: string;
}

export interface GroupStatus extends EngineStatus {
  /** Applied to the state machine in memory. */
  readonly appliedIndex: number;
}

export interface Proposer {
  /** A full picture; costs more than `epoch` and `leader`. */
  readonly status: GroupStatus;
  /** Current epoch (Raft: term); cheap. */
  readonly epoch: Term;
  /** The leader this node knows; 0 when none; cheap. */
  readonly leader: NodeId;
  /**
   * Appends a command to the log through whoever leads. `done` runs exactly once, after the command
   * was applied on this node (with what StateMachine.apply returned), or with the failure.
   * @param request handed to StateMachine.apply on this node, to spare decoding the command again.
   */
  propose(command: Uint8Array, request: unknown, done: (result: unknown | GroupFailure) => void): void;
  /** Calls back once this node has applied everything acknowledged anywhere before the call. */
  readBarrier(done: (failure: GroupFailure | undefined) => void): void;
  changeMembership(change: MembershipChange): Promise<GroupFailure | undefined>;
  /** Resolves when `to` leads. Must be called on the leader. */
  transferLeadership(to: NodeId): Promise<GroupFailure | undefined>;
}

/** A failure without detail. */
export function failure(reason: GroupFailure["reason"], outcome: GroupFailure["outcome"]): GroupFailure {
  return { kind: "failed", reason, outcome };
}
