// The store as tests drive it: everything goes through prepare, as a group does it, and values are on
// disk, not in memory, whenever that is possible.

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { ManualBuffer, MemoryStore } from "./memory-storage.js";
import type {
  CompactionResult,
  Compare,
  DeleteRangeResult,
  PutResult,
  RangeRequest,
  RangeResult,
  Refused,
  RequestOp,
  TxnResult,
} from "./messages.js";
import { bytes, deleteOf, putOf, rangeOf, text, txnOf } from "./request-generators.js";
import { Table, tablePrefix } from "./rows.js";
import { MvccStore } from "./store.js";

/** Start and end of the range of all keys. */
export const all = ["\0", "\0"] as const;

export const refusal = (reason: Refused["reason"]): Refused => ({ kind: "refused", reason });

export function accepted<T extends { kind: string }>(result: T | Refused): T {
  assert.notEqual(result.kind, "refused", inspect(result));
  return result as T;
}

export class StoreUnderTest {
  readonly disk = new MemoryStore();
  private readonly buffer = new ManualBuffer(this.disk, 0);
  readonly store: MvccStore;

  constructor(leaseExists: (lease: bigint) => boolean = () => false) {
    this.store = new MvccStore({
      store: this.disk,
      buffer: this.buffer,
      prefix: tablePrefix(1, 1, Table.revisions),
      cacheBytes: 1,
      revision: 1,
      compactedRevision: -1,
      sweptRevision: -1,
      leaseExists,
      noteSwept: () => {},
      commit: () => this.commit(),
      pause: () => new Promise((resolve) => setImmediate(resolve)),
      onFatal: (error) => {
        throw error;
      },
    });
  }

  private commit(): void {
    this.buffer.commit(1, bytes("state"), bytes(""));
  }

  /** Writes everything to disk. */
  async spill(): Promise<void> {
    this.commit();
    await this.buffer.flush();
  }

  /** Main revisions of the rows on disk. */
  rows(): number[] {
    const start = tablePrefix(1, 1, Table.revisions);
    const end = tablePrefix(1, 1, Table.revisions + 1);
    return this.disk.dump(start, end).map(([key]) => Number.parseInt(key.slice(18, 34), 16));
  }

  async put(
    key: string,
    value = "",
    options: Parameters<typeof putOf>[2] = {},
  ): Promise<PutResult | Refused> {
    const request = putOf(key, value, options);
    await this.store.preparePut(request, true);
    const result = this.store.put(request, true);
    await this.spill();
    return result;
  }

  async del(key: string, rangeEnd = "", prevKv = false): Promise<DeleteRangeResult> {
    const request = deleteOf(key, rangeEnd, prevKv);
    await this.store.prepareDeleteRange(request, true);
    const result = this.store.deleteRange(request, true);
    await this.spill();
    return result;
  }

  async txn(
    compare: Compare[],
    success: RequestOp[],
    failure: RequestOp[] = [],
  ): Promise<TxnResult | Refused> {
    const request = txnOf(compare, success, failure);
    await this.store.prepareTxn(request, true);
    const result = this.store.txn(request, true);
    await this.spill();
    return result;
  }

  async range(key: string, rangeEnd = "", options: Partial<RangeRequest> = {}): Promise<RangeResult> {
    return accepted(await this.store.range(rangeOf(key, rangeEnd, options))) as RangeResult;
  }

  /** The keys of a range with spaces between. */
  async keys(key: string, rangeEnd = "", options: Partial<RangeRequest> = {}): Promise<string> {
    return (await this.range(key, rangeEnd, options)).kvs.map((kv) => text(kv.key)).join(" ");
  }

  compact(revision: number): CompactionResult {
    return accepted(this.store.compact({ revision, physical: true })) as CompactionResult;
  }
}
