// Majority arithmetic over one set of voters: what a majority has acknowledged, how a vote stands.
// Sorts naively on every call: sets are small (five is usual, seven is large), and incremental
// bookkeeping of this very number has cost other implementations committed entries.

import type { Index, NodeId } from "../types.js";

/** Answer of an empty set of voters, which agrees to everything: it stays out of the way of the other half. */
export const everything: Index = Number.MAX_SAFE_INTEGER;

export type VoteOutcome = "won" | "lost" | "pending";

/** How many of `count` voters make a majority. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/**
 * Highest index that a majority of `voters`, or `needed` of them, has acknowledged; `acked` answers 0
 * for "nothing yet".
 */
export function committedIndex(
  voters: readonly NodeId[],
  acked: (id: NodeId) => Index,
  needed = majorityOf(voters.length),
): Index {
  const count = voters.length;
  if (count === 0) return everything;
  const indices = new Array<Index>(count);
  // Insertion sort, ascending: faster than Array.sort at this size and nothing to get wrong.
  for (let i = 0; i < count; i++) {
    const index = acked(voters[i]!);
    let slot = i;
    while (slot > 0 && indices[slot - 1]! > index) {
      indices[slot] = indices[slot - 1]!;
      slot--;
    }
    indices[slot] = index;
  }
  return indices[count - needed]!;
}

/** How a vote stands when `votes` answers undefined for who has not answered. */
export function voteResult(
  voters: readonly NodeId[],
  votes: (id: NodeId) => boolean | undefined,
): VoteOutcome {
  if (voters.length === 0) return "won";
  const majority = majorityOf(voters.length);
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = votes(id);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  if (granted >= majority) return "won";
  return granted + missing >= majority ? "pending" : "lost";
}
