// etcd's errors about keys, revisions, transactions, leases and watches.

import { Status } from "../../rpc/call.js";
import { type ApiError, entry } from "./entry.js";

export const kvErrors = {
  emptyKey: entry(
    "EMPTY_KEY",
    Status.INVALID_ARGUMENT,
    "etcdserver: key is not provided",
    "pointless",
    "A request names no key: put, range, delete and compare all need one.",
  ),
  keyNotFound: entry(
    "KEY_NOT_FOUND",
    Status.INVALID_ARGUMENT,
    "etcdserver: key not found",
    "pointless",
    "A put with ignore_value or ignore_lease meets no key to take them from, or an operation of a txn is empty.",
  ),
  valueProvided: entry(
    "VALUE_PROVIDED",
    Status.INVALID_ARGUMENT,
    "etcdserver: value is provided",
    "pointless",
    "A put has a value although ignore_value is set.",
  ),
  leaseProvided: entry(
    "LEASE_PROVIDED",
    Status.INVALID_ARGUMENT,
    "etcdserver: lease is provided",
    "pointless",
    "A put has a lease although ignore_lease is set.",
  ),
  tooManyOps: entry(
    "TOO_MANY_OPS",
    Status.INVALID_ARGUMENT,
    "etcdserver: too many operations in txn request",
    "pointless",
    "A txn has more compares or operations than max-txn-ops allows; what it nests counts against the rest.",
  ),
  duplicateKey: entry(
    "DUPLICATE_KEY",
    Status.INVALID_ARGUMENT,
    "etcdserver: duplicate key given in txn request",
    "pointless",
    "One branch of a txn puts a key twice, or puts a key it deletes.",
  ),
  invalidSortOption: entry(
    "INVALID_SORT_OPTION",
    Status.INVALID_ARGUMENT,
    "etcdserver: invalid sort option",
    "pointless",
    "sort_order or sort_target holds a number that stands for nothing.",
  ),
  compacted: entry(
    "COMPACTED",
    Status.OUT_OF_RANGE,
    "etcdserver: mvcc: required revision has been compacted",
    "pointless",
    "The revision asked for is older than the last compaction. Start again from the current revision.",
  ),
  futureRevision: entry(
    "FUTURE_REVISION",
    Status.OUT_OF_RANGE,
    "etcdserver: mvcc: required revision is a future revision",
    "pointless",
    "The revision asked for does not exist yet.",
  ),
  noSpace: entry(
    "NO_SPACE",
    Status.RESOURCE_EXHAUSTED,
    "etcdserver: mvcc: database space exceeded",
    "pointless",
    "The store has reached its quota; deletions, compaction and reads still work.",
  ),
  leaseNotFound: entry(
    "LEASE_NOT_FOUND",
    Status.NOT_FOUND,
    "etcdserver: requested lease not found",
    "pointless",
    "The lease was never granted, was revoked or has expired.",
  ),
  leaseExists: entry(
    "LEASE_EXISTS",
    Status.FAILED_PRECONDITION,
    "etcdserver: lease already exists",
    "pointless",
    "A lease with the wanted ID exists already.",
  ),
  leaseTtlTooLarge: entry(
    "LEASE_TTL_TOO_LARGE",
    Status.OUT_OF_RANGE,
    "etcdserver: too large lease TTL",
    "pointless",
    "The TTL is above 9,000,000,000 seconds.",
  ),
  watchCanceled: entry(
    "WATCH_CANCELED",
    Status.CANCELLED,
    "etcdserver: watch canceled",
    "safe",
    "The watch stream was ended.",
  ),
  requestTooLarge: entry(
    "REQUEST_TOO_LARGE",
    Status.INVALID_ARGUMENT,
    "etcdserver: request is too large",
    "pointless",
    "The request is larger than max-request-bytes.",
  ),
} as const satisfies Record<string, ApiError>;
