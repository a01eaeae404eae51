// The store once more, as plainly as possible, to check the real one against: a copy of all keys for
// every revision. Written from etcd's documented behaviour, sharing nothing with the real store.

import type {
  Compare,
  DeleteRangeRequest,
  DeleteRangeResult,
  KeyEvent,
  KeyValue,
  OpResult,
  PutRequest,
  PutResult,
  RangeRequest,
  RangeResult,
  Refused,
  RequestOp,
  StoreRefusal,
  TxnRequest,
  TxnResult,
} from "./messages.js";

type State = ReadonlyMap<string, KeyValue>;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const empty = Buffer.alloc(0);
class Refusal extends Error {
  constructor(readonly reason: StoreRefusal) {
    super(reason);
  }
}

export class NaiveStore {
  /** states[n] is the store at revision n. */
  readonly states: State[] = [new Map(), new Map()];
  readonly events: KeyEvent[][] = [[], []];
  compacted = -1;
  /** The revision being made. */
  private pending = new Map<string, KeyValue>();
  private changes: KeyEvent[] = [];

  get current(): number {
    return this.states.length - 1;
  }

  private attempt<T>(work: () => T): T | Refused {
    this.pending = new Map(this.states[this.current]);
    this.changes = [];
    try {
      return work();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.changes = [];
      return { kind: "refused", reason: error.reason };
    } finally {
      if (this.changes.length > 0) {
        this.states.push(this.pending);
        this.events.push(this.changes);
      }
    }
  }

  put(request: PutRequest): PutResult | Refused {
    return this.attempt(() => {
      if (request.lease !== 0n) throw new Refusal("leaseNotFound");
      const exists = this.pending.has(hex(request.key));
      if ((request.ignoreValue || request.ignoreLease) && !exists) throw new Refusal("keyNotFound");
      return this.doPut(request);
    });
  }

  deleteRange(request: DeleteRangeRequest): DeleteRangeResult | Refused {
    return this.attempt(() => this.doDelete(request));
  }

  txn(request: TxnRequest): TxnResult | Refused {
    return this.attempt(() => {
      const before = this.states[this.current]!;
      const branches = new Map<TxnRequest, boolean>();
      const decide = (txn: TxnRequest): void => {
        const succeeded = txn.compare.every((compare) => this.holds(before, compare));
        branches.set(txn, succeeded);
        for (const op of succeeded ? txn.success : txn.failure) if (op.kind === "txn") decide(op.request);
      };
      decide(request);
      const flat = (txn: TxnRequest): Exclude<RequestOp, { kind: "txn" }>[] =>
        (branches.get(txn) ? txn.success : txn.failure).flatMap((op) =>
          op.kind === "txn" ? flat(op.request) : [op],
        );
      const ops = flat(request);
      this.checkPuts(before, ops);
      for (const op of ops) {
        if (op.kind !== "range" || op.request.revision === 0) continue;
        if (op.request.revision > this.current) throw new Refusal("futureRevision");
        if (op.request.revision < this.compacted) throw new Refusal("compacted");
      }
      const run = (txn: TxnRequest): TxnResult => {
        const succeeded = branches.get(txn)!;
        const responses = (succeeded ? txn.success : txn.failure).map((op): OpResult => {
          if (op.kind === "put") return this.doPut(op.request);
          if (op.kind === "deleteRange") return this.doDelete(op.request);
          if (op.kind === "txn") return { ...run(op.request), revision: 0 };
          if (op.kind === "range") return this.doRange(op.request);
          throw new Refusal("keyNotFound");
        });
        return { kind: "txn", revision: this.headerRevision(), succeeded, responses };
      };
      return run(request);
    });
  }

  private checkPuts(before: State, ops: readonly Exclude<RequestOp, { kind: "txn" }>[]): void {
    const there = new Set(before.keys());
    const deleted = new Set<string>();
    for (const op of ops) {
      if (op.kind === "none") throw new Refusal("keyNotFound");
      if (op.kind === "deleteRange")
        for (const key of there) if (inRange(key, op.request.key, op.request.rangeEnd)) deleted.add(key);
      if (op.kind !== "put") continue;
      const key = hex(op.request.key);
      const ignores = op.request.ignoreValue || op.request.ignoreLease;
      if (ignores && (!there.has(key) || deleted.has(key))) throw new Refusal("keyNotFound");
      if (op.request.lease !== 0n) throw new Refusal("leaseNotFound");
      deleted.delete(key);
    }
  }

  range(request: RangeRequest): RangeResult | Refused {
    if (request.revision > this.current) return { kind: "refused", reason: "futureRevision" };
    if ((request.revision <= 0 ? this.current : request.revision) < this.compacted)
      return { kind: "refused", reason: "compacted" };
    return this.attempt(() => this.doRange(request)) as RangeResult;
  }

