// Rows of revisions by (main, sub): appended to the write-behind buffer, read from the cache, from the
// buffer, or later from RocksDB. Every row is encoded once, and that memory serves buffer and cache.

import type { KeyValueStore, WriteBehind } from "../storage/types.js";
import { invariant } from "./invariant.js";
import { RowCache } from "./row-cache.js";
import { revisionKey, revisionKeyBytes, rowBytesLimit, writeRevisionKey, writeRow } from "./rows.js";

const none = new Uint8Array(0);
/** Rows asked of RocksDB in one call. */
const fetchRows = 4096;

export class RowStore {
  private readonly cache: RowCache;

  /** @param prefix of the revisions' table (see rows.ts). */
  constructor(
    private readonly store: KeyValueStore,
    private readonly buffer: WriteBehind,
    readonly prefix: Uint8Array,
    cacheBytes: number,
  ) {
    this.cache = new RowCache(cacheBytes);
  }

  /** @returns the encoded row */
  append(
    main: number,
    sub: number,
    key: Uint8Array,
    create: number,
    version: number,
    value: Uint8Array,
    lease: bigint,
  ): Uint8Array {
    const { cache } = this;
    cache.reserve(revisionKeyBytes + rowBytesLimit(key.length, value.length));
    const { segment, offset } = cache;
    const start = offset + revisionKeyBytes;
    writeRevisionKey(segment, offset, this.prefix, main, sub);
    const end = writeRow(segment, start, key, create, main, version, value, lease);
    cache.commit(end);
    cache.remember(main, sub, start, end);
    const row = segment.subarray(start, end);
    this.buffer.put(segment.subarray(offset, start), row);
    return row;
  }

  appendTombstone(main: number, sub: number, key: Uint8Array): Uint8Array {
    return this.append(main, sub, key, 0, 0, none, 0n);
  }

  remove(main: number, sub: number): void {
    this.buffer.del(revisionKey(this.prefix, main, sub));
  }

  /** The row if it is in memory. */
  inMemory(main: number, sub: number): Uint8Array | undefined {
    const cached = this.cache.get(main, sub);
    if (cached !== undefined) return cached;
    return this.buffer.get(revisionKey(this.prefix, main, sub)) ?? undefined;
  }

  /** Reads rows that must exist, in the order given. */
  async fetch(revisions: readonly RevisionRef[]): Promise<Uint8Array[]> {
    const rows: Uint8Array[] = [];
    for (let from = 0; from < revisions.length; from += fetchRows) {
      const wanted = revisions.slice(from, from + fetchRows);
      const found = await this.store.getMany(
        wanted.map(({ main, sub }) => revisionKey(this.prefix, main, sub)),
      );
      for (const [at, { main, sub }] of wanted.entries()) {
        const row = found[at];
        invariant(
          row !== undefined,
          () => `the row of revision ${main}.${sub} is in the index and not on disk`,
        );
        this.cache.insert(main, sub, row);
        rows.push(row);
      }
    }
    return rows;
  }
}

export interface RevisionRef {
  readonly main: number;
  readonly sub: number;
}

/**
 * Reads rows from memory and notes those that are not there, so that they can be fetched before the
 * same work is tried again.
 */
export class RowReader {
  private held: Map<string, Uint8Array> | undefined = undefined;
  private misses: RevisionRef[] | undefined = undefined;

  /** @param keeps whether it holds on to every row it gave out, which cache and buffer may drop. */
  constructor(
    private readonly rows: RowStore,
    private readonly keeps: boolean,
  ) {}

  get missed(): boolean {
    return this.misses !== undefined;
  }

  get holdsRows(): boolean {
    return this.held !== undefined;
  }

  /** Undefined, and noted, when the row is not in memory. */
  get(main: number, sub: number): Uint8Array | undefined {
    const row = this.held?.get(`${main}.${sub}`) ?? this.rows.inMemory(main, sub);
    if (row === undefined) {
      this.misses ??= [];
      this.misses.push({ main, sub });
    } else if (this.keeps) {
      this.held ??= new Map();
      this.held.set(`${main}.${sub}`, row);
    }
    return row;
  }

  /** The row, which somebody made sure is in memory. */
  require(main: number, sub: number): Uint8Array {
    const row = this.get(main, sub);
    invariant(row !== undefined, () => `the row of revision ${main}.${sub} was not prepared`);
    return row;
  }

  async fetchMisses(): Promise<void> {
    const wanted = this.misses ?? [];
    this.misses = undefined;
    const rows = await this.rows.fetch(wanted);
    this.held ??= new Map();
    for (const [at, { main, sub }] of wanted.entries()) this.held.set(`${main}.${sub}`, rows[at]!);
  }
}
