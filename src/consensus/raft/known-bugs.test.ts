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

for (const [name, Broken] of Object.entries(bugs)) {
  test(`random schedules notice an engine that ${name}`, () => {
    const create = (config: EngineConfig) => new Broken(config);
    for (let seed = 1; seed <= 300; seed++) {
      try {
        fuzz({ create, seed, steps: 3000, membershipChanges: false, reorder: true });
      } catch (error) {
        return;
      }
    }
    assert.fail("not noticed");
  });
}
