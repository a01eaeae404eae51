// Four bugs that real Raft implementations had, each put back by overriding one decision of the engine.
// The simulation must catch every one of them: what it cannot see fail, it cannot vouch for.

import type { EngineConfig } from "../../consensus/engine.js";
import { Raft } from "../../consensus/raft/raft.js";

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

export interface Mutation {
  readonly name: string;
  readonly createEngine: RaftFactory;
}

export const mutations: readonly Mutation[] = [
  { name: "commits entries of earlier terms by counting", createEngine: (c) => new CommitsEarlierTerms(c) },
  { name: "acknowledges before durable", createEngine: (c) => new AcknowledgesBeforeDurable(c) },
  { name: "truncates on a stale append", createEngine: (c) => new TruncatesOnStaleAppend(c) },
  { name: "clears the vote on a same-term step-down", createEngine: (c) => new ForgetsVoteOnStepDown(c) },
];