  compact(revision: number): Refused | undefined {
    if (revision <= this.compacted) return { kind: "refused", reason: "compacted" };
    if (revision > this.current) return { kind: "refused", reason: "futureRevision" };
    this.compacted = revision;
    return undefined;
  }

  private headerRevision(): number {
    return this.current + (this.changes.length > 0 ? 1 : 0);
  }

  private doPut(request: PutRequest): PutResult {
    const key = hex(request.key);
    const previous = this.pending.get(key);
    const kv: KeyValue = {
      key: request.key,
      createRevision: previous?.createRevision ?? this.current + 1,
      modRevision: this.current + 1,
      version: (previous?.version ?? 0) + 1,
      value: request.ignoreValue ? previous!.value : request.value,
      lease: request.ignoreLease ? previous!.lease : request.lease,
    };
    this.pending.set(key, kv);
    this.changes.push({ type: "put", kv });
    return { kind: "put", revision: this.current + 1, prevKv: request.prevKv ? previous : undefined };
  }

  private doDelete(request: DeleteRangeRequest): DeleteRangeResult {
    const gone = select(this.pending, request.key, request.rangeEnd);
    for (const { key } of gone) {
      this.pending.delete(hex(key));
      const kv = {
        key,
        createRevision: 0,
        modRevision: this.current + 1,
        version: 0,
        value: empty,
        lease: 0n,
      };
      this.changes.push({ type: "delete", kv });
    }
    const prevKvs = request.prevKv ? gone : [];
    return { kind: "deleteRange", revision: this.headerRevision(), deleted: gone.length, prevKvs };
  }

  private doRange(request: RangeRequest): RangeResult {
    const state = request.revision > 0 ? this.states[request.revision]! : this.pending;
    const all = select(state, request.key, request.rangeEnd);
    const revision = this.headerRevision();
    if (request.countOnly) return { kind: "range", revision, kvs: [], more: false, count: all.length };
    let kvs = all;
    const { limit, minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
    const filters = [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision];
    if (limit > 0 && request.sortOrder === 0 && filters.every((filter) => filter === 0))
      kvs = kvs.slice(0, limit + 1);
    if (maxModRevision !== 0) kvs = kvs.filter((kv) => kv.modRevision <= maxModRevision);
    if (minModRevision !== 0) kvs = kvs.filter((kv) => kv.modRevision >= minModRevision);
    if (maxCreateRevision !== 0) kvs = kvs.filter((kv) => kv.createRevision <= maxCreateRevision);
    if (minCreateRevision !== 0) kvs = kvs.filter((kv) => kv.createRevision >= minCreateRevision);
    const by = (kv: KeyValue): number | string =>
      [hex(kv.key), kv.version, kv.createRevision, kv.modRevision, hex(kv.value)][request.sortTarget]!;
    const order = (a: KeyValue, b: KeyValue): number => (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : 0);
    kvs = kvs.toSorted(request.sortOrder === 2 ? (a, b) => order(b, a) : order);
    const more = limit > 0 && kvs.length > limit;
    if (more) kvs = kvs.slice(0, limit);
    if (request.keysOnly) kvs = kvs.map((kv) => ({ ...kv, value: empty }));
    return { kind: "range", revision, kvs, more, count: all.length };
  }

  private holds(state: State, compare: Compare): boolean {
    const found = select(state, compare.key, compare.rangeEnd);
    if (found.length === 0 && compare.target === 3) return false;
    const missing = { key: empty, createRevision: 0, modRevision: 0, version: 0, value: empty, lease: 0n };
    return (found.length === 0 ? [missing] : found).every((kv) => {
      const kind = (["version", "create", "mod", "value", "lease"] as const)[compare.target]!;
      const has = [kv.version, kv.createRevision, kv.modRevision, hex(kv.value), kv.lease][compare.target]!;
      const given = compare.union === kind;
      const asked =
        kind === "value"
          ? hex(given ? compare.value : empty)
          : kind === "lease"
            ? given
              ? compare.lease
              : 0n
            : given
              ? compare.number
              : 0;
      return [has === asked, has > asked, has < asked, has !== asked][compare.result]!;
    });
  }
}

function inRange(key: string, start: Uint8Array, end: Uint8Array): boolean {
  if (end.length === 0) return key === hex(start);
  return key >= hex(start) && (hex(end) === "00" || key < hex(end));
}

function select(state: State, start: Uint8Array, end: Uint8Array): KeyValue[] {
  return [...state.entries()]
    .filter(([key]) => inRange(key, start, end))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, kv]) => kv);
}
