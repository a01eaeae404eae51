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
    return memberships.every(({ voters, outgoing }) =>
      [voters, outgoing].every(
        (half) => half.length === 0 || half.filter(said).length >= this.promiseSize(half.length),
      ),
    );
  }

  /** Highest number that an accept quorum of each of the memberships has reached. */
  accepted(memberships: readonly Membership[], reached: (node: NodeId) => Index): Index {
    let lowest: Index = Number.MAX_SAFE_INTEGER;
    for (const { voters, outgoing } of memberships) {
      for (const half of [voters, outgoing]) {
        if (half.length === 0) continue;
        lowest = Math.min(lowest, committedIndex(half, reached, this.acceptSize(half.length)));
      }
    }
    return lowest;
  }

  /** An accept quorum of each of the memberships says yes. */
  hears(memberships: readonly Membership[], said: (node: NodeId) => boolean): boolean {
    return memberships.every(({ voters, outgoing }) =>
      [voters, outgoing].every(
        (half) => half.length === 0 || half.filter(said).length >= this.acceptSize(half.length),
      ),
    );
  }
}
