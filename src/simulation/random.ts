// The simulation's only source of chance: a small fast generator (sfc32) whose whole stream follows from
// the seed. Forks give each part of the world a stream of its own, so that one more draw in one place
// does not change what happens in another.

export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number) {
    this.a = seed >>> 0;
    this.b = Math.floor(seed / 2 ** 32) >>> 0;
    this.c = 0x9e3779b9;
    for (let i = 0; i < 15; i++) this.next32();
  }

  /** Uniform in [0, 2^32). */
  next32(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Uniform in [0, 1). */
  float(): number {
    return this.next32() / 2 ** 32;
  }

  /** Uniform integer in [0, count). */
  below(count: number): number {
    return Math.floor(this.float() * count);
  }

  /** Uniform integer in [low, high]. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.float() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** Exponentially distributed, rounded, at least 1. */
  exponential(mean: number): number {
    return 1 + Math.floor(-Math.log(1 - this.float()) * mean);
  }

  fork(): Random {
    return new Random(this.next32() + this.next32() * 2 ** 20);
  }
}
