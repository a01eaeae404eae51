// The KV requests and results as the store and the API see them: plain objects with safe integers for
// revisions and counts. Leases stay bigint (any int64). codec.ts turns them into etcd's wire messages.

/** etcd's mvccpb.KeyValue. */
export interface KeyValue {
  readonly key: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Changes since creation, from 1. */
  readonly version: number;
  readonly value: Uint8Array;
  /** 0n: none. */
  readonly lease: bigint;
}

/** As on the wire: values outside these are kept as they came and refused by the checks. */
export const SortOrder = { none: 0, ascend: 1, descend: 2 } as const;
export const SortTarget = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;
export const CompareResult = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const;
export const CompareTarget = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;

export interface RangeRequest {
  readonly key: Uint8Array;
  /** Empty: the single key. "\0": all keys from `key` on. Otherwise exclusive end. */
  readonly rangeEnd: Uint8Array;
  /** 0: no limit. */
  readonly limit: number;
  /** 0 or below: the newest. */
  readonly revision: number;
  readonly sortOrder: number;
  readonly sortTarget: number;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

export interface PutRequest {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly lease: bigint;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteRangeRequest {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
  readonly prevKv: boolean;
}

export interface Compare {
  readonly result: number;
  readonly target: number;
  readonly key: Uint8Array;
  /** What the oneof held; "none" when unset. Of another kind than `target`: compare with 0 or empty. */
  readonly union: "none" | "version" | "create" | "mod" | "value" | "lease";
  /** version, create and mod as safe integers (negative ones possible); 0 otherwise. */
  readonly number: number;
  readonly value: Uint8Array;
  readonly lease: bigint;
  readonly rangeEnd: Uint8Array;
}

export type RequestOp =
  | { readonly kind: "range"; readonly request: RangeRequest }
  | { readonly kind: "put"; readonly request: PutRequest }
  | { readonly kind: "deleteRange"; readonly request: DeleteRangeRequest }
  | { readonly kind: "txn"; readonly request: TxnRequest }
  | { readonly kind: "none" };

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface CompactionRequest {
  readonly revision: number;
  readonly physical: boolean;
}

/** Why the store refused; the API turns it into etcd's error. Nothing was changed. */
export type StoreRefusal =
  | "keyNotFound"
  | "leaseNotFound"
  | "leaseExists"
  | "compacted"
  | "futureRevision"
  | "noSpace"
  | "duplicateKey";

export interface Refused {
  readonly kind: "refused";
  readonly reason: StoreRefusal;
}

export interface RangeResult {
  readonly kind: "range";
  /** Current revision of the store at the read (semantics H3). */
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: number;
}

export interface PutResult {
  readonly kind: "put";
  readonly revision: number;
  readonly prevKv: KeyValue | undefined;
}

export interface DeleteRangeResult {
  readonly kind: "deleteRange";
  readonly revision: number;
  readonly deleted: number;
  readonly prevKvs: readonly KeyValue[];
}

export interface TxnResult {
  readonly kind: "txn";
  readonly revision: number;
  readonly succeeded: boolean;
  readonly responses: readonly OpResult[];
}

export type OpResult = RangeResult | PutResult | DeleteRangeResult | TxnResult;

export interface CompactionResult {
  readonly kind: "compaction";
  readonly revision: number;
  /** Resolves when the local removal is finished (`physical`). */
  readonly finished: Promise<void>;
}

/** One change of one key, in revision order; what watches are made of. */
export interface KeyEvent {
  readonly type: "put" | "delete";
  /** For a deletion only key and modRevision are set. */
  readonly kv: KeyValue;
}

/** A change as the store tells of it when it makes it. */
export interface AppliedEvent extends KeyEvent {
  /** `kv` as mvccpb.KeyValue. A view that keeps much more memory alive: copy what is kept. */
  readonly row: Uint8Array;
}

/** Local reads, as of everything applied. May complete at once (the usual case) or later. */
export interface KvReader {
  readonly currentRevision: number;
  /** Last compacted revision; -1 on a store never compacted. */
  readonly compactedRevision: number;
  range(request: RangeRequest): RangeResult | Refused | Promise<RangeResult | Refused>;
  /** A txn whose taken and untaken branches hold nothing but ranges. */
  readTxn(request: TxnRequest): TxnResult | Refused | Promise<TxnResult | Refused>;
}
