// Which nodes suffice. A promise quorum and an accept quorum of one configuration always share a node,
// and so do two promise quorums, so that a round has one leader at most. Accept quorums may be smaller
// than a majority when promise quorums are larger by as much: N + 1 together (flexible Paxos).

import { committedIndex, majorityOf } from "../quorum/majority.js";
import type { Index, Membership, NodeId } from "../types.js";

export class Quorums {
  /** @param acceptors size of an accept quorum, if smaller than a majority; 0 for a majority. */
  constructor(private readonly acceptors: number) {}

  acceptSize(voters: number): number {
    const majority = majorityOf(voters);
    return this.acceptors > 0 ? Math.min(this.acceptors, majority) : majority;
  }

  /** Never below a majority. */
  promiseSize(voters: number): number {
    return Math.max(majorityOf(voters), voters + 1 - this.acceptSize(voters));
  }

  /** A promise quorum of each of the memberships says yes. */
  promised(memberships: readonly Membership[], said: (node: NodeId) => boolean): boolean {
    return memberships.every((each) =>
      halves(each).every((half) => half.filter(said).length >= this.promiseSize(half.length)),
    );
  }

  /** Highest number that an accept quorum of each of the memberships has reached. */
  accepted(memberships: readonly Membership[], reached: (node: NodeId) => Index): Index {
    let lowest: Index = Number.MAX_SAFE_INTEGER;
    for (const each of memberships) {
      if (each.voters.length === 0) return 0;
      for (const half of halves(each)) {
        lowest = Math.min(lowest, committedIndex(half, reached, this.acceptSize(half.length)));
      }
    }
    return lowest;
  }

  /** An accept quorum of each of the memberships says yes. */
  hears(memberships: readonly Membership[], said: (node: NodeId) => boolean): boolean {
    return memberships.every((each) =>
      halves(each).every((half) => half.filter(said).length >= this.acceptSize(half.length)),
    );
  }
}

/**
 * The sets of which each must agree. No quorum of a membership without voters exists: it is that of a
 * node that joins, which does not know who took part before the entry that names it.
 */
function halves({ voters, outgoing }: Membership): readonly (readonly NodeId[])[] {
  return outgoing.length === 0 ? [voters] : [voters, outgoing];
}
