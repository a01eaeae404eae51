// The buffer between apply and RocksDB. Commits are gathered into batches that go to RocksDB one at a
// time and in order, each with the state row of its last commit, so that what is on disk is always the
// effect of a prefix of the log. The log, not this buffer, makes writes durable: nobody waits for it.
//
// Why one synced batch makes all earlier ones durable: RocksDB appends every batch to its own log
// before it enters a memtable, replays that log in order at start, and a write with `sync` first
// syncs every log file still alive, not only the newest one; memtables already flushed are table
// files, synced before the log behind them goes. So what survives a power loss is a prefix of the
// batches that contains the last synced one.
import { strict as assert } from "node:assert";
import { StoreClosed } from "./errors.js";
import type { KeyValueStore, StoreBatch, StoreOperation, WriteBehind, WriteBehindOptions } from "./types.js";

const DEFAULT_LIMIT_BYTES = 64 * 1024 * 1024;
const DEFAULT_BATCH_BYTES = 1024 * 1024;
const DEFAULT_DELAY_MS = 100;
const DEFAULT_SYNC_INTERVAL_MS = 1000;
const DEFAULT_SYNC_BYTES = 32 * 1024 * 1024;

/** The bytes as characters; a call past toString's argument checks, and it takes any Uint8Array. */
const latin1Slice = (Buffer.prototype as unknown as { latin1Slice(from: number, to: number): string })
  .latin1Slice;
const nameOf = (key: Uint8Array): string => latin1Slice.call(key, 0, key.length);

interface StateRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * Operations in order. Most are never looked up before they are written, so the table by key is made
 * when somebody first looks, and only caught up with when somebody looks again.
 */
class Operations {
  /** Key, value (null: deletion), alternating. */
  readonly list: (Uint8Array | null)[] = [];
  /** By key as a latin1 string: as fast as any table of bytes we could write, long keys included. */
  readonly #byName = new Map<string, Uint8Array | null>();
  #named = 0;

  find(name: string): Uint8Array | null | undefined {
    const { list } = this;
    for (; this.#named < list.length; this.#named += 2) {
      this.#byName.set(nameOf(list[this.#named]!), list[this.#named + 1]!);
    }
    return this.#byName.get(name);
  }

  clear(): void {
    this.list.length = 0;
    if (this.#named > 0) this.#byName.clear();
    this.#named = 0;
  }
}

/** Commits that go to RocksDB together. */
class Generation {
  readonly rows = new Operations();
  bytes = 0;
  /** Index of the last commit in it; undefined while there is none. */
  index: number | undefined;
  /** Counts commits, where several may have the same index. */
  serial = 0;
  stateRow: StateRow | undefined;
  constructor(readonly batch: StoreBatch) {}
}

interface Waiter {
  /** Serial of the commit that was the last when the wait began. */
  readonly serial: number;
  readonly sync: boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** For stores that cannot gather a batch themselves. */
class GatheredBatch implements StoreBatch {
  readonly #operations: StoreOperation[] = [];
  constructor(readonly store: KeyValueStore) {}
  put(key: Uint8Array, value: Uint8Array): void {
    this.#operations.push({ type: "put", key, value });
  }
  del(key: Uint8Array): void {
    this.#operations.push({ type: "del", key });
  }
  write(options?: { readonly sync?: boolean }): Promise<void> {
    return this.store.write(this.#operations, options);
  }
}

class Buffered implements WriteBehind {
  readonly #store: KeyValueStore;
  readonly #options: Required<Omit<WriteBehindOptions, "onWrite">> & Pick<WriteBehindOptions, "onWrite">;
  /** What was put since the last commit. */
  readonly #open = new Operations();
  #openBytes = 0;
  #filling: Generation;
  /** Full, waiting for the one under way. */
  readonly #sealed: Generation[] = [];
  #flying: Generation | undefined;
  #bufferedBytes = 0;
  #committedIndex: number;
  /** Serials of the last commit made, written, durable. */
  #committed = 0;
  #written = 0;
  #durable = 0;
  #writtenIndex: number;
  #durableIndex: number;
  #lastStateRow: StateRow | undefined;
  #unsyncedBytes = 0;
  #syncDue = false;
  #delay: NodeJS.Timeout | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #waiters: Waiter[] = [];
  #failure: Error | undefined;
  #closing: Promise<void> | undefined;

