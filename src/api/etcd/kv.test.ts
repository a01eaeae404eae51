import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  CompactionRequestSchema,
  CompactionResponseSchema,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import type { KeyValue, Refused, StoreRefusal } from "../../mvcc/messages.js";
import type { GroupFailure } from "../../replication/proposer.js";
import { Status } from "../../rpc/call.js";
import { CommandKind } from "../../state/commands.js";
import { type ApiError, errorCodeTrailer, errors } from "../errors.js";
import { type Answer, FakeCaller, FakeContext } from "../testing/fakes.js";
import { kvMethods } from "./kv.js";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const methods = {
  Range: [RangeRequestSchema, RangeResponseSchema],
  Put: [PutRequestSchema, PutResponseSchema],
  DeleteRange: [DeleteRangeRequestSchema, DeleteRangeResponseSchema],
  Txn: [TxnRequestSchema, TxnResponseSchema],
  Compact: [CompactionRequestSchema, CompactionResponseSchema],
} as const;
type Name = keyof typeof methods;

class Harness {
  readonly context = new FakeContext();
  readonly caller = new FakeCaller(kvMethods(this.context));

  call<N extends Name>(name: N, init: MessageInitShape<(typeof methods)[N][0]>): Promise<Answer> {
    return this.caller.unary(`/etcdserverpb.KV/${name}`, encode(methods[name][0], init));
  }
}

function encode<D extends DescMessage>(schema: D, init: MessageInitShape<D>): Uint8Array {
  return toBinary(schema, create(schema, init));
}

function okay<D extends DescMessage>(answer: Answer, schema: D): MessageShape<D> {
  assert.equal(answer.code, Status.OK, answer.message);
  return fromBinary(schema, answer.response!);
}

function assertError(answer: Answer, error: ApiError): void {
  assert.deepEqual([answer.code, answer.message], [error.status, error.text]);
  assert.deepEqual(answer.trailers, [[errorCodeTrailer, error.code]]);
}

const fullHeader = { clusterId: 0xcdf8_1818_1e33_1a7bn, memberId: 101n, raftTerm: 7n };
function assertHeader(header: unknown, revision: bigint): void {
  const {
    clusterId,
    memberId,
    raftTerm,
    revision: found,
  } = header as typeof fullHeader & { revision: bigint };
  assert.deepEqual({ clusterId, memberId, raftTerm }, fullHeader);
  assert.equal(found, revision);
}

const refusal = (reason: StoreRefusal): Refused => ({ kind: "refused", reason });
const timedOut: GroupFailure = { kind: "failed", reason: "timeout", outcome: "unknown" };
const kv = (key: string, value: string): KeyValue => ({
  key: bytes(key),
  value: bytes(value),
  createRevision: 2,
  modRevision: 3,
  version: 2,
  lease: 0n,
});

test("a put is proposed as the bytes the client sent, with the request decoded from them", async () => {
  const { context, caller } = new Harness();
  context.proposer.onPropose = () => ({ kind: "put", revision: 43, prevKv: kv("k", "old") });
  const message = encode(PutRequestSchema, { key: bytes("k"), value: bytes("v"), lease: 9n, prevKv: true });
  const response = okay(await caller.unary("/etcdserverpb.KV/Put", message), PutResponseSchema);
  assertHeader(response.header, 43n);
  assert.equal(Buffer.from(response.prevKv!.value).toString(), "old");
  const [proposal] = context.proposer.proposals;
  assert.deepEqual(Buffer.from(proposal!.command), Buffer.concat([Uint8Array.of(CommandKind.put), message]));
  // The caller has overwritten its bytes since: what was handed along must not share them.
  const { key, value, lease } = proposal!.request as { key: Uint8Array; value: Uint8Array; lease: bigint };
  assert.deepEqual([Buffer.from(key).toString(), Buffer.from(value).toString(), lease], ["k", "v", 9n]);
});

