// The multi-version store: applies puts, deletions, transactions and compactions, each effective one at
// a revision of its own, and answers reads at any revision not yet compacted. Applying is synchronous
// and deterministic; what it needs from disk is fetched before, by the prepare functions.

import type { KeyValueStore, WriteBehind } from "../storage/types.js";
import { decodeKeyValue } from "./codec.js";
import { Compactor } from "./compactor.js";
import { comparePath, newestView } from "./compare.js";
import { KeyIndex, newest } from "./index/key-index.js";
import { invariant } from "./invariant.js";
import type {
  AppliedEvent,
  CompactionRequest,
  CompactionResult,
  DeleteRangeRequest,
  DeleteRangeResult,
  KeyValue,
  KvReader,
  OpResult,
  PutRequest,
  PutResult,
  RangeRequest,
  RangeResult,
  Refused,
  StoreRefusal,
  TxnRequest,
  TxnResult,
} from "./messages.js";
import { Pins } from "./pins.js";
import { checkRevision, rangeEnd, runRange, type View } from "./range.js";
import { RowReader, RowStore } from "./row-store.js";
import { checkTaken, takenOps, touchDeleteRange, touchOps, touchPut } from "./txn-path.js";
import { Past } from "./watch/past.js";

/** Keys on leases, told of every change of a key that may have or had one. */
export interface KeyAttachments {
  /** While 0, keys that lose a lease need not be mentioned. */
  readonly attachedKeys: number;
  /** The key now hangs on this lease and no other; 0n: on none. */
  attach(key: Uint8Array, lease: bigint): void;
}

export interface MvccOptions {
  readonly store: KeyValueStore;
  readonly buffer: WriteBehind;
  /** Prefix of the revisions' table (rows.ts). */
  readonly prefix: Uint8Array;
  /** Bytes of recent rows kept in memory. Default 32 MiB. */
  readonly cacheBytes?: number;
  /** Rows a compaction deletes before traffic gets its turn. Default 1000. */
  readonly sweepRows?: number;
  /** Revisions as of the last start; a fresh store is at 1, never compacted (-1). */
  readonly revision: number;
  readonly compactedRevision: number;
  readonly sweptRevision: number;
  readonly leaseExists: (lease: bigint) => boolean;
  /** Default: nobody keeps track. */
  readonly attachments?: KeyAttachments;
  readonly noteSwept: (revision: number) => void;
  readonly commit: () => void;
  readonly pause: () => Promise<void>;
  readonly onFatal: (error: Error) => void;
}

const noBytes = new Uint8Array(0);
const noAttachments: KeyAttachments = { attachedKeys: 0, attach: () => {} };
const noKeyValues: readonly KeyValue[] = [];
const refused = (reason: StoreRefusal): Refused => ({ kind: "refused", reason });

export class MvccStore implements KvReader {
  readonly index = new KeyIndex();
  readonly pins = new Pins();
  /** The changes of revisions gone by, for watchers. */
  readonly past: Past;
  private readonly rows: RowStore;
  private readonly compactor: Compactor;
  private readonly attachments: KeyAttachments;
  private current: number;
  private compacted: number;
  /** Changes made so far at revision current + 1. */
  private changes = 0;
  /** Rows fetched for the command that is applied next. */
  private prepared: RowReader | undefined = undefined;
  private events: AppliedEvent[] | undefined = undefined;

  /** Told the changes of every revision right after it was made, in revision order. */
  onRevision: ((revision: number, events: readonly AppliedEvent[]) => void) | undefined = undefined;

  constructor(private readonly options: MvccOptions) {
    const { store, buffer, prefix } = options;
    this.rows = new RowStore(store, buffer, prefix, options.cacheBytes ?? 32 << 20);
    this.current = options.revision;
    this.compacted = options.compactedRevision;
    this.attachments = options.attachments ?? noAttachments;
    this.past = new Past(this, store, buffer, this.rows);
    this.compactor = new Compactor({
      index: this.index,
      rows: this.rows,
      buffer,
      pins: this.pins,
      noteSwept: options.noteSwept,
      commit: options.commit,
      pause: options.pause,
      onFatal: options.onFatal,
      rowsPerTurn: options.sweepRows ?? 1000,
      swept: options.sweptRevision,
    });
  }

