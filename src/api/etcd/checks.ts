// What is refused before it reaches the log or the store, with etcd's limits and in etcd's order: of
// several faults in one request the client hears of the same one.

import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SortOrder,
  SortTarget,
  type TxnRequest,
} from "../../mvcc/messages.js";
import { type ApiError, errors } from "../errors.js";
import { putsKeyTwice } from "./duplicate-keys.js";

const lastSortOrder = SortOrder.descend;
const lastSortTarget = SortTarget.value;

export function checkRange(request: RangeRequest): ApiError | undefined {
  if (request.key.length === 0) return errors.emptyKey;
  const { sortOrder, sortTarget } = request;
  if (sortOrder < 0 || sortOrder > lastSortOrder) return errors.invalidSortOption;
  if (sortTarget < 0 || sortTarget > lastSortTarget) return errors.invalidSortOption;
  return undefined;
}

export function checkPut(request: PutRequest): ApiError | undefined {
  if (request.key.length === 0) return errors.emptyKey;
  if (request.ignoreValue && request.value.length !== 0) return errors.valueProvided;
  if (request.ignoreLease && request.lease !== 0n) return errors.leaseProvided;
  return undefined;
}

export function checkDeleteRange(request: DeleteRangeRequest): ApiError | undefined {
  return request.key.length === 0 ? errors.emptyKey : undefined;
}

/** @param maxOps compares, or operations of a branch; what is nested may use what this level leaves. */
export function checkTxn(request: TxnRequest, maxOps: number): ApiError | undefined {
  const fault = checkOperations(request, maxOps);
  if (fault !== undefined) return fault;
  if (putsKeyTwice(request.success) || putsKeyTwice(request.failure)) return errors.duplicateKey;
  return undefined;
}

function checkOperations(request: TxnRequest, maxOps: number): ApiError | undefined {
  const used = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (used > maxOps) return errors.tooManyOps;
  for (const compare of request.compare) if (compare.key.length === 0) return errors.emptyKey;
  for (const branch of [request.success, request.failure]) {
    for (const op of branch) {
      const fault = checkOperation(op, maxOps - used);
      if (fault !== undefined) return fault;
    }
  }
  return undefined;
}

function checkOperation(op: RequestOp, maxOps: number): ApiError | undefined {
  switch (op.kind) {
    case "range":
      return checkRange(op.request);
    case "put":
      return checkPut(op.request);
    case "deleteRange":
      return checkDeleteRange(op.request);
    case "txn":
      return checkOperations(op.request, maxOps);
    case "none":
      return errors.keyNotFound;
    default:
      return op satisfies never;
  }
}
