// `quorate simulate`: hands over to the simulation, which is not loaded for any other command.

export interface SimulateOptions {
  readonly engine: string;
  readonly seed?: number;
  readonly seeds?: number;
  readonly seconds?: number;
}

export type RunSimulation = (options: SimulateOptions) => Promise<number>;

/** Runs the simulation; returns the exit status. */
export async function runSimulate(options: SimulateOptions): Promise<number> {
  const path = "../simulation/run.js";
  const { runSimulation } = (await import(path)) as { runSimulation: RunSimulation };
  return await runSimulation(options);
}
