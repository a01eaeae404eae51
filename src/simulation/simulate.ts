// Runs seeds. One seed derives everything about its run; a failure says what was expected, what was
// found, at which step, and the one command that shows it again.

import type { Engine, EngineConfig } from "../consensus/engine.js";
import { Coverage, type CoverageCounts } from "./coverage.js";
import { Violation } from "./invariants/invariant.js";
import { World } from "./world.js";

export type EngineFactory<M> = (config: EngineConfig) => Engine<M>;

export interface SimulationOptions<M> {
  /** As the command line knows it; part of the replay command. */
  readonly engine: string;
  readonly createEngine: EngineFactory<M>;
  /** Names of invariants that are not asked; for proofs that the others notice too. */
  readonly without?: readonly string[];
}

export interface SimulationReport {
  readonly seed: number;
  /** Inputs given to engines, and events of nodes. */
  readonly steps: number;
  readonly simulatedSeconds: number;
  /** Of everything that happened: equal for equal seeds. */
  readonly traceHash: string;
  readonly committed: number;
  readonly coverage: CoverageCounts;
}

export interface BatchReport {
  readonly seeds: number;
  readonly steps: number;
  readonly simulatedSeconds: number;
  readonly committed: number;
  readonly coverage: CoverageCounts;
}

/** A run went wrong: an invariant, a promise to clients, liveness, or an assertion of the engine. */
export class SimulationFailure extends Error {
  override readonly name = "SimulationFailure";

  constructor(
    readonly seed: number,
    readonly step: number,
    readonly simulatedUs: number,
    /** Name of the invariant, or of the error that ended the run. */
    readonly invariant: string,
    readonly replay: string,
    override readonly cause: Error,
  ) {
    super(
      `seed ${seed}, step ${step}, ${(simulatedUs / 1000).toFixed(3)} ms: ${invariant}: ${cause.message}\n` +
        `replay: ${replay}`,
    );
  }
}

/**
 * Runs one seed.
 * @param trace takes one line for every step.
 * @throws SimulationFailure
 */
export function simulate<M>(
  options: SimulationOptions<M> & { readonly seed: number },
  trace?: (line: string) => void,
): SimulationReport {
  const { engine, createEngine, seed, without = [] } = options;
  const world = new World(seed, createEngine, trace === undefined ? { without } : { trace, without });
  try {
    world.run();
  } catch (error) {
    const cause = error instanceof Error ? error : new Error(String(error));
    const invariant =
      world.checker.violatedInvariant ??
      (cause instanceof Violation ? cause.property : undefined) ??
      cause.name;
    const replay = `quorate simulate --engine ${engine} --seed ${seed}`;
    throw new SimulationFailure(seed, world.trace.steps, world.agenda.now, invariant, replay, cause);
  }
  return {
    seed,
    steps: world.trace.steps,
    simulatedSeconds: world.agenda.now / 1e6,
    traceHash: world.trace.hash,
    committed: world.ledger.lastIndex,
    coverage: world.coverage.counts,
  };
}

/**
 * Runs seeds from `firstSeed` on, until there are no more or `until` says so.
 * @throws SimulationFailure for the first that fails.
 */
export function simulateMany<M>(
  options: SimulationOptions<M> & {
    readonly firstSeed?: number;
    readonly seeds?: number;
    /** Asked before every seed. */
    readonly until?: () => boolean;
    readonly onProgress?: (report: SimulationReport) => void;
  },
): BatchReport {
  const coverage = new Coverage();
  const { firstSeed = 1, seeds = Number.POSITIVE_INFINITY } = options;
  let done = 0;
  let steps = 0;
  let simulatedSeconds = 0;
  let committed = 0;
  for (; done < seeds && options.until?.() !== true; done++) {
    const report = simulate({ ...options, seed: firstSeed + done });
    coverage.add(report.coverage);
    steps += report.steps;
    simulatedSeconds += report.simulatedSeconds;
    committed += report.committed;
    options.onProgress?.(report);
  }
  return { seeds: done, steps, simulatedSeconds, committed, coverage: coverage.counts };
}
