// KeyValueStore on RocksDB, the only file that touches the `rocksdb` package. It closes the gaps of
// the binding: nothing reaches the native side after close (it would crash the process), keys are
// never empty, plain Uint8Arrays are taken as bytes.
import { strict as assert } from "node:assert";
import { mkdir, open } from "node:fs/promises";
import { resolve as absolute, dirname } from "node:path";
import rocksdb from "rocksdb";
import { StoreClosed, StoreFailed, StoreLocked, StoreUnusable } from "./errors.js";
import type { KeyValueStore, ScanOptions, StoreBatch, StoreOperation, StoreOptions } from "./types.js";

const DEFAULT_CACHE_BYTES = 16 * 1024 * 1024;
const DEFAULT_WRITE_BUFFER_BYTES = 16 * 1024 * 1024;
const BLOCK_BYTES = 8 * 1024;
const DEFAULT_CHUNK_ROWS = 1000;
/** Bytes the binding fetches per trip to the pool; it also stops after 1000 rows. */
const FETCH_BYTES = 256 * 1024;

type Database = ReturnType<typeof rocksdb>;
type Row = readonly [key: Uint8Array, value: Uint8Array];

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

class RocksStore implements KeyValueStore {
  readonly #database: Database;
  #closed: Promise<void> | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  #open(): Database {
    if (this.#closed !== undefined) throw new StoreClosed();
    return this.#database;
  }

  batch(): StoreBatch {
    return new RocksBatch(() => this.#open());
  }

  write(operations: readonly StoreOperation[], options?: { readonly sync?: boolean }): Promise<void> {
    const batch = this.batch();
    for (const operation of operations) {
      if (operation.type === "put") batch.put(operation.key, operation.value);
      else batch.del(operation.key);
    }
    return batch.write(options);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const database = this.#open();
    if (keys.length === 0) return [];
    for (const key of keys) assert(key.length > 0, "keys are not empty");
    return new Promise((resolve, reject) =>
      database._getMany(keys, { asBuffer: true, fillCache: true }, (error, values) =>
        error ? reject(new StoreFailed("reading the store", error)) : resolve(values),
      ),
    );
  }

  scan(options: ScanOptions): AsyncIterable<readonly Row[]> {
    const database = this.#open();
    const { reverse = false, limit = -1, chunkRows = DEFAULT_CHUNK_ROWS } = options;
    assert(chunkRows > 0, "chunks have rows");
    if (limit === 0 || Buffer.compare(options.gte, options.lt) >= 0) return noRows();
    assert(options.gte.length > 0 && options.lt.length > 0, "bounds are not empty");
    // Made now, not at the first next(): the iterator's snapshot is the state that the scan shows.
    const iterator = database.iterator({
      gte: asBuffer(options.gte),
      lt: asBuffer(options.lt),
      reverse,
      limit,
      highWaterMark: FETCH_BYTES,
    });
    return chunksOf(iterator, chunkRows, () => this.#closed !== undefined);
  }

  clearRange(gte: Uint8Array, lt: Uint8Array): Promise<void> {
    const database = this.#open();
    if (Buffer.compare(gte, lt) >= 0) return Promise.resolve();
    assert(gte.length > 0, "bounds are not empty");
    return settle("deleting a range", (done) =>
      database.clear({ gte: asBuffer(gte), lt: asBuffer(lt) }, done),
    );
  }

  compactRange(gte: Uint8Array, lt: Uint8Array): Promise<void> {
    const database = this.#open();
    return settle("compacting", (done) => database.compactRange(asBuffer(gte), asBuffer(lt), done));
  }

  property(name: string): string {
    return this.#open().getProperty(name);
  }

  close(): Promise<void> {
    this.#closed ??= settle("closing the store", (done) => this.#database.close(done));
    return this.#closed;
  }
}

class RocksBatch implements StoreBatch {
  readonly #database: () => Database;
  readonly #batch: ReturnType<Database["batch"]>;
  #empty = true;

  constructor(database: () => Database) {
    this.#database = database;
    this.#batch = database().batch();
  }

  put(key: Uint8Array, value: Uint8Array): void {
    assert(key.length > 0, "keys are not empty");
    this.#batch._put(key, value);
    this.#empty = false;
  }

  del(key: Uint8Array): void {
    assert(key.length > 0, "keys are not empty");
    this.#batch._del(key);
    this.#empty = false;
  }

  async write(options?: { readonly sync?: boolean }): Promise<void> {
    this.#database();
    // RocksDB would not sync for an empty batch either; whoever needs that puts a row.
    if (this.#empty) return;
    await settle("writing to the store", (done) => this.#batch.write({ sync: options?.sync === true }, done));
  }
}

const settle = (doing: string, start: (done: (error?: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) =>
    start((error) => (error ? reject(new StoreFailed(doing, error)) : resolve())),
  );

/** Empties what the binding fetched in one go, instead of a callback and a tick for every row. */
async function* chunksOf(
  iterator: ReturnType<Database["iterator"]>,
  chunkRows: number,
  closed: () => boolean,
): AsyncGenerator<readonly Row[]> {
  try {
    let chunk: Row[] = [];
    for (;;) {
      if (closed()) throw new StoreClosed();
      const row = await new Promise<Row | undefined>((resolve, reject) =>
        iterator.next((error, key, value) => {
          if (error) reject(new StoreFailed("scanning the store", error));
          else resolve(key === undefined || value === undefined ? undefined : [key, value]);
        }),
      );
      if (row === undefined) break;
      chunk.push(row);
      const { cache } = iterator;
      while (chunk.length < chunkRows && cache !== null && cache.length > 0) {
        const key = cache.pop()!;
        chunk.push([key, cache.pop()!]);
      }
      if (chunk.length < chunkRows) continue;
      yield chunk;
      chunk = [];
    }
    if (chunk.length > 0) yield chunk;
  } finally {
    // Closing the store ends its iterators, and ending one twice never calls back.
    if (!closed()) await settle("ending a scan", (done) => iterator.end(done));
  }
}

async function* noRows(): AsyncGenerator<readonly Row[]> {}

/** Makes the folder and those above it, each durable. (Mkdir's `recursive` syncs nothing.) */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path);
  }
  const above = await open(dirname(path), "r");
  try {
    await above.sync();
  } finally {
    await above.close();
  }
}

/**
 * Opens or creates the store in `directory`.
 * @throws StoreLocked, StoreUnusable
 */
export async function openStore(directory: string, options: StoreOptions = {}): Promise<KeyValueStore> {
  const { cacheBytes = DEFAULT_CACHE_BYTES, writeBufferBytes = DEFAULT_WRITE_BUFFER_BYTES } = options;
  const database = rocksdb(directory);
  try {
    await makeFolder(absolute(directory));
    await new Promise<void>((resolve, reject) =>
      database.open(
        {
          createIfMissing: true,
          cacheSize: cacheBytes,
          writeBufferSize: writeBufferBytes,
          blockSize: BLOCK_BYTES,
          compression: options.compression ?? true,
        },
        (error) => (error ? reject(error) : resolve()),
      ),
    );
  } catch (error) {
    const cause = error as Error;
    if (/lock/i.test(cause.message) && !("code" in cause)) throw new StoreLocked(directory, cause);
    throw new StoreUnusable(directory, cause);
  }
  return new RocksStore(database);
}
