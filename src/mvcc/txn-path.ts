// The operations a transaction will run, in the order in which it runs them, and the checks made on all
// of them before the first one: a transaction is refused as a whole or applied as a whole.

import { newest } from "./index/key-index.js";
import { compareKeys } from "./index/packed-keys.js";
import type {
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  StoreRefusal,
  TxnRequest,
} from "./messages.js";
import { rangeEnd, type View } from "./range.js";
import type { RowReader } from "./row-store.js";

export type LeafOp = Exclude<RequestOp, { readonly kind: "txn" }>;

/** The operations on the taken path, nested ones in their place. */
export function takenOps(txn: TxnRequest, path: readonly boolean[]): LeafOp[] {
  const ops: LeafOp[] = [];
  let depth = 0;
  const collect = (nested: TxnRequest): void => {
    for (const op of path[depth++] ? nested.success : nested.failure) {
      if (op.kind === "txn") collect(op.request);
      else ops.push(op);
    }
  };
  collect(txn);
  return ops;
}

/** Puts first, then ranges, as etcd checks them; against the state before the transaction. */
export function checkTaken(
  view: View,
  ops: readonly LeafOp[],
  compacted: number,
  leaseExists: (lease: bigint) => boolean,
): StoreRefusal | undefined {
  for (const [at, op] of ops.entries()) {
    if (op.kind === "none") return "keyNotFound";
    if (op.kind !== "put") continue;
    const put = op.request;
    if ((put.ignoreValue || put.ignoreLease) && !willExist(view, ops, at, put.key)) return "keyNotFound";
    if (put.lease !== 0n && !leaseExists(put.lease)) return "leaseNotFound";
  }
  for (const op of ops) {
    if (op.kind !== "range" || op.request.revision === 0) continue;
    // Unlike a plain Range, a revision below 0 is compared as it is.
    if (op.request.revision > view.revision) return "futureRevision";
    if (op.request.revision < compacted) return "compacted";
  }
  return undefined;
}

/** Whether the key exists now and is still there when the operation at `position` runs. */
function willExist(view: View, ops: readonly LeafOp[], position: number, key: Uint8Array): boolean {
  if (!view.index.get(key, newest)) return false;
  let exists = true;
  for (let at = 0; at < position; at++) {
    const op = ops[at]!;
    if (op.kind === "deleteRange" && covers(op.request, key)) exists = false;
    else if (op.kind === "put" && compareKeys(op.request.key, key) === 0) exists = true;
  }
  return exists;
}

function covers(range: DeleteRangeRequest, key: Uint8Array): boolean {
  const end = rangeEnd(range.rangeEnd);
  const fromStart = compareKeys(key, range.key);
  if (end === null) return fromStart === 0;
  return fromStart >= 0 && (end === undefined || compareKeys(key, end) < 0);
}

/** Reads the row a put looks at, if it does. */
export function touchPut(view: View, request: PutRequest, wantResult: boolean, reader: RowReader): void {
  if (!request.ignoreValue && !request.ignoreLease && !(request.prevKv && wantResult)) return;
  const { index } = view;
  if (index.get(request.key, newest)) reader.get(index.cell[1]!, index.cell[3]!);
}

export function touchDeleteRange(
  view: View,
  request: DeleteRangeRequest,
  wantResult: boolean,
  reader: RowReader,
): void {
  if (request.prevKv && wantResult)
    touchRange(view, request.key, request.rangeEnd, newest, Number.POSITIVE_INFINITY, reader);
}

function touchRange(
  view: View,
  key: Uint8Array,
  endBytes: Uint8Array,
  at: number,
  limit: number,
  reader: RowReader,
): void {
  const { index } = view;
  const { cell } = index;
  const end = rangeEnd(endBytes);
  if (end === null) {
    if (index.get(key, at)) reader.get(cell[1]!, cell[3]!);
    return;
  }
  let left = limit;
  index.scan(key, end, at, () => {
    reader.get(cell[1]!, cell[3]!);
    return --left > 0;
  });
}

/**
 * Reads every row that the operations may need of the state before them. Rows that they write
 * themselves are in memory anyway. A limit is stretched by as many keys as earlier operations of the
 * transaction may take out of the range.
 */
export function touchOps(view: View, ops: readonly LeafOp[], wantResult: boolean, reader: RowReader): void {
  let slack = 0;
  for (const op of ops) {
    switch (op.kind) {
      case "put":
        touchPut(view, op.request, wantResult, reader);
        slack++;
        break;
      case "deleteRange": {
        touchDeleteRange(view, op.request, wantResult, reader);
        const end = rangeEnd(op.request.rangeEnd);
        slack += end === null ? 1 : view.index.countNewest(op.request.key, end);
        break;
      }
      case "range":
        if (wantResult) touchTxnRange(view, op.request, slack, reader);
        break;
      case "none":
        break;
      default:
        op satisfies never;
    }
  }
}

function touchTxnRange(view: View, request: RangeRequest, slack: number, reader: RowReader): void {
  if (request.countOnly) return;
  const plain =
    request.sortTarget === 0 &&
    request.sortOrder === 0 &&
    request.maxModRevision === 0 &&
    request.minModRevision === 0 &&
    request.maxCreateRevision === 0 &&
    request.minCreateRevision === 0;
  if (request.keysOnly && plain) return;
  const limit = plain && request.limit > 0 ? request.limit + 1 + slack : Number.POSITIVE_INFINITY;
  const at = request.revision > 0 ? request.revision : view.at;
  touchRange(view, request.key, request.rangeEnd, at, limit, reader);
}
