// What the writers of a test did and learned, and the judgement of what a cluster shows afterwards:
// every acknowledged write is there at the revision it was acknowledged with, nothing is there twice,
// nothing that nobody wrote, and revisions never contradict the order in which clients saw things.

/** One write: of the unique key w/<writer>/<k>, and of w/<writer>/latest where the workload says so. */
export interface Write {
  readonly writer: number;
  readonly k: number;
  /** performance.now() before the request left. */
  readonly begunAt: number;
  /** When somebody learned that it happened (an answer, or a read that showed it); infinite before. */
  knownAt: number;
  /** Revision it happened at; 0 while nobody knows. */
  revision: number;
  /** It was answered with OK. */
  acknowledged: boolean;
}

/** A key and its value as read, revisions as plain numbers. */
export interface Row {
  readonly key: string;
  readonly value: string;
  readonly created: number;
  readonly modified: number;
  readonly version: number;
}

/** All rows below w/ at one revision. */
export interface Snapshot {
  readonly rows: readonly Row[];
  readonly revision: number;
  /** performance.now() before the read was asked for, and after its answer. */
  readonly begunAt: number;
  readonly endedAt: number;
}

export const prefix = "w/";
export const keyOf = (writer: number, k: number): string => `${prefix}${writer}/${k}`;
export const latestOf = (writer: number): string => `${prefix}${writer}/latest`;
export const contentOf = (writer: number, k: number): string => `${writer}:${k}:`.padEnd(64, "·");

/** Problems beyond this many are counted, not listed. */
const problemLimit = 20;

export class WriteHistory {
  private readonly writers: Write[][];
  private readonly found: string[] = [];
  private foundCount = 0;
  /** Highest acknowledged revision of each writer, and of all. */
  readonly floors: number[];
  floor = 0;

  constructor(
    writers: number,
    /** Every write also puts its k under the writer's `latest`. */
    readonly latest: boolean,
  ) {
    this.writers = Array.from({ length: writers }, () => []);
    this.floors = new Array<number>(writers).fill(0);
  }

  begin(writer: number, at: number): Write {
    const writes = this.writers[writer]!;
    const write: Write = {
      writer,
      k: writes.length,
      begunAt: at,
      knownAt: Number.POSITIVE_INFINITY,
      revision: 0,
      acknowledged: false,
    };
    writes.push(write);
    return write;
  }

  acknowledge(write: Write, revision: number, at: number): void {
    // A read may have shown it before its answer came.
    if (write.revision !== 0 && write.revision !== revision) {
      this.problem(`${name(write)} acknowledged at revision ${revision}, read at ${write.revision}`);
    }
    const before = this.floors[write.writer]!;
    if (revision <= before) {
      this.problem(`${name(write)} acknowledged at revision ${revision}, an earlier write at ${before}`);
    }
    write.acknowledged = true;
    write.revision = revision;
    write.knownAt = Math.min(write.knownAt, at);
    this.floors[write.writer] = Math.max(before, revision);
    this.floor = Math.max(this.floor, revision);
  }

  problem(text: string): void {
    this.foundCount++;
    if (this.found.length < problemLimit) this.found.push(text);
  }

  get acknowledged(): number {
    return this.all().reduce((count, write) => count + (write.acknowledged ? 1 : 0), 0);
  }

  get begun(): number {
    return this.writers.reduce((count, writes) => count + writes.length, 0);
  }

  /** Acknowledgements between two moments, per second. */
  rate(from: number, to: number): number {
    const count = this.all().filter(
      (write) => write.acknowledged && write.knownAt >= from && write.knownAt < to,
    );
    return Math.round((count.length * 1000) / (to - from));
  }

  /** Milliseconds that acknowledged writes begun at or after `from` took, shortest first. */
  latencies(from: number): number[] {
    const counted = this.all().filter((write) => write.acknowledged && write.begunAt >= from);
    return counted.map((write) => write.knownAt - write.begunAt).sort((a, b) => a - b);
  }

