// Counts failed calls by status and message. Bounded: messages that differ in every call (a revision,
// an address) end up in one line of their own.
import { Status } from "../src/rpc/call.js";

const distinctLimit = 50;

export interface FailureCount {
  readonly status: string;
  readonly message: string;
  readonly count: number;
}

const statusNames: ReadonlyMap<number, string> = new Map(
  Object.entries(Status).map(([name, code]) => [code, name]),
);

export class FailureTally {
  private readonly counts = new Map<string, { status: string; message: string; count: number }>();
  private sum = 0;

  get total(): number {
    return this.sum;
  }

  add(code: number, message: string): void {
    this.addNamed(statusNames.get(code) ?? `status ${code}`, message, 1);
  }

  /** Adds what another run counted. */
  addAll(failures: readonly FailureCount[]): void {
    for (const { status, message, count } of failures) this.addNamed(status, message, count);
  }

  private addNamed(status: string, message: string, count: number): void {
    this.sum += count;
    const exact = this.counts.get(`${status} ${message}`);
    if (exact !== undefined) exact.count += count;
    else if (this.counts.size < distinctLimit)
      this.counts.set(`${status} ${message}`, { status, message, count });
    else this.addOther(status, count);
  }

  private addOther(status: string, count: number): void {
    const other = this.counts.get(`${status} `) ?? { status, message: "(other messages)", count: 0 };
    other.count += count;
    this.counts.set(`${status} `, other);
  }

  /** Most frequent first. */
  list(): FailureCount[] {
    return [...this.counts.values()].sort((a, b) => b.count - a.count);
  }
}
