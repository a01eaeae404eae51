// etcdserverpb.KV. Writes go into the log as the bytes the client sent; reads wait for a barrier unless
// they are serializable, then ask the store of this node. Nothing here makes a promise per request:
// results come through callbacks, and at once where the store has them in memory.
//
// One deliberate difference from etcd: a txn of compares alone is linearized, where etcd may answer it
// from stale data.

import {
  decodeCompaction,
  decodeDeleteRange,
  decodePut,
  decodeRange,
  decodeTxn,
  ResponseEncoder,
} from "../../mvcc/codec.js";
import type {
  CompactionResult,
  DeleteRangeResult,
  PutResult,
  RangeRequest,
  RangeResult,
  Refused,
  TxnRequest,
  TxnResult,
} from "../../mvcc/messages.js";
import type { GroupFailure } from "../../replication/proposer.js";
import { type RawMethod, Status, type UnaryCall } from "../../rpc/call.js";
import { CommandKind, encodeCommand } from "../../state/commands.js";
import type { ApiContext } from "../context.js";
import { type ApiError, errorOfFailure, errorOfRefusal, errors, fail, failDecoding } from "../errors.js";
import { admit } from "./admission.js";
import { checkDeleteRange, checkPut, checkRange, checkTxn } from "./checks.js";
import { isReadOnly, isSerializable, mayPut } from "./txn-kind.js";

type Failed = GroupFailure | Refused;

export function kvMethods(context: ApiContext): readonly RawMethod[] {
  const service = new KvService(context);
  const unary = (name: string, handle: (message: Uint8Array, call: UnaryCall) => void): RawMethod => ({
    kind: "unary",
    path: `/etcdserverpb.KV/${name}`,
    handle,
  });
  return [
    unary("Range", (message, call) => service.range(message, call)),
    unary("Put", (message, call) => service.put(message, call)),
    unary("DeleteRange", (message, call) => service.deleteRange(message, call)),
    unary("Txn", (message, call) => service.txn(message, call)),
    unary("Compact", (message, call) => service.compact(message, call)),
  ];
}

class KvService {
  private readonly encoder: ResponseEncoder;
  private readonly checkTxn: (request: TxnRequest) => ApiError | undefined;

  constructor(private readonly context: ApiContext) {
    this.encoder = new ResponseEncoder(context.clusterId, context.memberId);
    this.checkTxn = (request) => checkTxn(request, context.limits.maxTxnOps);
  }

  range(message: Uint8Array, call: UnaryCall): void {
    const request = this.accept(call, decodeRange, Buffer.from(message), 0, checkRange);
    if (request === undefined) return;
    const read = (): void => this.readRange(request, call);
    if (request.serializable) unlessCongested(call, read);
    else this.afterBarrier(call, read);
  }

  put(message: Uint8Array, call: UnaryCall): void {
    const command = encodeCommand(CommandKind.put, message);
    // The request's views point into the command, which lives as long as they do.
    const request = this.accept(call, decodePut, command, 1, checkPut);
    if (request === undefined) return;
    if (this.context.spaceExceeded === true) return fail(call, errors.noSpace);
    this.propose(call, command, request, (outcome) => {
      const result = outcome as PutResult | Failed;
      if (result.kind === "put") call.respond(this.encoder.put(result, this.term));
      else failWith(call, result);
    });
  }

  deleteRange(message: Uint8Array, call: UnaryCall): void {
    const command = encodeCommand(CommandKind.deleteRange, message);
    const request = this.accept(call, decodeDeleteRange, command, 1, checkDeleteRange);
    if (request === undefined) return;
    this.propose(call, command, request, (outcome) => {
      const result = outcome as DeleteRangeResult | Failed;
      if (result.kind === "deleteRange") call.respond(this.encoder.deleteRange(result, this.term));
      else failWith(call, result);
    });
  }

  txn(message: Uint8Array, call: UnaryCall): void {
    const command = encodeCommand(CommandKind.txn, message);
    const request = this.accept(call, decodeTxn, command, 1, this.checkTxn);
    if (request === undefined) return;
    if (!isReadOnly(request)) {
      if (this.context.spaceExceeded === true && mayPut(request)) return fail(call, errors.noSpace);
      this.propose(call, command, request, (outcome) => this.answerTxn(call, outcome as TxnResult | Failed));
    } else if (isSerializable(request)) unlessCongested(call, () => this.readTxn(request, call));
    else this.afterBarrier(call, () => this.readTxn(request, call));
  }

