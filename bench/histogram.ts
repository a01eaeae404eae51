// A latency histogram with three significant digits: counts by microsecond, in buckets whose width
// doubles with the value, so that every bucket is at most 1/1024 of what it holds. Recording is a few
// array operations; memory is fixed. Values above 2^31 - 1 microseconds (36 minutes) count as that.

const linearLimit = 2048;
const perOctave = 1024;
const highestMicros = 2 ** 31 - 1;
const buckets = bucketOf(highestMicros) + 1;

/** Bucket of a whole number of microseconds in [0, highestMicros]. */
function bucketOf(micros: number): number {
  if (micros < linearLimit) return micros;
  const shift = 21 - Math.clz32(micros);
  return shift * perOctave + (micros >>> shift);
}

/** Largest value that falls into the bucket. */
function highestOf(bucket: number): number {
  if (bucket < linearLimit) return bucket;
  const shift = Math.floor(bucket / perOctave) - 1;
  return ((bucket % perOctave) + perOctave + 1) * 2 ** shift - 1;
}

export interface LatencySummary {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export class LatencyHistogram {
  private readonly counts = new Float64Array(buckets);
  private total = 0;
  private sumMicros = 0;
  private largestMicros = 0;

  get count(): number {
    return this.total;
  }

  /** Adds one latency; negative ones, from a clock that went back, count as 0. */
  record(ms: number): void {
    const micros = Math.min(highestMicros, Math.max(0, Math.round(ms * 1000)));
    const bucket = bucketOf(micros);
    this.counts[bucket] = this.counts[bucket]! + 1;
    this.total++;
    this.sumMicros += micros;
    if (micros > this.largestMicros) this.largestMicros = micros;
  }

  /** Latency in ms that the given share (0 to 1) of all does not exceed; 0 when empty. */
  quantileMs(share: number): number {
    const rank = Math.min(this.total, Math.max(1, Math.ceil(share * this.total)));
    let seen = 0;
    for (let bucket = 0; bucket < buckets && this.total > 0; bucket++) {
      seen += this.counts[bucket]!;
      if (seen >= rank) return Math.min(highestOf(bucket), this.largestMicros) / 1000;
    }
    return 0;
  }

  summary(): LatencySummary {
    return {
      count: this.total,
      meanMs: this.total === 0 ? 0 : this.sumMicros / this.total / 1000,
      p50Ms: this.quantileMs(0.5),
      p90Ms: this.quantileMs(0.9),
      p99Ms: this.quantileMs(0.99),
      p999Ms: this.quantileMs(0.999),
      maxMs: this.largestMicros / 1000,
    };
  }
}