test("deletes, txns and compactions go through the log under their own kinds", async () => {
  const harness = new Harness();
  const { proposer } = harness.context;
  proposer.onPropose = () => ({ kind: "deleteRange", revision: 43, deleted: 2, prevKvs: [kv("a", "1")] });
  const deleted = await harness.call("DeleteRange", { key: bytes("a"), rangeEnd: bytes("c"), prevKv: true });
  const deletion = okay(deleted, DeleteRangeResponseSchema);
  assertHeader(deletion.header, 43n);
  assert.deepEqual([deletion.deleted, deletion.prevKvs.length], [2n, 1]);

  proposer.onPropose = () => ({
    kind: "txn",
    revision: 44,
    succeeded: true,
    responses: [{ kind: "put", revision: 44, prevKv: undefined }],
  });
  const put = { case: "requestPut" as const, value: { key: bytes("k") } };
  const txn = okay(await harness.call("Txn", { success: [{ request: put }] }), TxnResponseSchema);
  assertHeader(txn.header, 44n);
  assert.equal(txn.succeeded, true);
  assert.equal(txn.responses[0]?.response.case, "responsePut");

  proposer.onPropose = () => ({ kind: "compaction", revision: 44, finished: new Promise(() => {}) });
  const compaction = okay(await harness.call("Compact", { revision: 40n }), CompactionResponseSchema);
  assertHeader(compaction.header, 44n);

  const kinds = proposer.proposals.map(({ command }) => command[0]);
  assert.deepEqual(kinds, [CommandKind.deleteRange, CommandKind.txn, CommandKind.compaction]);
});

