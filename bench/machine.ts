// The machine a figure was measured on, as a document should name it.
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from "node:os";

export interface Machine {
  readonly processors: number;
  readonly model: string;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  /** Processes that wanted to run, averaged over the last minute (0 where the system does not tell). */
  readonly load: number;
}

export function thisMachine(): Machine {
  return {
    processors: availableParallelism(),
    model: cpus()[0]?.model.trim() ?? "unknown processor",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    node: process.version,
    load: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

/** One line for people. */
export function describeMachine({ processors, model, memoryGiB, system, node }: Machine): string {
  return `${processors} processors (${model}), ${memoryGiB} GiB, ${system}, Node ${node}`;
}

/** A warning when other work will blur what is measured; undefined on a quiet machine. */
export function busyWarning({ load, processors }: Machine): string | undefined {
  if (load <= processors / 4) return undefined;
  return `warning: the machine is busy (load ${load} on ${processors} processors); expect a wide spread`;
}
