// Bugs that real Raft implementations had, each put back by overriding one decision of the engine.
// The simulation must catch every one of them: what it cannot see fail, it cannot vouch for.

import type { EngineConfig } from "../../consensus/engine.js";
import { Raft } from "../../consensus/raft/raft.js";
import type { Index, MembershipChange, ProposalId, ReadId } from "../../consensus/types.js";

type RaftFactory = (config: EngineConfig) => Raft;

/** Commits an entry of an earlier term as soon as a majority holds it (Raft paper, figure 8). */
class CommitsEarlierTerms extends Raft {
  protected override committable(): boolean {
    return true;
  }
}

/** Acknowledges entries that its disk does not hold yet. */
class AcknowledgesBeforeDurable extends Raft {
  protected override acknowledgeWhen(): "durable" | "now" {
    return "now";
  }
}

/** Cuts everything after the previous entry of an append, however old the append is. */
class TruncatesOnStaleAppend extends Raft {
  protected override conflicts(): boolean {
    return true;
  }
}

/** Forgets whom it voted for when it steps down within its term. */
class ForgetsVoteOnStepDown extends Raft {
  protected override voteAfterStepDown(): number {
    return 0;
  }
}

/** Answers reads with its commit index without asking whether it still leads. */
class ReadsWithoutQuorum extends Raft {
  protected override onRead(ids: readonly ReadId[]): void {
    if (this.role === "leader") for (const id of ids) this.reads.push({ id, index: this.commit });
    else super.onRead(ids);
  }
}

/** Tells followers to commit what they may not hold. */
class HeartbeatsCommitUnproven extends Raft {
  protected override broadcastHeartbeat(): void {
    const readPosition = this.readQueue.wanted;
    this.readQueue.broadcast();
    for (const { node } of this.progress.values()) {
      this.send(node, { kind: "heartbeat", term: this.term, commit: this.commit, readPosition }, true);
    }
  }
}

/** Takes a change of membership before an entry of its own term is committed (the single-server bug). */
class ChangesMembershipTooEarly extends Raft {
  protected override onChangeMembership(id: ProposalId, change: MembershipChange): void {
    const { termStart } = this;
    this.termStart = 0;
    super.onChangeMembership(id, change);
    this.termStart = termStart;
  }
}

/** Keeps a membership in force whose entry was cut off. */
class KeepsRolledBackMembership extends Raft {
  protected override truncateAfter(index: Index): void {
    this.log.truncateAfter(index);
    this.writes.truncated(index);
  }
}

export interface Mutation {
  /** What the mutated engine does. */
  readonly name: string;
  /** Seeds within which it must be caught. */
  readonly withinSeeds: number;
  readonly createEngine: RaftFactory;
}

export const mutations: readonly Mutation[] = [
  {
    name: "commits entries of earlier terms by counting",
    withinSeeds: 500,
    createEngine: (c) => new CommitsEarlierTerms(c),
  },
  {
    name: "acknowledges before durable",
    withinSeeds: 500,
    createEngine: (c) => new AcknowledgesBeforeDurable(c),
  },
  {
    name: "truncates on a stale append",
    withinSeeds: 500,
    createEngine: (c) => new TruncatesOnStaleAppend(c),
  },
  {
    name: "clears the vote on a same-term step-down",
    withinSeeds: 500,
    createEngine: (c) => new ForgetsVoteOnStepDown(c),
  },
  {
    name: "answers reads without asking a quorum",
    withinSeeds: 500,
    createEngine: (c) => new ReadsWithoutQuorum(c),
  },
  {
    name: "commits by heartbeat what is not proven",
    withinSeeds: 500,
    createEngine: (c) => new HeartbeatsCommitUnproven(c),
  },
  {
    name: "changes its membership too early",
    withinSeeds: 2000,
    createEngine: (c) => new ChangesMembershipTooEarly(c),
  },
  {
    name: "keeps a membership that was rolled back",
    withinSeeds: 500,
    createEngine: (c) => new KeepsRolledBackMembership(c),
  },
];
