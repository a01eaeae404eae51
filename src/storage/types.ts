// The narrow interface in front of RocksDB. Nothing outside storage/ sees the library.

export type StoreOperation =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "del"; readonly key: Uint8Array };

export interface ScanOptions {
  /** Inclusive lower bound. */
  readonly gte: Uint8Array;
  /** Exclusive upper bound. */
  readonly lt: Uint8Array;
  readonly reverse?: boolean;
  /** Rows at most; default no bound. */
  readonly limit?: number;
  /** Rows per array handed over. Default 1000. */
  readonly chunkRows?: number;
}

/** Operations gathered one by one, for writers that must not pay for them all at once. */
export interface StoreBatch {
  put(key: Uint8Array, value: Uint8Array): void;
  del(key: Uint8Array): void;
  /** Atomic, and as `KeyValueStore.write` in everything else. At most once. */
  write(options?: { readonly sync?: boolean }): Promise<void>;
}

export interface StoreOptions {
  /** Cache of uncompressed blocks. Default 32 MiB. */
  readonly cacheBytes?: number;
  /** Size of a memtable; there are two. Default 16 MiB. */
  readonly writeBufferBytes?: number;
  /** Snappy. Default true. */
  readonly compression?: boolean;
}

export interface KeyValueStore {
  /** Stores without it are written to by `write` alone. */
  batch?(): StoreBatch;
  /** Atomic. `sync` makes it, and everything written before it, survive a power loss. */
  write(operations: readonly StoreOperation[], options?: { readonly sync?: boolean }): Promise<void>;
  /** Values in the order of the keys; undefined where there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /** Rows as of the moment of the call, in chunks; the iterator is closed when the loop ends. */
  scan(options: ScanOptions): AsyncIterable<readonly (readonly [key: Uint8Array, value: Uint8Array])[]>;
  /** Deletes [gte, lt). Not atomic with anything else. */
  clearRange(gte: Uint8Array, lt: Uint8Array): Promise<void>;
  /** Asks RocksDB to compact [gte, lt). */
  compactRange(gte: Uint8Array, lt: Uint8Array): Promise<void>;
  /** A RocksDB property such as "rocksdb.total-sst-files-size"; empty when unknown. */
  property(name: string): string;
  close(): Promise<void>;
}

/**
 * The buffer between apply, which is synchronous, and RocksDB, which is not. What was put is
 * readable at once through get(); batches go to RocksDB in the background, one at a time, each
 * with the applied index that it completes.
 */
export interface WriteBehind {
  /** Neither key nor value may change afterwards: they are kept by reference until written. */
  put(key: Uint8Array, value: Uint8Array): void;
  del(key: Uint8Array): void;
  /** A buffered value: the bytes, null for a buffered deletion, undefined when not in the buffer. */
  get(key: Uint8Array): Uint8Array | null | undefined;
  /**
   * Everything put since the last commit belongs to `index` and reaches RocksDB together with the
   * row (stateKey, state), atomically, and never before an earlier commit.
   */
  commit(index: number, stateKey: Uint8Array, state: Uint8Array): void;
  /** Highest index whose effects were written to RocksDB (they survive a killed process). */
  readonly writtenIndex: number;
  /** Highest index whose effects survive a power loss. */
  readonly durableIndex: number;
  /** Bytes buffered and not yet written. */
  readonly bufferedBytes: number;
  /** True above the bound (`limitBytes`); proposals should wait or be refused. */
  readonly overloaded: boolean;
  /** Resolves when everything committed so far is written; with `sync`, durable. */
  flush(options?: { readonly sync?: boolean }): Promise<void>;
  /** Flushes and stops. */
  close(): Promise<void>;
  /** Stops at once: what is buffered is lost here, and read from the log at the next start. */
  abandon(): void;
}

export interface WriteBehindOptions {
  /** The index that the store already holds, durably. Default 0. */
  readonly initialIndex?: number;
  /** Milliseconds a commit may wait for others to share its RocksDB batch. Default 100. */
  readonly delayMs?: number;
  /** A sync follows the first write at least this long after it... Default 1000. */
  readonly syncIntervalMs?: number;
  /** ...and at the latest after so many bytes. Default 32 MiB. */
  readonly syncBytes?: number;
  /** Buffered bytes at which `overloaded` becomes true. Default 64 MiB. */
  readonly limitBytes?: number;
  /** Bytes per RocksDB batch, about. Default 1 MiB. */
  readonly batchBytes?: number;
  /** Called once at the first failed write; nothing is written afterwards. */
  readonly onFatal: (error: Error) => void;
  /** Called after every RocksDB batch. */
  readonly onWrite?: (durationSeconds: number, bytes: number) => void;
}
