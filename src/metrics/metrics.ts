// Counters, gauges and histograms that cost a few nanoseconds to update: plain numbers and typed
// arrays, turned into Prometheus text only when scraped. prom-client holds the registry, the process
// metrics and the exposition format; these classes plug into it.

import type { MetricObjectWithValues, MetricValue, Registry } from "prom-client";

interface Scraped {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  values(): MetricValue<string>[];
}

/** Adapts one of our metrics to what Registry.registerMetric expects. */
function enroll(registry: Registry, metric: Scraped): void {
  const adapter = {
    name: metric.name,
    get: async (): Promise<MetricObjectWithValues<MetricValue<string>>> =>
      ({
        name: metric.name,
        help: metric.help,
        type: metric.type,
        aggregator: "sum",
        values: metric.values(),
      }) as unknown as MetricObjectWithValues<MetricValue<string>>,
    reset: (): void => {},
  };
  registry.registerMetric(adapter as never);
}

/** A monotonic count. */
export class FastCounter {
  value = 0;
  constructor(registry: Registry, name: string, help: string) {
    enroll(registry, { name, help, type: "counter", values: () => [{ value: this.value, labels: {} }] });
  }
  add(amount = 1): void {
    this.value += amount;
  }
}

/** A value read when scraped. */
export class FastGauge {
  constructor(registry: Registry, name: string, help: string, read: () => number) {
    enroll(registry, { name, help, type: "gauge", values: () => [{ value: read(), labels: {} }] });
  }
}

/** Counters told apart by labels; children are created once and kept by the caller. */
export class FastCounterFamily<L extends string> {
  private readonly children = new Map<string, { labels: Record<string, string>; value: number }>();
  constructor(
    registry: Registry,
    name: string,
    help: string,
    private readonly labelNames: readonly L[],
  ) {
    enroll(registry, { name, help, type: "counter", values: () => [...this.children.values()] });
  }
  /** The child with these label values, in the order of the names. */
  child(...values: string[]): { value: number } {
    const key = values.join("\0");
    let child = this.children.get(key);
    if (child === undefined) {
      child = {
        labels: Object.fromEntries(this.labelNames.map((name, at) => [name, values[at] ?? ""])),
        value: 0,
      };
      this.children.set(key, child);
    }
    return child;
  }
}

/** One series of a histogram. */
export class HistogramSeries {
  readonly counts: Float64Array;
  sum = 0;
  count = 0;
  constructor(
    readonly bounds: Float64Array,
    readonly labels: Record<string, string>,
  ) {
    this.counts = new Float64Array(bounds.length + 1);
  }
  observe(value: number, times = 1): void {
    const bounds = this.bounds;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.counts[at]! += times;
    this.sum += value * times;
    this.count += times;
  }
}

/** Histograms told apart by labels. Buckets are upper bounds in the unit of the metric (seconds). */
export class FastHistogram<L extends string = never> {
  private readonly series = new Map<string, HistogramSeries>();
  private readonly bounds: Float64Array;
  constructor(
    registry: Registry,
    private readonly name: string,
    help: string,
    bounds: readonly number[],
    private readonly labelNames: readonly L[] = [],
  ) {
    this.bounds = Float64Array.from(bounds);
    enroll(registry, { name, help, type: "histogram", values: () => this.values() });
  }
  child(...values: string[]): HistogramSeries {
    const key = values.join("\0");
    let child = this.series.get(key);
    if (child === undefined) {
      child = new HistogramSeries(
        this.bounds,
        Object.fromEntries(this.labelNames.map((name, at) => [name, values[at] ?? ""])),
      );
      this.series.set(key, child);
    }
    return child;
  }
  private values(): MetricValue<string>[] {
    const values: (MetricValue<string> & { metricName: string })[] = [];
    for (const series of this.series.values()) {
      let cumulative = 0;
      for (let at = 0; at <= this.bounds.length; at++) {
        cumulative += series.counts[at]!;
        const le = at < this.bounds.length ? String(this.bounds[at]) : "+Inf";
        values.push({
          metricName: `${this.name}_bucket`,
          value: cumulative,
          labels: { ...series.labels, le },
        });
      }
      values.push({ metricName: `${this.name}_sum`, value: series.sum, labels: series.labels });
      values.push({ metricName: `${this.name}_count`, value: series.count, labels: series.labels });
    }
    return values;
  }
}

/** `count` bounds from `start`, each `factor` times the one before. */
export function exponentialBounds(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => start * factor ** at);
}
