// When an open-loop run sends: at a given rate, whether or not earlier requests have been answered.
// Latency counts from the intended time, so a server that stalls is charged for every request that
// had to wait because of it (no coordinated omission).

export interface Clock {
  /** Milliseconds, never going back. */
  now(): number;
  /** Runs once, not before `atMs`; the function returned cancels. */
  wake(atMs: number, run: () => void): () => void;
}

export class OpenLoopSchedule {
  private taken = 0;

  constructor(
    private readonly ratePerSecond: number,
    private readonly startMs: number,
  ) {
    if (!(ratePerSecond > 0)) throw new RangeError("the rate must be above 0");
  }

  /** Intended time of the next request. Computed from the start, so rounding does not accumulate. */
  get nextMs(): number {
    return this.startMs + (this.taken * 1000) / this.ratePerSecond;
  }

  /** Takes the next request if its time has come and returns the intended time, else undefined. */
  take(nowMs: number): number | undefined {
    const intended = this.nextMs;
    if (intended > nowMs) return undefined;
    this.taken++;
    return intended;
  }
}
