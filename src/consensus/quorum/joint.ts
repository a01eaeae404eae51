// Majority arithmetic over a membership that may be joint: a decision needs a majority of the incoming
// voters and, while there are any, a majority of the outgoing ones (Raft thesis, section 4.3).

import type { Index, Membership, NodeId } from "../types.js";
import { committedIndex, type VoteOutcome, voteResult } from "./majority.js";

type VoterSets = Pick<Membership, "voters" | "outgoing">;

/** Highest index acknowledged by a majority of each half. */
export function jointCommittedIndex(membership: VoterSets, acked: (id: NodeId) => Index): Index {
  const incoming = committedIndex(membership.voters, acked);
  return membership.outgoing.length === 0
    ? incoming
    : Math.min(incoming, committedIndex(membership.outgoing, acked));
}

/** Won when both halves are won, lost as soon as one is. */
export function jointVoteResult(
  membership: VoterSets,
  votes: (id: NodeId) => boolean | undefined,
): VoteOutcome {
  const incoming = voteResult(membership.voters, votes);
  if (membership.outgoing.length === 0) return incoming;
  const outgoing = voteResult(membership.outgoing, votes);
  if (incoming === outgoing) return incoming;
  return incoming === "lost" || outgoing === "lost" ? "lost" : "pending";
}
