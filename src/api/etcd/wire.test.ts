// From @grpc/grpc-js through the real server to the real state and back: what etcd's clients meet.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, credentials, type Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  AlarmRequestSchema,
  AlarmResponseSchema,
  CompactionRequestSchema,
  CompactionResponseSchema,
  Compare_CompareTarget as CompareTarget,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  HashRequestSchema,
  HashResponseSchema,
  MemberListRequestSchema,
  MemberListResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  type RequestOpSchema,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  StatusRequestSchema,
  StatusResponseSchema,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import { Status } from "../../rpc/call.js";
import { type ApiError, errorCodeTrailer, errors } from "../errors.js";
import { type SingleNode, startSingleNode } from "../testing/single-node.js";

const methods = {
  "KV/Range": [RangeRequestSchema, RangeResponseSchema],
  "KV/Put": [PutRequestSchema, PutResponseSchema],
  "KV/DeleteRange": [DeleteRangeRequestSchema, DeleteRangeResponseSchema],
  "KV/Txn": [TxnRequestSchema, TxnResponseSchema],
  "KV/Compact": [CompactionRequestSchema, CompactionResponseSchema],
  "Cluster/MemberList": [MemberListRequestSchema, MemberListResponseSchema],
  "Maintenance/Status": [StatusRequestSchema, StatusResponseSchema],
  "Maintenance/Hash": [HashRequestSchema, HashResponseSchema],
  "Maintenance/Alarm": [AlarmRequestSchema, AlarmResponseSchema],
} as const;
type Name = keyof typeof methods;
type RequestOf<N extends Name> = MessageInitShape<(typeof methods)[N][0]>;
type ResponseOf<N extends Name> = MessageShape<(typeof methods)[N][1]>;

let node: SingleNode;
let client: Client;

before(async () => {
  node = await startSingleNode();
  const unlimited = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
  client = new Client(node.address, credentials.createInsecure(), unlimited);
});
after(async () => {
  client.close();
  await node.stop();
});

type Outcome = { error: ServiceError } | { response: Buffer };

function send(path: string, message: Uint8Array): Promise<Outcome> {
  const same = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, same, same, Buffer.from(message), (error, response) => {
      resolve(error === null ? { response: response! } : { error });
    });
  });
}

function encode<N extends Name>(name: N, request: RequestOf<N>): Uint8Array {
  const schema: DescMessage = methods[name][0];
  return toBinary(schema, create(schema, request as Record<string, unknown>));
}

async function call<N extends Name>(name: N, request: RequestOf<N>): Promise<ResponseOf<N>> {
  const outcome = await send(`/etcdserverpb.${name}`, encode(name, request));
  if ("error" in outcome) throw outcome.error;
  return fromBinary(methods[name][1] as DescMessage, outcome.response) as ResponseOf<N>;
}

async function refused(path: string, message: Uint8Array): Promise<ServiceError> {
  const outcome = await send(path, message);
  assert.ok("error" in outcome, "the request was accepted");
  return outcome.error;
}

async function assertRefused<N extends Name>(
  name: N,
  request: RequestOf<N>,
  expected: ApiError,
): Promise<void> {
  const before = node.state.currentRevision;
  const error = await refused(`/etcdserverpb.${name}`, encode(name, request));
  assert.deepEqual([error.code, error.details], [expected.status, expected.text]);
  assert.deepEqual((error.metadata as Metadata).get(errorCodeTrailer), [expected.code]);
  assert.equal(node.state.currentRevision, before, "something was changed all the same");
}

type Op = MessageInitShape<typeof RequestOpSchema>;
const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
const text = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString("latin1");
const put = (key: string, value = ""): Op => ({
  request: { case: "requestPut", value: { key: bytes(key), value: bytes(value) } },
});
const get = (key: string, revision = 0n): Op => ({
  request: { case: "requestRange", value: { key: bytes(key), revision } },
});
const remove = (key: string, end = ""): Op => ({
  request: { case: "requestDeleteRange", value: { key: bytes(key), rangeEnd: bytes(end) } },
});
const nested = (success: Op[]): Op => ({ request: { case: "requestTxn", value: { success } } });