  constructor(store: KeyValueStore, options: WriteBehindOptions) {
    this.#store = store;
    this.#options = {
      initialIndex: 0,
      limitBytes: DEFAULT_LIMIT_BYTES,
      batchBytes: DEFAULT_BATCH_BYTES,
      delayMs: DEFAULT_DELAY_MS,
      syncIntervalMs: DEFAULT_SYNC_INTERVAL_MS,
      syncBytes: DEFAULT_SYNC_BYTES,
      ...options,
    };
    this.#committedIndex = this.#writtenIndex = this.#durableIndex = this.#options.initialIndex;
    this.#filling = this.#generation();
  }

  get writtenIndex(): number {
    return this.#writtenIndex;
  }
  get durableIndex(): number {
    return this.#durableIndex;
  }
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }
  get overloaded(): boolean {
    return this.#bufferedBytes > this.#options.limitBytes;
  }

  #generation(): Generation {
    return new Generation(this.#store.batch?.() ?? new GatheredBatch(this.#store));
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#add(key, value, key.length + value.length);
  }

  del(key: Uint8Array): void {
    this.#add(key, null, key.length);
  }

  #add(key: Uint8Array, value: Uint8Array | null, bytes: number): void {
    if (this.#closing !== undefined) throw new StoreClosed();
    assert(key.length > 0, "keys are not empty");
    this.#open.list.push(key, value);
    this.#openBytes += bytes;
    this.#bufferedBytes += bytes;
  }

  get(key: Uint8Array): Uint8Array | null | undefined {
    const name = nameOf(key);
    let value = this.#open.find(name);
    if (value === undefined) value = this.#filling.rows.find(name);
    for (let at = this.#sealed.length - 1; value === undefined && at >= 0; at--) {
      value = this.#sealed[at]!.rows.find(name);
    }
    return value === undefined ? this.#flying?.rows.find(name) : value;
  }

  commit(index: number, stateKey: Uint8Array, state: Uint8Array): void {
    if (this.#closing !== undefined) throw new StoreClosed();
    assert(index >= this.#committedIndex, `commit ${index} after ${this.#committedIndex}`);
    const generation = this.#filling;
    const { batch, rows } = generation;
    const open = this.#open.list;
    for (let at = 0; at < open.length; at += 2) {
      const key = open[at]!;
      const value = open[at + 1]!;
      if (value === null) batch.del(key);
      else batch.put(key, value);
      rows.list.push(key, value);
    }
    this.#open.clear();
    // The row goes into the batch once, when it is handed over; earlier versions would be overwritten.
    const before = generation.stateRow;
    if (before !== undefined && Buffer.compare(before.key, stateKey) !== 0)
      batch.put(before.key, before.value);
    generation.stateRow = { key: stateKey, value: state };
    rows.list.push(stateKey, state);
    const bytes = stateKey.length + state.length;
    this.#bufferedBytes += bytes;
    generation.bytes += this.#openBytes + bytes;
    generation.index = index;
    this.#openBytes = 0;
    this.#committedIndex = index;
    generation.serial = ++this.#committed;
    if (generation.bytes >= this.#options.batchBytes) {
      this.#seal();
      this.#pump(false);
    } else if (this.#flying === undefined) this.#wait();
  }

  /** Lets others join; the batch goes when it is full or the delay is over. */
  #wait(): void {
    this.#delay ??= setTimeout(() => {
      this.#delay = undefined;
      this.#pump(true);
    }, this.#options.delayMs).unref();
  }

  /** Closes the generation being filled. What is not committed yet belongs to none. */
  #seal(): void {
    this.#sealed.push(this.#filling);
    this.#filling = this.#generation();
  }

