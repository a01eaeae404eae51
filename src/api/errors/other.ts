// Errors beyond etcd's documented ones.

import { Status } from "../../rpc/call.js";
import { type ApiError, entry } from "./entry.js";

/** What etcd answers without documenting it, mostly with status UNKNOWN. */
export const undocumentedErrors = {
  transferTimeout: entry(
    "TRANSFER_TIMEOUT",
    Status.UNKNOWN,
    "etcdserver: request timed out, leader transfer took too long",
    "unknown",
    "The member to lead did not take over within an election timeout.",
  ),
  notPrimaryLessor: entry(
    "NOT_PRIMARY_LESSOR",
    Status.UNKNOWN,
    "not a primary lessor",
    "safe",
    "A lease was to be renewed while this member could not confirm that it leads.",
  ),
  unknownDowngradeAction: entry(
    "UNKNOWN_DOWNGRADE_ACTION",
    Status.UNKNOWN,
    "etcdserver: unknown method",
    "pointless",
    "The action of a Downgrade request stands for nothing.",
  ),
  noPasswordUser: entry(
    "NO_PASSWORD_USER",
    Status.UNKNOWN,
    "auth: authentication failed, password was given for no password user",
    "pointless",
    "A user without password cannot log in with one.",
  ),
  verifyOnlyKey: entry(
    "VERIFY_ONLY_KEY",
    Status.UNKNOWN,
    "auth: token signing attempted with verify-only key",
    "pointless",
    "Tokens cannot be issued here: only the public key is configured.",
  ),
  mutexSessionExpired: entry(
    "MUTEX_SESSION_EXPIRED",
    Status.UNKNOWN,
    "mutex: session is expired",
    "safe",
    "The lease expired while waiting for the lock; the lock was not acquired.",
  ),
  mutexLocked: entry(
    "MUTEX_LOCKED",
    Status.UNKNOWN,
    "mutex: Locked by another session",
    "safe",
    "Somebody else holds the lock.",
  ),
  mutexReleased: entry(
    "MUTEX_RELEASED",
    Status.UNKNOWN,
    "mutex: lock has already been released",
    "pointless",
    "The lock is not held any more.",
  ),
  electionNotLeader: entry(
    "ELECTION_NOT_LEADER",
    Status.UNKNOWN,
    "election: not leader",
    "pointless",
    "The caller does not lead this election, or not any more.",
  ),
  electionNoLeader: entry(
    "ELECTION_NO_LEADER",
    Status.UNKNOWN,
    "election: no leader",
    "safe",
    "Nobody leads this election at the moment.",
  ),
  missingLeaderKey: entry(
    "MISSING_LEADER_KEY",
    Status.UNKNOWN,
    '"leader" field must be provided',
    "pointless",
    "A Proclaim or Resign request lacks the leader it acts for.",
  ),
  rangeStreamSort: entry(
    "RANGE_STREAM_SORT",
    Status.UNIMPLEMENTED,
    "RangeStream does not support custom sort orders",
    "pointless",
    "RangeStream answers in key order only.",
  ),
  rangeStreamFilter: entry(
    "RANGE_STREAM_FILTER",
    Status.UNIMPLEMENTED,
    "RangeStream does not support revision filters",
    "pointless",
    "RangeStream cannot filter by revision.",
  ),
} as const satisfies Record<string, ApiError>;

/** Errors of this server's own, and of gRPC on its behalf. */
export const ownErrors = {
  malformedRequest: entry(
    "MALFORMED_REQUEST",
    Status.INTERNAL,
    "grpc: error unmarshalling request: proto: ",
    "pointless",
    "The bytes are not a message of the expected type; the text goes on with what is wrong.",
  ),
  notImplemented: entry(
    "NOT_IMPLEMENTED",
    Status.UNIMPLEMENTED,
    "quorate: not implemented yet",
    "pointless",
    "This version does not serve the method, or not in this form.",
  ),
  internal: entry(
    "INTERNAL",
    Status.INTERNAL,
    "quorate: internal error",
    "unknown",
    "A bug or a failing disk; the log of the member says what happened.",
  ),
} as const satisfies Record<string, ApiError>;
