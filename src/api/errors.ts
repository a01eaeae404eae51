// From what went wrong below the API to what the client is told: the store's refusals and the group's
// failures become entries of the catalogue, and those end calls.

import { NestingTooDeep } from "../mvcc/codec.js";
import type { StoreRefusal } from "../mvcc/messages.js";
import { WireError } from "../protobuf/wire.js";
import type { GroupFailure } from "../replication/proposer.js";
import { RpcError, type ServerCall } from "../rpc/call.js";
import { errors } from "./errors/catalogue.js";
import type { ApiError } from "./errors/entry.js";

export { errors } from "./errors/catalogue.js";
export { type ApiError, errorCodeTrailer, type Retry } from "./errors/entry.js";

/** Ends the call with the error. */
export function fail(call: ServerCall, error: ApiError): void {
  call.end(error.status, error.text, error.trailers);
}

/** The error as an exception, for handlers that are asynchronous anyway. */
export function rpcError(error: ApiError): RpcError {
  return new RpcError(error.status, error.text, error.trailers);
}

/** What grpc-go answers when a request does not parse. */
export function malformed(call: ServerCall, detail: string): void {
  const { status, text, trailers } = errors.malformedRequest;
  call.end(status, text + detail, trailers);
}

/** Ends the call after a decoder threw; anything but malformed bytes is a bug and thrown on. */
export function failDecoding(call: ServerCall, error: unknown): void {
  // Deeper than the decoder goes is deeper than any txn limit: etcd counts operations there.
  if (error instanceof NestingTooDeep) fail(call, errors.tooManyOps);
  else if (error instanceof WireError) malformed(call, error.message);
  else throw error;
}

export function errorOfRefusal(reason: StoreRefusal): ApiError {
  switch (reason) {
    case "keyNotFound":
      return errors.keyNotFound;
    case "leaseNotFound":
      return errors.leaseNotFound;
    case "leaseExists":
      return errors.leaseExists;
    case "compacted":
      return errors.compacted;
    case "futureRevision":
      return errors.futureRevision;
    case "noSpace":
      return errors.noSpace;
    case "duplicateKey":
      return errors.duplicateKey;
    default:
      return reason satisfies never;
  }
}

/**
 * A lost leader has two answers: "leader changed" and "no leader" promise that nothing was done,
 * "possibly due to previous leader failure" leaves it open.
 */
export function errorOfFailure(failure: GroupFailure): ApiError {
  const open = failure.outcome === "unknown";
  switch (failure.reason) {
    case "noLeader":
      return open ? errors.timeoutDueToLeaderFail : errors.noLeader;
    case "leaderChanged":
      return open ? errors.timeoutDueToLeaderFail : errors.leaderChanged;
    case "timeout":
      return errors.timeout;
    case "tooManyRequests":
      return errors.tooManyRequests;
    case "stopped":
      return errors.stopped;
    case "notLeader":
      return errors.notLeader;
    case "changePending":
    case "unhealthy":
      return errors.unhealthy;
    case "invalidChange":
      return errors.memberNotEnoughStarted;
    case "badTransferee":
      return errors.badLeaderTransferee;
    case "learnerNotReady":
      return errors.learnerNotReady;
    case "peerUrlExists":
      return errors.peerUrlExists;
    case "tooManyLearners":
      return errors.tooManyLearners;
    default:
      return failure.reason satisfies never;
  }
}
