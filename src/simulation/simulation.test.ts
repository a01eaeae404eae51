// The simulation itself: that a seed is a run, that runs go where bugs live, and what a failure says.

import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { EngineConfig } from "../consensus/engine.js";
import { createPaxos } from "../consensus/paxos/paxos.js";
import type { RaftMessage } from "../consensus/raft/messages.js";
import { createRaft } from "../consensus/raft/raft.js";
import { coverageNames } from "./coverage.js";
import { mutations } from "./mutations/mutations.js";
import { runSimulation } from "./run.js";
import {
  type BatchReport,
  SimulationFailure,
  type SimulationOptions,
  simulate,
  simulateMany,
} from "./simulate.js";

const raft: SimulationOptions<RaftMessage> = { engine: "raft", createEngine: createRaft };
const lossy = { engine: "raft", createEngine: mutations[1]!.createEngine };

describe("a simulated cluster", () => {
  it("does exactly the same again from the same seed", () => {
    for (const seed of [1, 2, 3, 77, 4_000_000_000_123]) {
      assert.deepEqual(simulate({ ...raft, seed }), simulate({ ...raft, seed }));
    }
  });

  it("takes the same course whether or not somebody listens to its trace", () => {
    let lines = 0;
    const traced = simulate({ ...raft, seed: 5 }, () => lines++);
    assert.deepEqual(simulate({ ...raft, seed: 5 }), traced);
    assert.ok(lines > traced.steps);
  });

  it("does something else from another seed", () => {
    const hashes = [1, 2, 3, 2 ** 32 + 1].map((seed) => simulate({ ...raft, seed }).traceHash);
    assert.equal(new Set(hashes).size, hashes.length);
  });

  const everything = (context: TestContext, report: BatchReport, seeds: number) => {
    assert.equal(report.seeds, seeds);
    assert.equal(report.coverage.livenessReached, seeds);
    for (const name of coverageNames) {
      context.diagnostic(`${name} ${report.coverage[name]}`);
      assert.ok(report.coverage[name] > 0, `no run reached: ${name}`);
    }
    assert.ok(report.coverage.elections > 5 * seeds, "several elections a run");
    assert.ok(report.coverage.writesAcknowledged > 50 * seeds, "much of the workload is served");
  };

  it("of Raft keeps every invariant, becomes live again, and goes wherever bugs live", (context) => {
    everything(context, simulateMany({ ...raft, seeds: 200 }), 200);
  });

  it("of Multi-Paxos keeps every invariant, becomes live again, and goes wherever bugs live", (context) => {
    const paxos = { engine: "multi-paxos", createEngine: (config: EngineConfig) => createPaxos(config) };
    everything(context, simulateMany({ ...paxos, seeds: 200 }), 200);
  });
});

describe("a failure", () => {
  it("names seed, step, what was expected and found, and the command that replays it", () => {
    const fail = () => {
      simulateMany({ ...lossy, seeds: 50 });
      return undefined;
    };
    assert.throws(fail, (error) => {
      assert.ok(error instanceof SimulationFailure);
      assert.equal(error.invariant, "committed is durable on a quorum");
      assert.match(error.message, /^seed \d+, step \d+, [\d.]+ ms: .*: expected .*; found .*/);
      assert.equal(error.replay, `quorate simulate --engine raft --seed ${error.seed}`);
      const again = assert.throws(
        () => simulate({ ...lossy, seed: error.seed }),
        (second) => second instanceof SimulationFailure && second.message === error.message,
      );
      return again === undefined;
    });
  });
});

describe("quorate simulate", () => {
  const run = (options: Omit<Parameters<typeof runSimulation>[0], "write">) => {
    const lines: string[] = [];
    return { status: runSimulation({ ...options, write: (line) => lines.push(line) }), lines };
  };

  it("runs as many seeds as asked and says how fast", () => {
    const { status, lines } = run({ engine: "raft", seeds: 3 });
    assert.equal(status, 0);
    assert.match(lines.join("\n"), /3 seeds passed in .* seeds\/s, .* simulated seconds\/s/);
  });

  it("runs until its time is over", () => {
    let now = 0;
    const { status, lines } = run({ engine: "raft", seconds: 2, firstSeed: 9, nowMs: () => (now += 500) });
    assert.equal(status, 0);
    assert.match(lines.join("\n"), /seeds from 9\n([1-4] seeds .*\n)*[1-4] seeds passed in/);
  });

  it("runs one seed and prints its trace when asked", () => {
    const { status, lines } = run({ engine: "raft", seed: 4 });
    assert.equal(status, 0);
    assert.match(lines[0]!, /^seed 4 passed: \d+ steps/);
    assert.ok(run({ engine: "raft", seed: 4, trace: true }).lines.length > 1000);
  });

  it("refuses an unknown engine and senseless numbers", () => {
    assert.equal(run({ engine: "viewstamped", seeds: 1 }).status, 2);
    assert.equal(run({ engine: "raft", seed: -1 }).status, 2);
    assert.equal(run({ engine: "raft", seeds: 1.5 }).status, 2);
    assert.equal(run({ engine: "raft", seconds: 0 }).status, 2);
  });
});