test("a put takes a revision, and its header says who answered and when", async () => {
  const before = BigInt(node.state.currentRevision);
  const { header, prevKv } = await call("KV/Put", { key: bytes("put/a"), value: bytes("1"), prevKv: true });
  const { clusterId, memberId, raftTerm, revision } = header!;
  assert.deepEqual([clusterId, memberId, raftTerm], [0xcdf8_1818_1e33_1a7bn, 101n, 2n]);
  assert.equal(revision, before + 1n);
  assert.equal(prevKv, undefined);
  const again = await call("KV/Put", { key: bytes("put/a"), value: bytes("2"), prevKv: true });
  assert.equal(again.header?.revision, before + 2n);
  assert.deepEqual([text(again.prevKv?.value), again.prevKv?.version], ["1", 1n]);
});

test("a put may keep the value or nothing of the old one", async () => {
  await call("KV/Put", { key: bytes("keep"), value: bytes("kept") });
  await call("KV/Put", { key: bytes("keep"), ignoreValue: true, ignoreLease: true });
  const { kvs } = await call("KV/Range", { key: bytes("keep") });
  assert.deepEqual([text(kvs[0]?.value), kvs[0]?.version], ["kept", 2n]);
});

test("a range answers with the current revision, also when an old one is read", async () => {
  const first = await call("KV/Put", { key: bytes("old"), value: bytes("1") });
  const second = await call("KV/Put", { key: bytes("old"), value: bytes("2") });
  const old = await call("KV/Range", { key: bytes("old"), revision: first.header!.revision });
  assert.deepEqual([text(old.kvs[0]?.value), old.header?.revision], ["1", second.header?.revision]);
});

test("count is that of the whole range whatever the limit, sorted and cut as asked", async () => {
  for (const key of ["r/a", "r/b", "r/c"]) await call("KV/Put", { key: bytes(key), value: bytes(key) });
  const range = { key: bytes("r/"), rangeEnd: bytes("r0") };
  const { kvs, more, count } = await call("KV/Range", {
    ...range,
    limit: 2n,
    sortOrder: SortOrder.DESCEND,
    sortTarget: SortTarget.KEY,
    keysOnly: true,
  });
  assert.deepEqual(
    kvs.map(({ key, value }) => [text(key), value.length]),
    [
      ["r/c", 0],
      ["r/b", 0],
    ],
  );
  assert.deepEqual([more, count], [true, 3n]);
  const counted = await call("KV/Range", { ...range, countOnly: true });
  assert.deepEqual([counted.kvs.length, counted.count], [0, 3n]);
});

test("a delete that meets nothing leaves the revision alone", async () => {
  const before = BigInt(node.state.currentRevision);
  const none = await call("KV/DeleteRange", { key: bytes("nobody") });
  assert.deepEqual([none.deleted, none.header?.revision], [0n, before]);
  await call("KV/Put", { key: bytes("del"), value: bytes("x") });
  const some = await call("KV/DeleteRange", { key: bytes("del"), prevKv: true });
  assert.deepEqual(
    [some.deleted, text(some.prevKvs[0]?.value), some.header?.revision],
    [1n, "x", before + 2n],
  );
});

test("a txn runs one branch at one revision, and reads in it see its writes", async () => {
  const createRevision = { case: "createRevision" as const, value: 0n };
  const request: RequestOf<"KV/Txn"> = {
    compare: [{ target: CompareTarget.CREATE, key: bytes("txn"), targetUnion: createRevision }],
    success: [put("txn", "new"), get("txn")],
    failure: [get("txn")],
  };
  const first = await call("KV/Txn", request);
  assert.equal(first.succeeded, true);
  const [written, read] = first.responses.map(({ response }) => response);
  assert.ok(written?.case === "responsePut" && read?.case === "responseRange");
  assert.equal(text(read.value.kvs[0]?.value), "new");
  // Headers inside hold the revision alone.
  const { clusterId, memberId, raftTerm, revision } = written.value.header!;
  assert.deepEqual([clusterId, memberId, raftTerm, revision], [0n, 0n, 0n, first.header!.revision]);
  const second = await call("KV/Txn", request);
  assert.deepEqual([second.succeeded, second.header?.revision], [false, first.header?.revision]);
});