  get currentRevision(): number {
    return this.current;
  }

  get compactedRevision(): number {
    return this.compacted;
  }

  /** Goes on with a removal that a restart interrupted. */
  resume(): Promise<void> {
    return this.compactor.schedule(this.compacted);
  }

  /** Stops background work. */
  close(): void {
    this.compactor.close();
  }

  /** Another state takes this one's place. Reads under way still finish. */
  retire(): void {
    this.compactor.retire();
  }

  private view(): View {
    return newestView(this.index, this.current + (this.changes > 0 ? 1 : 0));
  }

  private reader(): RowReader {
    return this.prepared ?? new RowReader(this.rows, false);
  }

  // Reads.

  range(request: RangeRequest): RangeResult | Refused | Promise<RangeResult | Refused> {
    const reason = checkRevision(request.revision, this.current, this.compacted);
    if (reason !== undefined) return refused(reason);
    const reader = new RowReader(this.rows, false);
    const result = runRange(this.view(), request, reader);
    if (!reader.missed) return result;
    const lowest = request.revision > 0 ? request.revision : this.current;
    return this.later(reader, lowest, (view) => runRange(view, request, reader));
  }

  readTxn(request: TxnRequest): TxnResult | Refused | Promise<TxnResult | Refused> {
    const reader = new RowReader(this.rows, false);
    const { compacted } = this;
    const run = (view: View): TxnResult | Refused => {
      const path = comparePath(view, request, reader);
      if (reader.missed) return refused("keyNotFound");
      const ops = takenOps(request, path);
      const reason = checkTaken(view, ops, compacted, this.options.leaseExists);
      if (reason !== undefined) return refused(reason);
      return this.answer(view, request, path, reader);
    };
    const result = run(this.view());
    // Its ranges may read at any revision that is not compacted now.
    return reader.missed ? this.later(reader, compacted, run) : result;
  }

  private answer(view: View, request: TxnRequest, path: readonly boolean[], reader: RowReader): TxnResult {
    let depth = 0;
    const run = (txn: TxnRequest): TxnResult => {
      const outer = depth === 0;
      const succeeded = path[depth++]!;
      const responses: OpResult[] = [];
      for (const op of succeeded ? txn.success : txn.failure) {
        if (op.kind === "range") responses.push(runRange(view, op.request, reader));
        else if (op.kind === "txn") responses.push(run(op.request));
        else invariant(false, "a read-only transaction holds nothing but ranges");
      }
      return { kind: "txn", revision: outer ? view.revision : 0, succeeded, responses };
    };
    return run(request);
  }

  /**
   * Fetches what a read missed and runs it again, at the revision that is the newest now.
   * @param lowest the lowest revision it reads.
   */
  private async later<T>(reader: RowReader, lowest: number, run: (view: View) => T): Promise<T> {
    const view: View = { index: this.index, revision: this.current, at: this.current };
    this.pins.take(lowest);
    try {
      for (;;) {
        await reader.fetchMisses();
        const result = run(view);
        if (!reader.missed) return result;
      }
    } finally {
      this.pins.release(lowest);
    }
  }

  // What applying needs from disk. Undefined: nothing, as nearly always. The rows it looked at are held
  // until the command is applied: its own writes may push them out of the cache.

  preparePut(request: PutRequest, wantResult: boolean): Promise<void> | undefined {
    if (!request.ignoreValue && !request.ignoreLease && !request.prevKv) return undefined;
    const view = this.view();
    return this.prepare((reader) => touchPut(view, request, wantResult, reader));
  }