  /** Holds what a linearizable read showed (or any read of a node known to have caught up) against the history. */
  compare(snapshot: Snapshot, by: string): void {
    const seen = new Map<string, Row>();
    for (const row of snapshot.rows) {
      if (seen.has(row.key)) this.problem(`${by}: ${row.key} listed twice`);
      seen.set(row.key, row);
    }
    for (const [writer, writes] of this.writers.entries()) {
      let present = 0;
      let last: Write | undefined;
      for (const write of writes) {
        const row = seen.get(keyOf(writer, write.k));
        seen.delete(keyOf(writer, write.k));
        if (row !== undefined) {
          present++;
          this.compareRow(write, row, snapshot, by);
          if (last === undefined || row.modified > last.revision) last = write;
        } else if (write.knownAt < snapshot.begunAt) {
          this.problem(
            `${by}: ${name(write)} is lost, known to be at revision ${write.revision}, read at ${snapshot.revision}`,
          );
        }
      }
      if (!this.latest) continue;
      this.compareLatest(writer, seen.get(latestOf(writer)), present, last, by);
      seen.delete(latestOf(writer));
    }
    for (const key of seen.keys()) this.problem(`${by}: ${key} was never written`);
  }

  private compareRow(write: Write, row: Row, snapshot: Snapshot, by: string): void {
    const { modified, created, version, value } = row;
    if (version !== 1 || created !== modified) {
      this.problem(
        `${by}: ${name(write)} was applied ${version} times, at revisions ${created} to ${modified}`,
      );
    }
    if (value !== contentOf(write.writer, write.k)) {
      this.problem(`${by}: ${name(write)} has the value ${JSON.stringify(value)}`);
    }
    if (modified > snapshot.revision) {
      this.problem(
        `${by}: ${name(write)} is of revision ${modified}, above that of the read, ${snapshot.revision}`,
      );
    }
    if (write.revision === 0) {
      write.revision = modified;
      write.knownAt = snapshot.endedAt;
    } else if (write.revision !== modified) {
      this.problem(`${by}: ${name(write)} is at revision ${modified}, was known to be at ${write.revision}`);
    }
  }

  private compareLatest(
    writer: number,
    row: Row | undefined,
    present: number,
    last: Write | undefined,
    by: string,
  ): void {
    if (row === undefined || last === undefined) {
      if (present > 0 || row !== undefined) {
        this.problem(
          `${by}: writer ${writer} has ${present} keys, and its latest is ${row?.value ?? "missing"}`,
        );
      }
      return;
    }
    if (row.version !== present) {
      this.problem(`${by}: writer ${writer} wrote its latest ${row.version} times, but has ${present} keys`);
    }
    if (row.modified !== last.revision || row.value !== String(last.k)) {
      this.problem(
        `${by}: writer ${writer} has latest ${row.value} at revision ${row.modified}, its newest key is ${last.k} at ${last.revision}`,
      );
    }
  }

  /**
   * Holds the known writes against each other: no revision twice, and a write that began after
   * another was known to have happened has the higher revision, whoever made them.
   */
  checkOrder(): void {
    const known = this.all().filter((write) => write.revision !== 0);
    const byRevision = new Map<number, Write>();
    for (const write of known) {
      const other = byRevision.get(write.revision);
      if (other !== undefined)
        this.problem(`${name(write)} and ${name(other)} share revision ${write.revision}`);
      byRevision.set(write.revision, write);
    }
    const byKnowledge = [...known].sort((a, b) => a.knownAt - b.knownAt);
    const byBeginning = known.sort((a, b) => a.begunAt - b.begunAt);
    let newest: Write | undefined;
    let at = 0;
    for (const write of byBeginning) {
      for (; at < byKnowledge.length && byKnowledge[at]!.knownAt < write.begunAt; at++) {
        if (newest === undefined || byKnowledge[at]!.revision > newest.revision) newest = byKnowledge[at];
      }
      if (newest !== undefined && newest.revision > write.revision) {
        this.problem(
          `${name(write)} began after ${name(newest)} was known at revision ${newest.revision}, but is at ${write.revision}`,
        );
      }
    }
  }

  /** Throws with everything found wrong so far. */
  assertSound(): void {
    this.checkOrder();
    if (this.foundCount === 0) return;
    throw new Error(`${this.foundCount} contradictions:\n${this.found.join("\n")}`);
  }

  private all(): Write[] {
    return this.writers.flat();
  }
}

const name = (write: Write): string => keyOf(write.writer, write.k);