test("a response of many mebibytes arrives whole", async () => {
  const value = Buffer.alloc(1 << 20, 7);
  for (let index = 0; index < 6; index++) await call("KV/Put", { key: bytes(`large/${index}`), value });
  const { kvs } = await call("KV/Range", { key: bytes("large/"), rangeEnd: bytes("large0") });
  assert.equal(kvs.length, 6);
  for (const kv of kvs) assert.ok(Buffer.from(kv.value).equals(value));
});

test("status, members, hash and alarms are answered", async () => {
  const status = await call("Maintenance/Status", {});
  assert.deepEqual([status.leader, status.errors], [101n, []]);
  assert.equal(status.header?.revision, BigInt(node.state.currentRevision));
  const { members } = await call("Cluster/MemberList", { linearizable: true });
  assert.deepEqual(
    members.map(({ ID, name }) => [ID, name]),
    [[101n, "node-101"]],
  );
  const [once, twice] = [await call("Maintenance/Hash", {}), await call("Maintenance/Hash", {})];
  assert.equal(once.hash, twice.hash);
  assert.deepEqual((await call("Maintenance/Alarm", {})).alarms, []);
});

// Bad input.

test("an empty key is refused by every method that takes one", async () => {
  await assertRefused("KV/Put", {}, errors.emptyKey);
  await assertRefused("KV/Range", {}, errors.emptyKey);
  await assertRefused("KV/DeleteRange", { rangeEnd: bytes("z") }, errors.emptyKey);
  await assertRefused("KV/Txn", { success: [put("")] }, errors.emptyKey);
  await assertRefused("KV/Txn", { compare: [{}] }, errors.emptyKey);
});

test("contradictory and impossible puts are refused", async () => {
  const key = bytes("bad-put");
  await assertRefused("KV/Put", { key, ignoreValue: true, value: bytes("v") }, errors.valueProvided);
  await assertRefused("KV/Put", { key, ignoreLease: true, lease: 1n }, errors.leaseProvided);
  await assertRefused("KV/Put", { key, ignoreValue: true }, errors.keyNotFound);
  await assertRefused("KV/Put", { key, ignoreLease: true }, errors.keyNotFound);
  await assertRefused("KV/Put", { key, lease: 77n }, errors.leaseNotFound);
  await assertRefused("KV/Put", { key, lease: -77n }, errors.leaseNotFound);
});

test("unknown sort options are refused", async () => {
  await assertRefused("KV/Range", { key: bytes("k"), sortOrder: 3 as SortOrder }, errors.invalidSortOption);
  await assertRefused(
    "KV/Range",
    { key: bytes("k"), sortTarget: -1 as SortTarget },
    errors.invalidSortOption,
  );
});

test("a future revision is refused, even the largest an int64 can hold", async () => {
  const next = BigInt(node.state.currentRevision) + 1n;
  for (const revision of [next, 2n ** 53n, 2n ** 63n - 1n]) {
    await assertRefused("KV/Range", { key: bytes("k"), revision }, errors.futureRevision);
    await assertRefused("KV/Txn", { success: [put("k"), get("k", revision)] }, errors.futureRevision);
    await assertRefused("KV/Txn", { success: [get("k", revision)] }, errors.futureRevision);
    await assertRefused("KV/Compact", { revision }, errors.futureRevision);
  }
  // Plain reads take a negative revision for the newest.
  assert.equal((await call("KV/Range", { key: bytes("nobody"), revision: -(2n ** 63n) })).count, 0n);
});

test("a compacted revision is refused, the compacted one itself is still readable", async () => {
  const { header } = await call("KV/Put", { key: bytes("compact"), value: bytes("1") });
  const revision = header!.revision;
  const { header: compacted } = await call("KV/Compact", { revision, physical: true });
  assert.equal(compacted?.revision, revision);
  assert.equal((await call("KV/Range", { key: bytes("compact"), revision })).count, 1n);
  await assertRefused("KV/Range", { key: bytes("compact"), revision: revision - 1n }, errors.compacted);
  await assertRefused("KV/Txn", { success: [put("k"), get("k", revision - 1n)] }, errors.compacted);
  await assertRefused("KV/Compact", { revision }, errors.compacted);
  await assertRefused("KV/Compact", { revision: -1n }, errors.compacted);
});

