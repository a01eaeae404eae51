// Bugs that Multi-Paxos implementations had or could have, each put back by overriding one decision of
// the engine. The simulation must catch every one of them: what it cannot see fail, it cannot vouch for.

import type { EngineConfig } from "../../consensus/engine.js";
import type { Rank } from "../../consensus/paxos/acceptor.js";
import { Paxos } from "../../consensus/paxos/paxos.js";
import type { Membership, ReadId } from "../../consensus/types.js";

type PaxosFactory = (config: EngineConfig) => Paxos;

/** Promises as if what is decided needed no mention (ailidani/paxi): a leader that lacks it never learns it. */
class PromisesWithoutDecided extends Paxos {
  protected override rankToPromise(): Rank {
    if (this.commit < this.log.lastIndex) return super.rankToPromise();
    return { accepted: 0, lastIndex: 0 };
  }
}

/** Takes the first part of a leader's log for the whole: the log is accepted in the round while it is short. */
class AcceptsInParts extends Paxos {
  protected override completes(): boolean {
    return true;
  }
}

/** Acknowledges entries that its disk does not hold yet. */
class AcknowledgesBeforeDurable extends Paxos {
  protected override acknowledgeWhen(): "durable" | "now" {
    return "now";
  }
}

/** Answers reads with its decided index without asking whether it still leads. */
class ReadsWithoutQuorum extends Paxos {
  protected override onRead(ids: readonly ReadId[]): void {
    if (this.role === "leader") for (const id of ids) this.reads.push({ id, index: this.commit });
    else super.onRead(ids);
  }
}

/** Appends behind a stop-sign that is not decided, and so decides for a configuration that may never be. */
class WritesBehindStopSigns extends Paxos {
  protected override get sealed(): boolean {
    return false;
  }

  protected override get configurations(): readonly Membership[] {
    return [this.trail.effective];
  }
}

export interface PaxosMutation {
  /** What the mutated engine does. */
  readonly name: string;
  /** Seeds within which it must be caught. */
  readonly withinSeeds: number;
  readonly createEngine: PaxosFactory;
}

export const paxosMutations: readonly PaxosMutation[] = [
  {
    name: "leaves what is decided out of its promises",
    withinSeeds: 500,
    createEngine: (c) => new PromisesWithoutDecided(c),
  },
  {
    name: "accepts a leader's log in parts",
    withinSeeds: 500,
    createEngine: (c) => new AcceptsInParts(c),
  },
  {
    name: "acknowledges before durable",
    withinSeeds: 500,
    createEngine: (c) => new AcknowledgesBeforeDurable(c),
  },
  {
    name: "answers reads without asking a quorum",
    withinSeeds: 500,
    createEngine: (c) => new ReadsWithoutQuorum(c),
  },
  {
    name: "writes behind a stop-sign before it is decided",
    withinSeeds: 500,
    createEngine: (c) => new WritesBehindStopSigns(c),
  },
];