test("a physical compaction is answered when the removal is finished, and not before", async () => {
  const harness = new Harness();
  let finish = (): void => assert.fail("not set");
  const finished = new Promise<void>((resolve) => (finish = resolve));
  harness.context.proposer.onPropose = () => ({ kind: "compaction", revision: 44, finished });
  let answered = false;
  const answer = harness.call("Compact", { revision: 40n, physical: true }).then((result) => {
    answered = true;
    return result;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(answered, false);
  finish();
  assertHeader(okay(await answer, CompactionResponseSchema).header, 44n);
});

test("a compaction whose removal fails is reported and answered as an internal error", async () => {
  const harness = new Harness();
  const broken = new Error("disk on fire");
  harness.context.proposer.onPropose = () => {
    return { kind: "compaction", revision: 44, finished: Promise.reject(broken) };
  };
  assertError(await harness.call("Compact", { revision: 40n, physical: true }), errors.internal);
  assert.deepEqual(harness.context.surprises, [broken]);
});

test("a range waits for a read barrier, a serializable one does not", async () => {
  const harness = new Harness();
  const { proposer, reader } = harness.context;
  proposer.onBarrier = () => "wait";
  const linearizable = harness.call("Range", { key: bytes("k") });
  assert.equal(reader.asked.length, 0);
  const serializable = await harness.call("Range", { key: bytes("k"), serializable: true });
  assertHeader(okay(serializable, RangeResponseSchema).header, 42n);
  assert.equal(reader.asked.length, 1);
  reader.currentRevision = 50;
  proposer.waiting[0]!(undefined);
  assertHeader(okay(await linearizable, RangeResponseSchema).header, 50n);
  assert.equal(proposer.proposals.length, 0);
});

test("a range asks the store for what the client sent, also after the client's bytes are gone", async () => {
  const harness = new Harness();
  harness.context.proposer.onBarrier = () => "wait";
  const answer = harness.call("Range", {
    key: bytes("key"),
    rangeEnd: bytes("kez"),
    limit: 7n,
    revision: -3n,
  });
  harness.context.reader.onRange = (request) => {
    assert.deepEqual([Buffer.from(request.key).toString(), request.limit, request.revision], ["key", 7, -3]);
    return { kind: "range", revision: 42, kvs: [kv("key", "x")], more: true, count: 9 };
  };
  harness.context.proposer.waiting[0]!(undefined);
  const response = okay(await answer, RangeResponseSchema);
  assert.deepEqual([response.kvs.length, response.more, response.count], [1, true, 9n]);
});

test("results that come later are answered when they come, failing ones as internal errors", async () => {
  const harness = new Harness();
  const { reader } = harness.context;
  reader.onRange = async () => ({ kind: "range", revision: 42, kvs: [], more: false, count: 3 });
  assert.equal(okay(await harness.call("Range", { key: bytes("k") }), RangeResponseSchema).count, 3n);
  reader.onRange = async () => refusal("compacted");
  assertError(await harness.call("Range", { key: bytes("k"), revision: 1n }), errors.compacted);
  const broken = new Error("read failed");
  reader.onRange = () => Promise.reject(broken);
  reader.onTxn = () => Promise.reject(broken);
  assertError(await harness.call("Range", { key: bytes("k") }), errors.internal);
  assertError(await harness.call("Txn", {}), errors.internal);
  assert.deepEqual(harness.context.surprises, [broken, broken]);
});

test("the store is not asked for a call that ended while it waited for the barrier", () => {
  const { context, caller } = new Harness();
  context.proposer.onBarrier = () => "wait";
  const message = encode(RangeRequestSchema, { key: bytes("k") });
  const call = caller.begin("/etcdserverpb.KV/Range", message, [], () => assert.fail("answered"));
  call.cancel();
  context.proposer.waiting[0]!(undefined);
  assert.equal(context.reader.asked.length, 0);
});

const rangeOp = (serializable: boolean) => ({
  request: { case: "requestRange" as const, value: { key: bytes("k"), serializable } },
});

test("a txn of ranges skips the log; it skips the barrier when every range is serializable", async () => {
  const harness = new Harness();
  const { proposer, reader } = harness.context;
  assertHeader(okay(await harness.call("Txn", { success: [rangeOp(true)] }), TxnResponseSchema).header, 42n);
  assert.equal(proposer.barriers, 0);
  await harness.call("Txn", { success: [rangeOp(true)], failure: [rangeOp(false)] });
  assert.equal(proposer.barriers, 1);
  assert.equal(reader.asked.length, 2);
  assert.equal(proposer.proposals.length, 0);
});

test("a txn of compares alone is linearized, where etcd may answer it from stale data", async () => {
  const harness = new Harness();
  okay(await harness.call("Txn", { compare: [{ key: bytes("k") }] }), TxnResponseSchema);
  assert.equal(harness.context.proposer.barriers, 1);
});

test("a nested txn makes a txn a write, even if all it does is read", async () => {
  const harness = new Harness();
  const nested = { request: { case: "requestTxn" as const, value: { success: [rangeOp(true)] } } };
  void harness.call("Txn", { success: [nested] });
  assert.equal(harness.context.proposer.proposals.length, 1);
});

test("what the store refuses is answered with etcd's status and text", async () => {
  const harness = new Harness();
  const expected: Record<StoreRefusal, ApiError> = {
    keyNotFound: errors.keyNotFound,
    leaseNotFound: errors.leaseNotFound,
    leaseExists: errors.leaseExists,
    compacted: errors.compacted,
    futureRevision: errors.futureRevision,
    noSpace: errors.noSpace,
    duplicateKey: errors.duplicateKey,
  };
  for (const [reason, error] of Object.entries(expected) as [StoreRefusal, ApiError][]) {
    harness.context.proposer.onPropose = () => refusal(reason);
    harness.context.reader.onRange = () => refusal(reason);
    assertError(await harness.call("Put", { key: bytes("k") }), error);
    assertError(await harness.call("DeleteRange", { key: bytes("k") }), error);
    assertError(await harness.call("Compact", { revision: 1n }), error);
    assertError(await harness.call("Range", { key: bytes("k") }), error);
    const put = { request: { case: "requestPut" as const, value: { key: bytes("k") } } };
    assertError(await harness.call("Txn", { success: [put] }), error);
  }
});

test("what the group refuses is answered with etcd's status and text", async () => {
  const harness = new Harness();
  harness.context.proposer.onPropose = () => timedOut;
  harness.context.proposer.onBarrier = () => timedOut;
  for (const name of ["Put", "DeleteRange", "Range"] as const) {
    assertError(await harness.call(name, { key: bytes("k") }), errors.timeout);
  }
  assertError(await harness.call("Txn", {}), errors.timeout);
  assertError(await harness.call("Compact", { revision: 1n }), errors.timeout);
});

test("a faulty request is refused before anybody is asked", async () => {
  const harness = new Harness();
  const { proposer, reader } = harness.context;
  for (const name of ["Put", "DeleteRange", "Range"] as const) {
    assertError(await harness.call(name, {}), errors.emptyKey);
  }
  assertError(
    await harness.call("Range", { key: bytes("k"), sortOrder: 9 as never }),
    errors.invalidSortOption,
  );
  assertError(await harness.call("Txn", { success: [{}] }), errors.keyNotFound);
  const put = { request: { case: "requestPut" as const, value: { key: bytes("k") } } };
  assertError(await harness.call("Txn", { success: [put, put] }), errors.duplicateKey);
  assertError(await harness.call("Txn", { success: Array(129).fill(put) }), errors.tooManyOps);
  assert.deepEqual([proposer.proposals.length, proposer.barriers, reader.asked.length], [0, 0, 0]);
});

test("a write of max-request-bytes is proposed, one of a byte more is too large", async () => {
  const harness = new Harness();
  harness.context.proposer.onPropose = () => ({ kind: "put", revision: 43, prevKv: undefined });
  const limit = harness.context.limits.maxRequestBytes;
  // key: 3 bytes with tag and length; value: tag and three bytes of length
  const value = Buffer.alloc(limit - 3 - 4);
  okay(await harness.call("Put", { key: bytes("k"), value }), PutResponseSchema);
  const larger = Buffer.alloc(value.length + 1);
  assertError(await harness.call("Put", { key: bytes("k"), value: larger }), errors.requestTooLarge);
  assertError(await harness.call("Put", { value: larger }), errors.emptyKey);
  const put = { request: { case: "requestPut" as const, value: { key: bytes("k"), value: larger } } };
  assertError(await harness.call("Txn", { success: [put] }), errors.requestTooLarge);
  assertError(await harness.call("DeleteRange", { key: larger, rangeEnd: larger }), errors.requestTooLarge);
});

test("bytes that are no such request are an internal error with grpc-go's text", async () => {
  const { caller, context } = new Harness();
  for (const name of Object.keys(methods)) {
    const answer = await caller.unary(`/etcdserverpb.KV/${name}`, Uint8Array.of(0x0a, 0x05, 0x01));
    assert.equal(answer.code, Status.INTERNAL);
    assert.match(answer.message, /^grpc: error unmarshalling request: proto: ./);
    assert.deepEqual(answer.trailers, [[errorCodeTrailer, "MALFORMED_REQUEST"]]);
  }
  assert.equal(context.proposer.proposals.length, 0);
});

test("a txn nested beyond all limits has too many operations", async () => {
  const { caller } = new Harness();
  let message: Buffer = Buffer.alloc(0);
  const wrap = (field: number): void => {
    const length: number[] = [];
    for (let rest = message.length; ; rest >>>= 7) {
      length.push(rest < 128 ? rest : (rest & 127) | 128);
      if (rest < 128) break;
    }
    message = Buffer.concat([Uint8Array.of(field * 8 + 2, ...length), message]);
  };
  for (let depth = 0; depth < 2000; depth++) {
    wrap(4);
    wrap(2);
  }
  assertError(await caller.unary("/etcdserverpb.KV/Txn", message), errors.tooManyOps);
});

test("a learner answers serializable ranges and refuses everything else", async () => {
  const harness = new Harness();
  harness.context.role = { role: "learner", leader: 102, epoch: 7 };
  okay(await harness.call("Range", { key: bytes("k"), serializable: true }), RangeResponseSchema);
  assertError(await harness.call("Range", { key: bytes("k") }), errors.notSupportedForLearner);
  assertError(await harness.call("Put", { key: bytes("k") }), errors.notSupportedForLearner);
  assertError(await harness.call("DeleteRange", { key: bytes("k") }), errors.notSupportedForLearner);
  assertError(await harness.call("Txn", { success: [rangeOp(true)] }), errors.notSupportedForLearner);
  assertError(await harness.call("Compact", {}), errors.notSupportedForLearner);
});

test("a caller that requires a leader is refused at once while there is none", async () => {
  const { context, caller } = new Harness();
  context.role = { role: "follower", leader: 0, epoch: 7 };
  context.proposer.onBarrier = () => timedOut;
  const message = encode(RangeRequestSchema, { key: bytes("k") });
  const path = "/etcdserverpb.KV/Range";
  assertError(await caller.unary(path, message, [["hasleader", "true"]]), errors.noLeader);
  assertError(await caller.unary(path, message, [["hasleader", "false"]]), errors.timeout);
  context.role = { role: "follower", leader: 102, epoch: 8 };
  context.proposer.onBarrier = () => undefined;
  okay(await caller.unary(path, message, [["hasleader", "true"]]), RangeResponseSchema);
});

test("above the quota puts are refused, also inside txns; deletes, reads and compaction go on", async () => {
  const { context, caller } = new Harness();
  context.spaceExceeded = true;
  const send = <N extends Name>(name: N, init: MessageInitShape<(typeof methods)[N][0]>): Promise<Answer> =>
    caller.unary(`/etcdserverpb.KV/${name}`, encode(methods[name][0], init));
  const put = { key: bytes("k"), value: bytes("v") };
  assertError(await send("Put", put), errors.noSpace);
  const nested = {
    failure: [
      {
        request: {
          case: "requestTxn" as const,
          value: { success: [{ request: { case: "requestPut" as const, value: put } }] },
        },
      },
    ],
  };
  assertError(await send("Txn", nested), errors.noSpace);
  assert.equal(context.proposer.proposals.length, 0);
  void send("DeleteRange", { key: bytes("k") });
  void send("Compact", { revision: 1n });
  assert.equal(context.proposer.proposals.length, 2);
});