test("128 operations are accepted, 129 are too many, nested ones count against the rest", async () => {
  const puts = (count: number): Op[] => Array.from({ length: count }, (_, index) => put(`ops/${index}`));
  assert.equal((await call("KV/Txn", { success: puts(128) })).responses.length, 128);
  await assertRefused("KV/Txn", { success: puts(129) }, errors.tooManyOps);
  await assertRefused("KV/Txn", { failure: puts(129) }, errors.tooManyOps);
  await assertRefused("KV/Txn", { success: [nested(puts(128))] }, errors.tooManyOps);
  assert.equal((await call("KV/Txn", { success: [nested(puts(127))] })).responses.length, 1);
});

test("duplicate keys in a txn are refused", async () => {
  await assertRefused("KV/Txn", { success: [put("d"), put("d")] }, errors.duplicateKey);
  await assertRefused("KV/Txn", { failure: [put("d"), remove("a", "z")] }, errors.duplicateKey);
  await assertRefused("KV/Txn", { success: [put("d"), nested([put("d")])] }, errors.duplicateKey);
});

test("an empty operation in a txn is a key not found", async () => {
  await assertRefused("KV/Txn", { success: [{}] }, errors.keyNotFound);
});

test("a nested put that needs a key is refused before the outer one is made", async () => {
  // etcd 3.4 crashes here, on every member and at every restart.
  const keep: Op = { request: { case: "requestPut", value: { key: bytes("nobody"), ignoreValue: true } } };
  await assertRefused("KV/Txn", { success: [put("outer"), nested([keep])] }, errors.keyNotFound);
  assert.equal((await call("KV/Range", { key: bytes("outer") })).count, 0n);
});

test("a request above max-request-bytes is too large; far above, gRPC itself refuses it", async () => {
  await assertRefused("KV/Put", { key: bytes("k"), value: Buffer.alloc(1_572_864) }, errors.requestTooLarge);
  const value = Buffer.alloc(1_572_864 + (512 << 10));
  const error = await refused("/etcdserverpb.KV/Put", encode("KV/Put", { key: bytes("k"), value }));
  assert.equal(error.code, Status.RESOURCE_EXHAUSTED);
  assert.match(error.details, /^grpc: received message larger than max \(\d+ vs\. 2097152\)$/);
});

test("a malformed message is an internal error with grpc-go's text", async () => {
  for (const name of Object.keys(methods)) {
    const error = await refused(`/etcdserverpb.${name}`, Uint8Array.of(0x0a, 0x7f, 0x01));
    assert.equal(error.code, Status.INTERNAL, name);
    assert.match(error.details, /^grpc: error unmarshalling request: proto: ./);
  }
});

test("a message with fields nobody knows is accepted", async () => {
  const known = encode("KV/Put", { key: bytes("unknown-fields"), value: bytes("v") });
  const unknown = Uint8Array.of(0xfa, 0x3f, 0x02, 0x01, 0x02);
  assert.ok("response" in (await send("/etcdserverpb.KV/Put", Buffer.concat([unknown, known, unknown]))));
  assert.equal((await call("KV/Range", { key: bytes("unknown-fields") })).count, 1n);
});

test("a service or method nobody serves is unimplemented, with grpc-go's text", async () => {
  const none = new Uint8Array(0);
  const service = await refused("/etcdserverpb.Nothing/Do", none);
  assert.deepEqual(
    [service.code, service.details],
    [Status.UNIMPLEMENTED, "unknown service etcdserverpb.Nothing"],
  );
  const method = await refused("/etcdserverpb.KV/Guess", none);
  assert.deepEqual(
    [method.code, method.details],
    [Status.UNIMPLEMENTED, "unknown method Guess for service etcdserverpb.KV"],
  );
});

test("nothing of all this surprised the server", () => {
  assert.deepEqual(node.surprises, []);
});
