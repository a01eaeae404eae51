// `quorate simulate`: hands over to the simulation, which is not loaded for any other command.

export interface SimulateOptions {
  readonly engine: string;
  readonly seed?: number;
  readonly seeds?: number;
  readonly seconds?: number;
  readonly firstSeed?: number;
  readonly trace?: boolean;
}

/** Runs the simulation; returns the exit status. */
export async function runSimulate(options: SimulateOptions): Promise<number> {
  const { runSimulation } = await import("../simulation/run.js");
  return runSimulation({ ...options, write: (line) => void process.stdout.write(`${line}\n`) });
}
