// Decides when an fdatasync may run on the event loop. A lone small batch then skips two thread hops,
// which is most of what a fast disk takes; the loop must not pay for it when the disk is slow or busy.

/** Slower syncs than this stay on the pool. */
const FAST_MS = 1;
/** Larger batches mean load, and load gains nothing from a blocked loop. */
const SMALL_BYTES = 8 * 1024;
/** The loop is blocked for at most one part in this many. */
const SHARE = 3;
/** Weight of the newest duration in the running average. */
const NEWEST = 1 / 8;

export class SyncPolicy {
  readonly #enabled: boolean;
  readonly #now: () => number;
  /** Running average, starting at "unknown, so assume slow". */
  #averageMs = Number.POSITIVE_INFINITY;
  #lastMs = Number.POSITIVE_INFINITY;
  /** No sync on the loop before this moment. */
  #notBefore = 0;

  constructor(enabled: boolean, now: () => number) {
    this.#enabled = enabled;
    this.#now = now;
  }

  /** A sync took so long, on the loop or on the pool. */
  took(durationMs: number, inline: boolean): void {
    this.#averageMs = Number.isFinite(this.#averageMs)
      ? this.#averageMs + (durationMs - this.#averageMs) * NEWEST
      : durationMs;
    this.#lastMs = durationMs;
    if (inline) this.#notBefore = this.#now() + durationMs * (SHARE - 1);
  }

  /** Whether the next sync, of so many bytes with nothing else waiting, may run on the loop. */
  inline(bytes: number): boolean {
    return (
      this.#enabled &&
      bytes <= SMALL_BYTES &&
      this.#averageMs < FAST_MS &&
      this.#lastMs < FAST_MS &&
      this.#now() >= this.#notBefore
    );
  }
}