  /** @param now take what there is, full or not */
  #pump(now: boolean): void {
    if (this.#flying !== undefined || this.#failure !== undefined) return;
    if (now && this.#sealed.length === 0 && this.#filling.index !== undefined) this.#seal();
    const sync = this.#syncDue || this.#unsyncedBytes >= this.#options.syncBytes;
    const generation = this.#sealed.shift() ?? (sync ? this.#repeat() : undefined);
    if (generation === undefined) return;
    this.#syncDue = false;
    this.#write(generation, sync);
  }

  /** Nothing is left to write, but what was written is not durable: the last state row once more. */
  #repeat(): Generation | undefined {
    if (this.#lastStateRow === undefined || this.#durable === this.#written) return undefined;
    const generation = this.#generation();
    generation.stateRow = this.#lastStateRow;
    generation.index = this.#writtenIndex;
    generation.serial = this.#written;
    return generation;
  }

  #write(generation: Generation, sync: boolean): void {
    const { batch, stateRow, index } = generation;
    assert(stateRow !== undefined && index !== undefined, "a batch holds a commit");
    batch.put(stateRow.key, stateRow.value);
    this.#flying = generation;
    const begun = performance.now();
    batch.write({ sync }).then(
      () => this.#wrote(generation, stateRow, index, sync, begun),
      (error: Error) => this.#fail(error),
    );
  }

  #wrote(generation: Generation, stateRow: StateRow, index: number, sync: boolean, begun: number): void {
    this.#flying = undefined;
    this.#bufferedBytes -= generation.bytes;
    this.#writtenIndex = index;
    this.#written = generation.serial;
    this.#lastStateRow = stateRow;
    if (sync) {
      this.#durableIndex = index;
      this.#durable = generation.serial;
      this.#unsyncedBytes = 0;
    } else this.#unsyncedBytes += generation.bytes;
    this.#options.onWrite?.((performance.now() - begun) / 1000, generation.bytes);
    if (this.#failure !== undefined) return;
    if (!sync) this.#armSync();
    this.#release();
    this.#pump(this.#waiters.length > 0);
    if (this.#flying === undefined && this.#filling.index !== undefined) this.#wait();
  }

  #armSync(): void {
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = undefined;
      this.#syncDue = true;
      this.#pump(true);
    }, this.#options.syncIntervalMs).unref();
  }

  /** Lets those go whose commits are where they asked for. */
  #release(): void {
    if (this.#waiters.length === 0) return;
    const due = this.#waiters.filter((waiter) => this.#reached(waiter));
    this.#waiters = this.#waiters.filter((waiter) => !this.#reached(waiter));
    for (const waiter of due) waiter.resolve();
    if (this.#waiters.some((waiter) => waiter.sync)) this.#syncDue = true;
  }

  #reached(waiter: { readonly serial: number; readonly sync: boolean }): boolean {
    return (waiter.sync ? this.#durable : this.#written) >= waiter.serial;
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#end(error);
    this.#options.onFatal(error);
  }

  /** Nothing is handed to the store from now on. */
  #end(error: Error): void {
    this.#failure = error;
    this.#stopTimers();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }

  abandon(): void {
    if (this.#failure === undefined) this.#end(new StoreClosed());
  }

  #stopTimers(): void {
    clearTimeout(this.#delay);
    clearTimeout(this.#syncTimer);
    this.#delay = this.#syncTimer = undefined;
  }

  flush(options?: { readonly sync?: boolean }): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const sync = options?.sync === true;
    const serial = this.#committed;
    if (this.#reached({ serial, sync })) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ serial, sync, resolve, reject });
      if (sync) this.#syncDue = true;
      this.#pump(true);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.flush({ sync: true }).finally(() => this.#stopTimers());
    return this.#closing;
  }
}

export function createWriteBehind(store: KeyValueStore, options: WriteBehindOptions): WriteBehind {
  return new Buffered(store, options);
}
