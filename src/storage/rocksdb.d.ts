// The part of the `rocksdb` package that storage/ uses. The package has no types of its own that
// compile; members with an underscore and `cache` are internals of exactly the pinned version, and
// rocks-store.test.ts notices when they change.
declare module "rocksdb" {
  type Done = (error?: Error | null) => void;

  interface Batch {
    /** Past the checks and conversions of put(): any Uint8Array, not empty. */
    _put(key: Uint8Array, value: Uint8Array): void;
    _del(key: Uint8Array): void;
    write(options: { sync?: boolean }, done: Done): void;
  }

  interface RowIterator {
    next(done: (error: Error | null | undefined, key?: Buffer, value?: Buffer) => void): void;
    end(done: Done): void;
    /** Rows already fetched, last one first: value, key, value, key, ... */
    cache: Buffer[] | null;
  }

  interface Database {
    open(
      options: {
        createIfMissing?: boolean;
        cacheSize?: number;
        writeBufferSize?: number;
        blockSize?: number;
        maxOpenFiles?: number;
        compression?: boolean;
      },
      done: Done,
    ): void;
    close(done: Done): void;
    batch(): Batch;
    _getMany(
      keys: readonly Uint8Array[],
      options: { asBuffer: boolean; fillCache: boolean },
      done: (error: Error | null | undefined, values: (Buffer | undefined)[]) => void,
    ): void;
    iterator(options: {
      gte: Buffer;
      lt: Buffer;
      reverse: boolean;
      limit: number;
      highWaterMark: number;
    }): RowIterator;
    clear(range: { gte: Buffer; lt: Buffer }, done: Done): void;
    compactRange(from: Buffer, to: Buffer, done: Done): void;
    getProperty(name: string): string;
  }

  function rocksdb(location: string): Database;
  export = rocksdb;
}
