// The rules by which a membership changes. One voter at most may change directly; more pass through a
// joint membership, which is entered and left by two entries. Pure functions of the current membership:
// steps are idempotent (adding who is there changes nothing), and within one change the last word on a
// node counts. Checked against etcd's configuration-change vectors.

import { invariant } from "../engine.js";
import type { Membership, MembershipChange, MembershipStep, NodeId } from "../types.js";

export type ChangeResult =
  | { readonly ok: true; readonly membership: Membership }
  | { readonly ok: false; readonly reason: string };

export const emptyMembership: Membership = Object.freeze({
  voters: Object.freeze([]),
  outgoing: Object.freeze([]),
  learners: Object.freeze([]),
  learnersNext: Object.freeze([]),
  autoLeave: false,
});

/**
 * The membership that a requested change leads to, or why it cannot be. A single step is applied
 * directly. Several steps enter a joint membership that the leader leaves by itself; with `joint` it is
 * entered even for one step and left only by a later change without steps.
 */
export function applyChange(current: Membership, change: MembershipChange): ChangeResult {
  const { steps } = change;
  if (steps.length === 0) {
    if (!isJoint(current)) return refuse("can't leave a non-joint config");
    return { ok: true, membership: leaveJoint(current) };
  }
  const mentioned = new Set<NodeId>();
  for (const { op, node } of steps) {
    if (!Number.isSafeInteger(node) || node <= 0) return refuse(`${node} does not name a node`);
    if (op === "remove" && !mentioned.has(node) && !isMember(current, node)) {
      return refuse(`node ${node} is not a member`);
    }
    mentioned.add(node);
  }
  if (steps.length === 1 && change.joint !== true) return changeDirectly(current, steps);
  return enterJoint(current, steps, change.joint !== true);
}

/** Applies steps that change one voter at most, without a joint membership. */
export function changeDirectly(current: Membership, steps: readonly MembershipStep[]): ChangeResult {
  if (isJoint(current)) return refuse("can't apply simple config change in joint config");
  const next = applySteps(current, current.outgoing, steps);
  if (next.voters.length === 0) return refuse("removed all voters");
  if (differences(current.voters, next.voters) > 1) {
    return refuse("more than one voter changed without entering joint config");
  }
  return { ok: true, membership: next };
}

/** Applies any steps; the present voters become the outgoing half until the joint membership is left. */
export function enterJoint(
  current: Membership,
  steps: readonly MembershipStep[],
  autoLeave: boolean,
): ChangeResult {
  if (isJoint(current)) return refuse("config is already joint");
  if (current.voters.length === 0) return refuse("can't make a zero-voter config joint");
  const next = applySteps(current, current.voters, steps);
  if (next.voters.length === 0) return refuse("removed all voters");
  return { ok: true, membership: { ...next, autoLeave } };
}

/** Drops the outgoing half; its voters that asked to stay on as learners become learners now. */
export function leaveJoint(current: Membership): Membership {
  invariant(isJoint(current), "only a joint membership can be left");
  return {
    voters: current.voters,
    outgoing: [],
    learners: sorted(new Set([...current.learners, ...current.learnersNext])),
    learnersNext: [],
    autoLeave: false,
  };
}

export function isJoint(membership: Membership): boolean {
  return membership.outgoing.length > 0;
}

/** True when the node counts in one of the majorities. */
export function isVoter(membership: Membership, id: NodeId): boolean {
  return membership.voters.includes(id) || membership.outgoing.includes(id);
}

/** True when the node receives the log, as voter or learner. */
export function isMember(membership: Membership, id: NodeId): boolean {
  return isVoter(membership, id) || membership.learners.includes(id);
}

/** Everybody who receives the log, ascending, each once. */
export function members(membership: Membership): readonly NodeId[] {
  return sorted(new Set([...membership.voters, ...membership.outgoing, ...membership.learners]));
}

function applySteps(
  current: Membership,
  outgoing: readonly NodeId[],
  steps: readonly MembershipStep[],
): Membership {
  const voters = new Set(current.voters);
  const learners = new Set(current.learners);
  const learnersNext = new Set(current.learnersNext);
  for (const { op, node } of steps) {
    // 0 names nobody, so a step on it changes nothing.
    if (node === 0) continue;
    voters.delete(node);
    learners.delete(node);
    learnersNext.delete(node);
    switch (op) {
      case "addVoter":
        voters.add(node);
        break;
      case "addLearner":
        // A node counts on one side only: who still votes in the outgoing half becomes a learner when
        // the joint membership is left.
        (outgoing.includes(node) ? learnersNext : learners).add(node);
        break;
      case "remove":
        break;
      default:
        op satisfies never;
    }
  }
  return {
    voters: sorted(voters),
    outgoing,
    learners: sorted(learners),
    learnersNext: sorted(learnersNext),
    autoLeave: false,
  };
}

function sorted(ids: Set<NodeId>): NodeId[] {
  return [...ids].sort((a, b) => a - b);
}

/** Nodes that are in one of the two sets and not in the other. */
function differences(a: readonly NodeId[], b: readonly NodeId[]): number {
  return a.filter((id) => !b.includes(id)).length + b.filter((id) => !a.includes(id)).length;
}

function refuse(reason: string): ChangeResult {
  return { ok: false, reason };
}