  prepareDeleteRange(request: DeleteRangeRequest, wantResult: boolean): Promise<void> | undefined {
    if (!request.prevKv) return undefined;
    const view = this.view();
    return this.prepare((reader) => touchDeleteRange(view, request, wantResult, reader));
  }

  prepareTxn(request: TxnRequest, wantResult: boolean): Promise<void> | undefined {
    const view = this.view();
    return this.prepare((reader) => {
      const path = comparePath(view, request, reader);
      if (reader.missed) return;
      const ops = takenOps(request, path);
      if (checkTaken(view, ops, this.compacted, this.options.leaseExists) === undefined)
        touchOps(view, ops, wantResult, reader);
    });
  }

  private prepare(touch: (reader: RowReader) => void): Promise<void> | undefined {
    const reader = new RowReader(this.rows, true);
    touch(reader);
    if (!reader.missed) {
      if (reader.holdsRows) this.prepared = reader;
      return undefined;
    }
    return (async () => {
      while (reader.missed) {
        await reader.fetchMisses();
        touch(reader);
      }
      this.prepared = reader;
    })();
  }

  // Changes.

  put(request: PutRequest, wantResult: boolean): PutResult | Refused {
    const reason = this.checkPut(request);
    const result = reason === undefined ? this.applyPut(request, wantResult) : refused(reason);
    this.finish();
    return result;
  }

  private checkPut(request: PutRequest): StoreRefusal | undefined {
    if (request.lease !== 0n && !this.options.leaseExists(request.lease)) return "leaseNotFound";
    const needsKey = request.ignoreValue || request.ignoreLease;
    return needsKey && !this.index.get(request.key, newest) ? "keyNotFound" : undefined;
  }

  deleteRange(request: DeleteRangeRequest, wantResult: boolean): DeleteRangeResult {
    const result = this.applyDeleteRange(request, wantResult);
    this.finish();
    return result;
  }

  txn(request: TxnRequest, wantResult: boolean): TxnResult | Refused {
    const view = this.view();
    const reader = this.reader();
    const path = comparePath(view, request, reader);
    invariant(!reader.missed, "the values a transaction compares were not prepared");
    const reason = checkTaken(view, takenOps(request, path), this.compacted, this.options.leaseExists);
    const responses = reason === undefined ? this.applyTxn(request, path, { depth: 0 }, wantResult) : [];
    this.finish();
    if (reason !== undefined) return refused(reason);
    return { kind: "txn", revision: this.current, succeeded: path[0]!, responses };
  }

  private applyTxn(
    txn: TxnRequest,
    path: readonly boolean[],
    walk: { depth: number },
    wantResult: boolean,
  ): OpResult[] {
    const responses: OpResult[] = [];
    for (const op of path[walk.depth++]! ? txn.success : txn.failure) {
      switch (op.kind) {
        case "put": {
          const result = this.applyPut(op.request, wantResult);
          if (wantResult) responses.push(result);
          break;
        }
        case "deleteRange": {
          const result = this.applyDeleteRange(op.request, wantResult);
          if (wantResult) responses.push(result);
          break;
        }
        case "range":
          if (wantResult) responses.push(this.applyRange(op.request));
          break;
        case "txn": {
          const succeeded = path[walk.depth]!;
          const nested = this.applyTxn(op.request, path, walk, wantResult);
          // etcd leaves the header of a nested transaction empty.
          if (wantResult) responses.push({ kind: "txn", revision: 0, succeeded, responses: nested });
          break;
        }
        case "none":
          invariant(false, "an operation that is none of the known ones passed the checks");
          break;
        default:
          op satisfies never;
      }
    }
    return responses;
  }

  private applyRange(request: RangeRequest): RangeResult {
    const reader = this.reader();
    const result = runRange(this.view(), request, reader);
    invariant(!reader.missed, "the values a transaction reads were not prepared");
    return result;
  }

