// Before a checker is trusted, known bugs are put back and must be seen (docs/testing.md).
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "../conformance/fuzz.js";
import type { EngineConfig } from "../engine.js";
import { Raft } from "./raft.js";

class AcknowledgesAtOnce extends Raft {
  protected override acknowledgeWhen(): "durable" | "now" {
    return "now";
  }
}

class CutsOnEveryAppend extends Raft {
  protected override conflicts(): boolean {
    return true;
  }
}

class ForgetsItsVote extends Raft {
  protected override voteAfterStepDown(): number {
    return 0;
  }
}

const bugs = { AcknowledgesAtOnce, CutsOnEveryAppend, ForgetsItsVote };

/** The seed with which the schedules show the bug, undefined when none of `seeds` does. */
function noticedWith(create: (config: EngineConfig) => Raft, seeds: number): number | undefined {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      fuzz({ create, seed, steps: 3000, membershipChanges: false, reorder: true });
    } catch (error) {
      assert.match((error as Error).name, /ConformanceError|InvariantViolation/);
      return seed;
    }
  }
  return undefined;
}

for (const [name, Broken] of Object.entries(bugs)) {
  test(`random schedules notice an engine that ${name}`, () => {
    assert.notEqual(
      noticedWith((config) => new Broken(config), 600),
      undefined,
    );
  });
}
