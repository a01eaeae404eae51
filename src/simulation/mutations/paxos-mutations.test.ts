// As mutations.test.ts, for Multi-Paxos: every known bug, put back, is caught by what it does, and the
// engine without it passes the seed that caught it.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createPaxos } from "../../consensus/paxos/paxos.js";
import { SimulationFailure, simulate } from "../simulate.js";
import { paxosMutations } from "./paxos-mutations.js";

describe("the simulation", () => {
  for (const { name, withinSeeds, createEngine } of paxosMutations) {
    it(`catches a Multi-Paxos that ${name}`, (context) => {
      for (let seed = 1; seed <= withinSeeds; seed++) {
        try {
          simulate({ engine: "multi-paxos", createEngine, seed });
        } catch (error) {
          assert.ok(error instanceof SimulationFailure, String(error));
          // The engine's own assertions may notice first; what counts is what is seen from outside.
          if (error.cause.name !== "Violation") continue;
          context.diagnostic(`seed ${seed}: ${error.invariant}: ${error.cause.message}`);
          // The bug is what was found: without it the same seed passes.
          simulate({ engine: "multi-paxos", createEngine: (config) => createPaxos(config), seed });
          return;
        }
      }
      assert.fail(`not caught within ${withinSeeds} seeds`);
    });
  }
});
