import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  AlarmRequest_AlarmAction as AlarmAction,
  AlarmRequestSchema,
  AlarmResponseSchema,
  HashResponseSchema,
  MoveLeaderRequestSchema,
  MoveLeaderResponseSchema,
  StatusResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import { Status } from "../../rpc/call.js";
import { type ApiError, errors } from "../errors.js";
import { type Answer, FakeCaller, FakeContext, leaderStatus, member } from "../testing/fakes.js";
import { maintenanceMethods } from "./maintenance.js";
import { apiVersion, storageVersion } from "./version.js";

class Harness {
  readonly context = new FakeContext();
  readonly caller = new FakeCaller(maintenanceMethods(this.context));

  call(name: string, request: Uint8Array = new Uint8Array(0)): Promise<Answer> {
    return this.caller.unary(`/etcdserverpb.Maintenance/${name}`, request);
  }

  moveLeader(targetID: bigint): Promise<Answer> {
    return this.call(
      "MoveLeader",
      toBinary(MoveLeaderRequestSchema, create(MoveLeaderRequestSchema, { targetID })),
    );
  }
}

function assertError(answer: Answer, error: ApiError): void {
  assert.deepEqual([answer.code, answer.message], [error.status, error.text]);
}

test("status tells the versions, sizes and the group's state", async () => {
  const { response } = await new Harness().call("Status");
  const status = fromBinary(StatusResponseSchema, response!);
  assert.deepEqual([status.version, status.storageVersion], [apiVersion, storageVersion]);
  assert.deepEqual([status.dbSize, status.dbSizeInUse, status.dbSizeQuota], [4096n, 1024n, 2_147_483_648n]);
  assert.deepEqual([status.leader, status.raftTerm], [101n, 7n]);
  assert.deepEqual([status.raftIndex, status.raftAppliedIndex], [1000n, 999n]);
  assert.deepEqual([status.errors, status.isLearner], [[], false]);
  assert.equal(status.downgradeInfo?.enabled, false);
  const { clusterId, memberId, revision, raftTerm } = status.header!;
  assert.deepEqual([clusterId, memberId, revision, raftTerm], [0xcdf8_1818_1e33_1a7bn, 101n, 42n, 7n]);
});

test("status is answered by a learner, and without a leader it says so", async () => {
  const harness = new Harness();
  harness.context.role = { role: "learner", leader: 0, epoch: 7 };
  harness.context.proposer.status = leaderStatus({ role: "learner", leader: 0 });
  const status = fromBinary(StatusResponseSchema, (await harness.call("Status")).response!);
  assert.deepEqual([status.isLearner, status.leader, status.errors], [true, 0n, ["etcdserver: no leader"]]);
});

test("the hash comes with a complete header; a failing disk is an internal error", async () => {
  const harness = new Harness();
  const hash = fromBinary(HashResponseSchema, (await harness.call("Hash")).response!);
  assert.deepEqual([hash.hash, hash.header?.revision], [0x1234_5678, 42n]);
  const broken = new Error("read failed");
  harness.context.hashValue = () => Promise.reject(broken);
  assertError(await harness.call("Hash"), errors.internal);
  assert.deepEqual(harness.context.surprises, [broken]);
});

test("the question for alarms is answered with none, raising one is not implemented", async () => {
  const harness = new Harness();
  const alarm = (action: AlarmAction) =>
    harness.call("Alarm", toBinary(AlarmRequestSchema, create(AlarmRequestSchema, { action })));
  const none = fromBinary(AlarmResponseSchema, (await alarm(AlarmAction.GET)).response!);
  assert.deepEqual([none.alarms, none.header?.revision], [[], 42n]);
  for (const action of [AlarmAction.ACTIVATE, AlarmAction.DEACTIVATE]) {
    assert.equal((await alarm(action)).code, Status.UNIMPLEMENTED);
  }
});

test("leadership is handed over by the leader, answered without a header", async () => {
  const harness = new Harness();
  const answer = await harness.moveLeader(102n);
  assert.equal(answer.code, Status.OK);
  assert.equal(fromBinary(MoveLeaderResponseSchema, answer.response!).header, undefined);
  assert.deepEqual(harness.context.proposer.transfers, [102]);
});

test("leadership is not moved by a follower, nor to a stranger or a learner", async () => {
  const harness = new Harness();
  harness.context.list.push(member(104, { isLearner: true }));
  assertError(await harness.moveLeader(999n), errors.badLeaderTransferee);
  assertError(await harness.moveLeader(0n), errors.badLeaderTransferee);
  assertError(await harness.moveLeader(104n), errors.badLeaderTransferee);
  harness.context.role = { role: "follower", leader: 102, epoch: 7 };
  assertError(await harness.moveLeader(102n), errors.notLeader);
  assert.deepEqual(harness.context.proposer.transfers, []);
});

test("moving leadership to who has it is done at once", async () => {
  const harness = new Harness();
  assert.equal((await harness.moveLeader(101n)).code, Status.OK);
  assert.deepEqual(harness.context.proposer.transfers, []);
});

test("a transfer that takes too long has an error of its own", async () => {
  const harness = new Harness();
  harness.context.proposer.onTransfer = () => ({ kind: "failed", reason: "timeout", outcome: "unknown" });
  assertError(await harness.moveLeader(102n), errors.transferTimeout);
  harness.context.proposer.onTransfer = () => ({
    kind: "failed",
    reason: "badTransferee",
    outcome: "refused",
  });
  assertError(await harness.moveLeader(102n), errors.badLeaderTransferee);
});
