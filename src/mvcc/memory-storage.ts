// Storage for tests: a store in memory, and a write-behind buffer whose writes happen when the test
// says so, so that a process can be killed between any two commits.

import type { KeyValueStore, ScanOptions, StoreOperation, WriteBehind } from "../storage/types.js";

type Row = readonly [key: Uint8Array, value: Uint8Array];

const text = (key: Uint8Array): string => Buffer.from(key).toString("latin1");

export class MemoryStore implements KeyValueStore {
  private readonly rows: Map<string, Uint8Array>;
  /** Turns of the loop that a read takes before it looks, and a scan between chunks. */
  slowness = 0;
  /** Rows a scan hands over at once, at most. */
  chunkRows = 1000;

  constructor(rows: Iterable<readonly [string, Uint8Array]> = []) {
    this.rows = new Map(rows);
  }

  copy(): MemoryStore {
    return new MemoryStore(this.rows);
  }

  async write(operations: readonly StoreOperation[]): Promise<void> {
    this.writeNow(operations);
  }

  writeNow(operations: readonly StoreOperation[]): void {
    for (const operation of operations) {
      if (operation.type === "put") this.rows.set(text(operation.key), Buffer.from(operation.value));
      else this.rows.delete(text(operation.key));
    }
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    await this.wait();
    return keys.map((key) => this.rows.get(text(key)));
  }

  /** Every row in order, as hexadecimal text. */
  dump(gte?: Uint8Array, lt?: Uint8Array): [string, string][] {
    return this.between(gte ?? Buffer.alloc(0), lt ?? Buffer.alloc(64, 255)).map(([key, value]) => [
      Buffer.from(key).toString("hex"),
      Buffer.from(value).toString("hex"),
    ]);
  }

  private between(gte: Uint8Array, lt: Uint8Array): Row[] {
    const [low, high] = [text(gte), text(lt)];
    return [...this.rows.entries()]
      .filter(([key]) => key >= low && key < high)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [Buffer.from(key, "latin1"), value]);
  }

  scan(options: ScanOptions): AsyncIterable<readonly Row[]> {
    let rows = this.between(options.gte, options.lt);
    if (options.reverse) rows.reverse();
    rows = rows.slice(0, options.limit ?? rows.length);
    const size = Math.min(this.chunkRows, options.chunkRows ?? this.chunkRows);
    const wait = (): Promise<void> => this.wait();
    return (async function* () {
      for (let at = 0; at < rows.length; at += size) {
        await wait();
        yield rows.slice(at, at + size);
      }
    })();
  }

  private async wait(): Promise<void> {
    for (let turn = 0; turn < this.slowness; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  async clearRange(gte: Uint8Array, lt: Uint8Array): Promise<void> {
    for (const [key] of this.between(gte, lt)) this.rows.delete(text(key));
  }

  async compactRange(): Promise<void> {}

  property(): string {
    return "";
  }

  async close(): Promise<void> {}
}

interface Commit {
  readonly index: number;
  readonly operations: StoreOperation[];
}

/** Writes nothing by itself: only in writeSome() and flush(). */
export class ManualBuffer implements WriteBehind {
  writtenIndex: number;
  /** While true, flush() waits for writeSome() to write everything. */
  held = false;
  private readonly flushing: (() => void)[] = [];
  private open: StoreOperation[] = [];
  private readonly commits: Commit[] = [];

  constructor(
    private readonly store: MemoryStore,
    initialIndex: number,
  ) {
    this.writtenIndex = initialIndex;
  }

  get durableIndex(): number {
    return this.writtenIndex;
  }
  get bufferedBytes(): number {
    return this.commits.length;
  }
  readonly overloaded = false;

  put(key: Uint8Array, value: Uint8Array): void {
    this.open.push({ type: "put", key: Buffer.from(key), value: Buffer.from(value) });
  }

  del(key: Uint8Array): void {
    this.open.push({ type: "del", key: Buffer.from(key) });
  }

  get(key: Uint8Array): Uint8Array | null | undefined {
    const all = [...this.commits.flatMap(({ operations }) => operations), ...this.open];
    const last = all.findLast((operation) => text(operation.key) === text(key));
    return last === undefined ? undefined : last.type === "put" ? last.value : null;
  }

  commit(index: number, stateKey: Uint8Array, state: Uint8Array): void {
    this.put(stateKey, state);
    this.commits.push({ index, operations: this.open });
    this.open = [];
  }

  /** Writes the oldest commits. */
  writeSome(count: number): void {
    for (const { index, operations } of this.commits.splice(0, count)) {
      this.store.writeNow(operations);
      this.writtenIndex = index;
    }
    if (this.commits.length === 0) for (const done of this.flushing.splice(0)) done();
  }

  async flush(): Promise<void> {
    if (this.held && this.commits.length > 0) await new Promise<void>((done) => this.flushing.push(done));
    else this.writeSome(this.commits.length);
  }

  async close(): Promise<void> {
    await this.flush();
  }

  /** Nothing to do: a test decides with writeSome() what was written before the end. */
  abandon(): void {}
}
