import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "../conformance/fuzz.js";
import { createPaxos } from "./paxos.js";

const SEEDS = Number(process.env.PAXOS_FUZZ_SEEDS ?? 60);
const FIRST = Number(process.env.PAXOS_FUZZ_FIRST ?? 1);

for (const membershipChanges of [false, true]) {
  for (const reorder of [false, true]) {
    const what = `${membershipChanges ? "a changing" : "a fixed"} membership, ${reorder ? "reordered" : "ordered"} messages`;
    test(`random schedules of Multi-Paxos keep every invariant and converge: ${what}`, () => {
      let applied = 0;
      let reads = 0;
      for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
        try {
          const report = fuzz({ create: createPaxos, seed, steps: 3000, membershipChanges, reorder });
          applied += report.applied;
          reads += report.reads;
        } catch (error) {
          throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
        }
      }
      assert.ok(applied > SEEDS * 10, `only ${applied} entries were applied`);
      assert.ok(reads > SEEDS, `only ${reads} reads were answered`);
    });
  }
}
