// Which txns need the log, which of the others need a read barrier (semantics, rule 24), and which add
// to the store.

import type { RequestOp, TxnRequest } from "../../mvcc/messages.js";

/** Nothing but ranges on both branches: answered without the log. A nested txn counts as a write. */
export function isReadOnly(request: TxnRequest): boolean {
  return request.success.every(isRange) && request.failure.every(isRange);
}

/**
 * A read-only txn whose every range is serializable. Without any range it is not, unlike in etcd: who
 * only compares wants to know the truth.
 */
export function isSerializable(request: TxnRequest): boolean {
  if (request.success.length + request.failure.length === 0) return false;
  return request.success.every(isSerializableRange) && request.failure.every(isSerializableRange);
}

/** Whether either branch, at any depth, may put a key. */
export function mayPut(request: TxnRequest): boolean {
  const puts = (op: RequestOp): boolean => op.kind === "put" || (op.kind === "txn" && mayPut(op.request));
  return request.success.some(puts) || request.failure.some(puts);
}

const isRange = (op: RequestOp): boolean => op.kind === "range";
const isSerializableRange = (op: RequestOp): boolean => op.kind === "range" && op.request.serializable;
