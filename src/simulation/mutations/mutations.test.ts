// A checker that has never caught anything proves nothing: every known bug, put back into the engine, is
// caught within its number of seeds by what it does, and the engine without it passes the seeds that caught it.
// (simulation.test.ts runs the unchanged engine over a whole batch of seeds.)

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRaft } from "../../consensus/raft/raft.js";
import { SimulationFailure, simulate } from "../simulate.js";
import { mutations } from "./mutations.js";

describe("the simulation", () => {
  for (const { name, withinSeeds, createEngine } of mutations) {
    it(`catches a Raft that ${name}`, (context) => {
      for (let seed = 1; seed <= withinSeeds; seed++) {
        try {
          simulate({ engine: "raft", createEngine, seed });
        } catch (error) {
          assert.ok(error instanceof SimulationFailure, String(error));
          // The engine's own assertions may notice first; what counts is what is seen from outside.
          if (error.cause.name !== "Violation") continue;
          context.diagnostic(`seed ${seed}: ${error.invariant}: ${error.cause.message}`);
          // The bug is what was found: without it the same seed passes.
          simulate({ engine: "raft", createEngine: createRaft, seed });
          return;
        }
      }
      assert.fail(`not caught within ${withinSeeds} seeds`);
    });
  }
});