  private applyPut(request: PutRequest, wantResult: boolean): PutResult {
    const { index, rows } = this;
    const { key } = request;
    const main = this.current + 1;
    const sub = this.changes++;
    index.put(key, main, sub);
    const create = index.cell[0]!;
    const version = index.cell[2]!;
    let { value, lease } = request;
    let prevKv: KeyValue | undefined;
    if (
      index.replaced[2] !== 0 &&
      (request.ignoreValue || request.ignoreLease || (request.prevKv && wantResult))
    ) {
      const previous = decodeKeyValue(this.reader().require(index.replaced[1]!, index.replaced[3]!));
      if (request.ignoreValue) value = previous.value;
      if (request.ignoreLease) lease = previous.lease;
      if (request.prevKv) prevKv = previous;
    }
    const row = rows.append(main, sub, key, create, version, value, lease);
    const { attachments } = this;
    if (lease !== 0n || (attachments.attachedKeys > 0 && index.replaced[2] !== 0))
      attachments.attach(key, lease);
    if (this.onRevision !== undefined) {
      const kv = { key, createRevision: create, modRevision: main, version, value, lease };
      this.note({ type: "put", kv, row });
    }
    return { kind: "put", revision: main, prevKv };
  }

  private applyDeleteRange(request: DeleteRangeRequest, wantResult: boolean): DeleteRangeResult {
    const { index } = this;
    const main = this.current + 1;
    const prevKvs: KeyValue[] = [];
    const withPrevious = request.prevKv && wantResult;
    const reader = withPrevious ? this.reader() : undefined;
    const deleted = (key: Uint8Array, sub: number): void => {
      if (reader !== undefined)
        prevKvs.push(decodeKeyValue(reader.require(index.replaced[1]!, index.replaced[3]!)));
      this.bury(key, main, sub);
    };
    const end = rangeEnd(request.rangeEnd);
    let count = 0;
    if (end !== null) count = index.removeRange(request.key, end, main, this.changes, deleted);
    else if (index.remove(request.key, main, this.changes)) {
      deleted(request.key, this.changes);
      count = 1;
    }
    this.changes += count;
    return {
      kind: "deleteRange",
      revision: this.changes > 0 ? main : this.current,
      deleted: count,
      prevKvs: withPrevious ? prevKvs : noKeyValues,
    };
  }

  private bury(key: Uint8Array, main: number, sub: number): void {
    const row = this.rows.appendTombstone(main, sub, key);
    if (this.attachments.attachedKeys > 0) this.attachments.attach(key, 0n);
    if (this.onRevision !== undefined) this.note({ type: "delete", kv: tombstone(key, main), row });
  }

  /** Deletes these keys, which exist, in the order given and in one revision. */
  deleteKeys(keys: readonly Uint8Array[]): void {
    const main = this.current + 1;
    for (const key of keys) {
      const existed = this.index.remove(key, main, this.changes);
      invariant(existed, "a key that hangs on a lease exists");
      this.bury(key, main, this.changes++);
    }
    this.finish();
  }

  private note(event: AppliedEvent): void {
    this.events ??= [];
    this.events.push(event);
  }

  /** The command is applied: what it changed becomes the current revision. */
  private finish(): void {
    this.prepared = undefined;
    if (this.changes === 0) return;
    this.changes = 0;
    this.current++;
    const events = this.events;
    if (events === undefined) return;
    this.events = undefined;
    this.onRevision?.(this.current, events);
  }

  compact(request: CompactionRequest): CompactionResult | Refused {
    if (request.revision <= this.compacted) return refused("compacted");
    if (request.revision > this.current) return refused("futureRevision");
    this.compacted = request.revision;
    return {
      kind: "compaction",
      revision: this.current,
      finished: this.compactor.schedule(request.revision),
    };
  }
}

function tombstone(key: Uint8Array, main: number): KeyValue {
  return { key, createRevision: 0, modRevision: main, version: 0, value: noBytes, lease: 0n };
}
