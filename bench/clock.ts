// The clock and the CPU meter of this process, as the load generator takes them.
import type { Clock } from "./schedule.js";

export const systemClock: Clock = {
  now: () => performance.now(),
  wake: (atMs, run) => {
    const timer = setTimeout(run, Math.max(0, atMs - performance.now()));
    return () => clearTimeout(timer);
  },
};

/** User and system CPU time of this process so far, in microseconds. */
export function processCpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
