// Membership changes and leadership transfers on the leader: checks them as etcd does, hands them to
// the engine one at a time and answers when they have taken effect.

import type { Engine, Failure } from "../consensus/engine.js";
import { isVoter, members } from "../consensus/membership/change.js";
import type { Index, MembershipChange, NodeId, ProposalId, SnapshotMeta, Term } from "../consensus/types.js";
import type { GroupFailure } from "./proposer.js";

/** Above every batch sequence, so that one number space serves both. */
const firstChangeId = 2 ** 50;

interface Change {
  readonly id: ProposalId;
  readonly resolve: (failure: GroupFailure | undefined) => void;
  readonly deadlineAt: number;
  index: Index | undefined;
}

interface DeskOptions {
  readonly node: NodeId;
  readonly requestTimeoutMs: number;
  readonly electionTimeoutMs: number;
  readonly strictReconfiguration: boolean;
  readonly scheduler: { now(): number };
  readonly stateMachine: { readonly applied: SnapshotMeta };
  readonly objection?: (change: MembershipChange) => GroupFailure["reason"] | undefined;
}

const failed = (
  reason: GroupFailure["reason"],
  outcome: GroupFailure["outcome"],
  detail?: string,
): GroupFailure =>
  detail === undefined ? { kind: "failed", reason, outcome } : { kind: "failed", reason, outcome, detail };

export class MembershipDesk<M> {
  private lastId = firstChangeId;
  private changes = new Map<ProposalId, Change>();
  private transferring:
    | {
        readonly to: NodeId;
        readonly deadlineAt: number;
        readonly resolve: (failure: GroupFailure | undefined) => void;
      }
    | undefined;

  constructor(
    private readonly engine: Engine<M>,
    private readonly options: DeskOptions,
    private readonly stepped: () => void,
  ) {}

  change(change: MembershipChange): Promise<GroupFailure | undefined> {
    const refusal = this.check(change);
    if (refusal !== undefined) return Promise.resolve(refusal);
    return new Promise((resolve) => {
      const id = ++this.lastId;
      const deadlineAt = this.options.scheduler.now() + this.options.requestTimeoutMs;
      this.changes.set(id, { id, resolve, deadlineAt, index: undefined });
      this.engine.step({ kind: "changeMembership", id, change });
      this.stepped();
    });
  }

  /** etcd's rules: a learner must have caught up; a change must not cost the quorum that is left. */
  private check(change: MembershipChange): GroupFailure | undefined {
    const status = this.engine.status();
    const { membership } = status;
    // Until the change before is applied, the state cannot be asked about this one.
    if (status.membershipIndex > this.options.stateMachine.applied.membershipIndex) {
      return failed("changePending", "refused");
    }
    const objection = this.options.objection?.(change);
    if (objection !== undefined) return failed(objection, "refused");
    for (const step of change.steps) {
      if (step.op === "addVoter" && membership.learners.includes(step.node)) {
        const progress = status.progress.find((peer) => peer.node === step.node);
        // etcd: a learner is in sync when its log reaches nine tenths of the leader's.
        if (progress === undefined || progress.match < status.lastIndex * 0.9) {
          return failed("learnerNotReady", "refused");
        }
      } else if (this.options.strictReconfiguration && step.op !== "addLearner") {
        // A learner that leaves, or a voter that is given other addresses, changes no quorum.
        if (isVoter(membership, step.node) !== (step.op === "remove")) continue;
        const voters = members(membership).filter((node) => isVoter(membership, node));
        const active = voters.filter(
          (node) =>
            node === this.options.node || status.progress.some((peer) => peer.node === node && peer.active),
        );
        const size = step.op === "remove" ? voters.length - 1 : voters.length + 1;
        const left = step.op === "remove" ? active.filter((node) => node !== step.node) : active;
        if (size > 0 && left.length < Math.floor(size / 2) + 1) return failed("unhealthy", "refused");
      }
    }
    return undefined;
  }

  transfer(to: NodeId): Promise<GroupFailure | undefined> {
    const { membership } = this.engine.status();
    if (!isVoter(membership, to)) return Promise.resolve(failed("badTransferee", "refused"));
    if (to === this.options.node) return Promise.resolve(undefined);
    if (this.transferring !== undefined) return Promise.resolve(failed("changePending", "refused"));
    return new Promise((resolve) => {
      const deadlineAt = this.options.scheduler.now() + 2 * this.options.electionTimeoutMs;
      this.transferring = { to, deadlineAt, resolve };
      this.engine.step({ kind: "transferLeadership", to });
      this.stepped();
    });
  }

  /** A change entered the log. */
  appended(id: ProposalId, index: Index, _epoch: Term): void {
    const change = this.changes.get(id);
    if (change !== undefined) change.index = index;
  }

  /** The engine refused. */
  failed(failure: Failure): void {
    if (failure.of === "transfer")
      return this.endTransfer(failed("badTransferee", "refused", failure.detail));
    const reason =
      failure.reason === "overloaded"
        ? "tooManyRequests"
        : failure.reason === "lostLeadership" || failure.reason === "transferring"
          ? "leaderChanged"
          : failure.reason;
    this.end(failure.id, failed(reason, "refused", failure.detail));
  }

  /** Entries up to `index` are applied; a joint membership counts as done when it is left. */
  applied(index: Index, state: SnapshotMeta): void {
    if (state.membership.outgoing.length > 0) return;
    for (const change of this.changes.values()) {
      if (change.index !== undefined && change.index <= index) this.end(change.id, undefined);
    }
  }

  leaderChanged(leader: NodeId): void {
    if (this.transferring !== undefined && leader !== 0 && leader !== this.options.node) {
      const reached = leader === this.transferring.to;
      this.endTransfer(reached ? undefined : failed("leaderChanged", "unknown"));
    }
    if (leader === this.options.node) return;
    for (const change of this.changes.values()) {
      this.end(change.id, failed("leaderChanged", change.index === undefined ? "refused" : "unknown"));
    }
  }

  tick(now: number): void {
    if (this.transferring !== undefined && this.transferring.deadlineAt <= now) {
      this.endTransfer(failed("timeout", "unknown"));
    }
    for (const change of this.changes.values()) {
      if (change.deadlineAt <= now) this.end(change.id, failed("timeout", "unknown"));
    }
  }

  stop(): void {
    for (const change of this.changes.values()) this.end(change.id, failed("stopped", "unknown"));
    this.endTransfer(failed("stopped", "unknown"));
  }

  private end(id: ProposalId, outcome: GroupFailure | undefined): void {
    const change = this.changes.get(id);
    this.changes.delete(id);
    change?.resolve(outcome);
  }

  private endTransfer(outcome: GroupFailure | undefined): void {
    const transfer = this.transferring;
    this.transferring = undefined;
    transfer?.resolve(outcome);
  }
}
