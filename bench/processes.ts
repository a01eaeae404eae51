// What a server process costs, from Linux's /proc: CPU time and resident memory. Elsewhere unknown.
import { existsSync, readFileSync } from "node:fs";

export interface ProcessCost {
  /** User and system time so far, in seconds. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

// The kernel reports times in units of 1/100 s to programs, whatever its own tick (man 5 proc, USER_HZ).
const ticksPerSecond = 100;

/** Reads utime and stime from the text of /proc/PID/stat; the name in brackets may hold anything. */
export function cpuSecondsOf(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Reads VmRSS from the text of /proc/PID/status. */
export function residentBytesOf(status: string): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

/** Undefined when the process is gone or the system has no /proc. */
export function processCost(pid: number): ProcessCost | undefined {
  if (!existsSync(`/proc/${pid}/stat`)) return undefined;
  try {
    return {
      cpuSeconds: cpuSecondsOf(readFileSync(`/proc/${pid}/stat`, "utf8")),
      residentBytes: residentBytesOf(readFileSync(`/proc/${pid}/status`, "utf8")),
    };
  } catch (error) {
    // It ended between the two looks.
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}
