// `quorate simulate`: hands over to the simulation, which is not loaded for any other command.

import { optionalPart } from "./optional.js";

export interface SimulateOptions {
  readonly engine: string;
  readonly seed?: number;
  readonly seeds?: number;
  readonly seconds?: number;
}

export type RunSimulation = (options: SimulateOptions) => Promise<number>;

/** Runs the simulation; returns the exit status. */
export async function runSimulate(options: SimulateOptions): Promise<number> {
  const url = new URL("../simulation/run.js", import.meta.url);
  optionalPart(url, "the simulation");
  const { runSimulation } = (await import(url.href)) as { runSimulation: RunSimulation };
  return await runSimulation(options);
}
