// The body of `quorate simulate`: runs one seed, a number of seeds, or as many as fit into some seconds,
// and says how it went. A failing seed is run again for the trace of its last steps. Exit status 0 only
// when nothing failed.

import { coverageNames } from "./coverage.js";
import { engineNames, withEngine } from "./engines.js";
import { SimulationFailure, type SimulationOptions, simulate, simulateMany } from "./simulate.js";

export interface RunOptions {
  readonly engine: string;
  /** Runs this one alone. */
  readonly seed?: number;
  /** Runs so many, from `firstSeed` on. */
  readonly seeds?: number;
  /** Runs until so many seconds have passed; with `seeds`, whichever ends first. */
  readonly seconds?: number;
  /** Default 1 with `seeds`; drawn from the clock with `seconds`, so that every run covers new ground. */
  readonly firstSeed?: number;
  /** Prints every step of the one seed. */
  readonly trace?: boolean;
  readonly write: (line: string) => void;
  /** Milliseconds; default: the process's own clock. */
  readonly nowMs?: () => number;
}

const traceLines = 60;
const progressMs = 5000;

/** @returns the exit status: 0 all well, 1 a seed failed, 2 the request makes no sense. */
export function runSimulation(options: RunOptions): number {
  const fault = faultOf(options);
  if (fault !== undefined) {
    options.write(fault);
    return 2;
  }
  const status = withEngine(options.engine, (engine) =>
    options.seed === undefined ? runMany(engine, options) : runOne(engine, options, options.seed),
  );
  if (status !== undefined) return status;
  options.write(`there is no engine "${options.engine}"; known: ${engineNames.join(", ")}`);
  return 2;
}

function faultOf({ seed, seeds, seconds, firstSeed }: RunOptions): string | undefined {
  for (const [name, value] of Object.entries({ seed, seeds, firstSeed })) {
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 0)) {
      return `${name} must be a whole number from 0 on, not ${value}`;
    }
  }
  if (seconds !== undefined && !(seconds > 0)) return `seconds must be above 0, not ${seconds}`;
  return undefined;
}

function runOne<M>(engine: SimulationOptions<M>, { write, trace }: RunOptions, seed: number): number {
  try {
    const report = simulate({ ...engine, seed }, trace === true ? write : undefined);
    write(
      `seed ${seed} passed: ${report.steps} steps, ${report.committed} entries committed, ` +
        `${report.simulatedSeconds.toFixed(1)} simulated seconds, trace ${report.traceHash}`,
    );
    for (const name of coverageNames) write(`  ${name} ${report.coverage[name]}`);
    return 0;
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    if (trace !== true) writeTail(engine, seed, write);
    write(describe(error));
    return 1;
  }
}

function runMany<M>(engine: SimulationOptions<M>, options: RunOptions): number {
  const { seconds, write, nowMs = () => performance.now() } = options;
  const seeds = options.seeds ?? (seconds === undefined ? 100 : Number.POSITIVE_INFINITY);
  const firstSeed = options.firstSeed ?? (seconds === undefined ? 1 : Date.now());
  write(`engine ${engine.engine}, seeds from ${firstSeed}`);
  const begun = nowMs();
  let toldAt = begun;
  let done = 0;
  try {
    const report = simulateMany({
      ...engine,
      firstSeed,
      seeds,
      until: () => seconds !== undefined && nowMs() - begun >= seconds * 1000,
      onProgress: () => {
        done++;
        if (nowMs() - toldAt < progressMs) return;
        toldAt = nowMs();
        write(`${done} seeds passed, ${rate(done, toldAt - begun)} seeds/s`);
      },
    });
    const elapsed = nowMs() - begun;
    write(
      `${report.seeds} seeds passed in ${(elapsed / 1000).toFixed(1)} s: ${rate(report.seeds, elapsed)} seeds/s, ` +
        `${rate(report.simulatedSeconds, elapsed)} simulated seconds/s, ${report.steps} steps, ` +
        `${report.committed} entries committed`,
    );
    for (const name of coverageNames) write(`  ${name} ${report.coverage[name]}`);
    return 0;
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    writeTail(engine, error.seed, write);
    write(`${done} seeds passed before this one`);
    write(describe(error));
    return 1;
  }
}

/** Runs the failing seed again for its last steps. */
function writeTail<M>(engine: SimulationOptions<M>, seed: number, write: (line: string) => void): void {
  const tail: string[] = [];
  try {
    simulate({ ...engine, seed }, (line) => {
      tail.push(line);
      if (tail.length > 2 * traceLines) tail.splice(0, traceLines);
    });
    write(`seed ${seed} passes when run again: the simulation is not deterministic`);
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    for (const line of tail.slice(-traceLines)) write(line);
  }
}

function describe(failure: SimulationFailure): string {
  const { cause } = failure;
  return cause.name === "Violation" ? failure.message : `${failure.message}\n${cause.stack ?? cause.message}`;
}

function rate(count: number, elapsedMs: number): string {
  return elapsedMs <= 0 ? "-" : ((count * 1000) / elapsedMs).toFixed(1);
}