  compact(message: Uint8Array, call: UnaryCall): void {
    const command = encodeCommand(CommandKind.compaction, message);
    const request = this.accept(call, decodeCompaction, command, 1, acceptAny);
    if (request === undefined) return;
    this.propose(call, command, request, (outcome) => {
      const result = outcome as CompactionResult | Failed;
      if (result.kind === "compaction") this.answerCompaction(call, result, request.physical);
      else failWith(call, result);
    });
  }

  /** The request when it parses, the caller may ask and the check finds no fault; otherwise the call has ended. */
  private accept<R extends object>(
    call: UnaryCall,
    decode: (bytes: Uint8Array, start: number) => R,
    bytes: Uint8Array,
    start: number,
    check: (request: R) => ApiError | undefined,
  ): R | undefined {
    let request: R;
    try {
      request = decode(bytes, start);
    } catch (error) {
      failDecoding(call, error);
      return undefined;
    }
    const serializable = "serializable" in request && request.serializable === true;
    if (!admit(this.context, call, serializable)) return undefined;
    const fault = check(request);
    if (fault === undefined) return request;
    fail(call, fault);
    return undefined;
  }

  private propose(
    call: UnaryCall,
    command: Uint8Array,
    request: unknown,
    done: (outcome: unknown) => void,
  ): void {
    // The first byte of a command is ours.
    if (command.length - 1 > this.context.limits.maxRequestBytes) fail(call, errors.requestTooLarge);
    else this.context.proposer.propose(command, request, done);
  }

  private afterBarrier(call: UnaryCall, read: () => void): void {
    this.context.proposer.readBarrier((failure) => {
      if (failure !== undefined) fail(call, errorOfFailure(failure));
      else if (!call.ended) unlessCongested(call, read);
    });
  }

  private readRange(request: RangeRequest, call: UnaryCall): void {
    const result = this.context.reader.range(request);
    if (result instanceof Promise) {
      result.then(
        (later) => this.answerRange(call, later),
        (error: unknown) => this.failUnexpectedly(call, error),
      );
    } else this.answerRange(call, result);
  }

  private readTxn(request: TxnRequest, call: UnaryCall): void {
    const result = this.context.reader.readTxn(request);
    if (result instanceof Promise) {
      result.then(
        (later) => this.answerTxn(call, later),
        (error: unknown) => this.failUnexpectedly(call, error),
      );
    } else this.answerTxn(call, result);
  }

  private answerRange(call: UnaryCall, result: RangeResult | Refused): void {
    if (result.kind === "range") call.respond(this.encoder.range(result, this.term));
    else failWith(call, result);
  }

  private answerTxn(call: UnaryCall, result: TxnResult | Failed): void {
    if (result.kind === "txn") call.respond(this.encoder.txn(result, this.term));
    else failWith(call, result);
  }

  private answerCompaction(call: UnaryCall, result: CompactionResult, physical: boolean): void {
    const answer = (): void => call.respond(this.encoder.compaction(result.revision, this.term));
    if (physical) result.finished.then(answer, (error: unknown) => this.failUnexpectedly(call, error));
    else answer();
  }

  private failUnexpectedly(call: UnaryCall, error: unknown): void {
    fail(call, errors.internal);
    this.context.unexpected(call.path, error);
  }

  private get term(): number {
    return this.context.role.epoch;
  }
}

/**
 * Reads unless the caller leaves more unread than its connection may hold. The server looks when a call
 * begins; but any number can begin in one turn, before the first of their answers is there.
 */
function unlessCongested(call: UnaryCall, read: () => void): void {
  if (call.congested) call.end(Status.RESOURCE_EXHAUSTED, unreadAnswers);
  else read();
}

const unreadAnswers = "grpc: too much waits for this connection to be read";
const acceptAny = (): undefined => undefined;

function failWith(call: UnaryCall, failed: Failed): void {
  switch (failed.kind) {
    case "refused":
      fail(call, errorOfRefusal(failed.reason));
      break;
    case "failed":
      fail(call, errorOfFailure(failed));
      break;
    default:
      failed satisfies never;
  }
}
