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
import type { MembershipChange } from "../../consensus/types.js";
import {
  MemberAddRequestSchema,
  MemberAddResponseSchema,
  MemberListRequestSchema,
  MemberListResponseSchema,
  MemberPromoteRequestSchema,
  MemberPromoteResponseSchema,
  MemberRemoveRequestSchema,
  MemberRemoveResponseSchema,
  MemberSchema,
  MemberUpdateRequestSchema,
  MemberUpdateResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import type { GroupFailure } from "../../replication/proposer.js";
import { Status } from "../../rpc/call.js";
import { type ApiError, errors } from "../errors.js";
import { type Answer, FakeCaller, FakeContext, leaderStatus, member } from "../testing/fakes.js";
import { clusterMethods } from "./cluster.js";

const methods = {
  MemberAdd: [MemberAddRequestSchema, MemberAddResponseSchema],
  MemberRemove: [MemberRemoveRequestSchema, MemberRemoveResponseSchema],
  MemberPromote: [MemberPromoteRequestSchema, MemberPromoteResponseSchema],
  MemberUpdate: [MemberUpdateRequestSchema, MemberUpdateResponseSchema],
  MemberList: [MemberListRequestSchema, MemberListResponseSchema],
} as const;
type Name = keyof typeof methods;

class Harness {
  readonly context = new FakeContext();
  readonly caller = new FakeCaller(clusterMethods(this.context));

  constructor() {
    // As the state machine does: what the change carries becomes part of the list.
    this.context.proposer.onChange = (change) => {
      this.apply(change);
      return undefined;
    };
  }

  call<N extends Name>(name: N, init: MessageInitShape<(typeof methods)[N][0]>): Promise<Answer> {
    const [schema] = methods[name];
    const request = toBinary(
      schema as DescMessage,
      create(schema as DescMessage, init as Record<string, unknown>),
    );
    return this.caller.unary(`/etcdserverpb.Cluster/${name}`, request);
  }

  private apply(change: MembershipChange): void {
    for (const step of change.steps) {
      const rest = this.context.list.filter(({ id }) => id !== step.node);
      const { name, peerURLs, clientURLs, isLearner } = fromBinary(MemberSchema, change.context);
      const added = { id: step.node, name, peerUrls: peerURLs, clientUrls: clientURLs, isLearner };
      this.context.list = step.op === "remove" ? rest : [...rest, added];
    }
  }
}

function okay<D extends DescMessage>(answer: Answer, schema: D): MessageShape<D> {
  assert.equal(answer.code, Status.OK, answer.message);
  return fromBinary(schema, answer.response!);
}

function assertError(answer: Answer, error: ApiError): void {
  assert.deepEqual([answer.code, answer.message], [error.status, error.text]);
}

const fourth = "http://10.0.0.4:2380";

test("a member is listed with all that is known of it, in order of IDs, under a header without revision", async () => {
  const harness = new Harness();
  harness.context.list = [member(103), member(101, { name: "" }), member(102, { isLearner: true })];
  const response = okay(await harness.call("MemberList", {}), MemberListResponseSchema);
  const { clusterId, memberId, raftTerm, revision } = response.header!;
  assert.deepEqual([clusterId, memberId, raftTerm, revision], [0xcdf8_1818_1e33_1a7bn, 101n, 7n, 0n]);
  assert.deepEqual(
    response.members.map(({ ID, name, isLearner }) => [ID, name, isLearner]),
    [
      [101n, "", false],
      [102n, "node-102", true],
      [103n, "node-103", false],
    ],
  );
  assert.deepEqual(response.members[2]?.peerURLs, ["http://10.0.0.3:2380"]);
  assert.deepEqual(response.members[2]?.clientURLs, ["http://10.0.0.3:2379"]);
});

test("a list waits for a barrier only when it is to be linearizable", async () => {
  const harness = new Harness();
  const failure: GroupFailure = { kind: "failed", reason: "timeout", outcome: "refused" };
  harness.context.proposer.onBarrier = () => failure;
  okay(await harness.call("MemberList", {}), MemberListResponseSchema);
  assertError(await harness.call("MemberList", { linearizable: true }), errors.timeout);
});

test("an added voter gets a new safe ID, and the change carries what is known of it", async () => {
  const harness = new Harness();
  const second = "http://[::1]:2380";
  const answer = await harness.call("MemberAdd", { peerURLs: [` ${fourth} `, second] });
  const response = okay(answer, MemberAddResponseSchema);
  const added = response.member!;
  assert.ok(added.ID > 0n && added.ID < 2n ** 52n);
  assert.deepEqual([added.name, added.clientURLs, added.isLearner], ["", [], false]);
  assert.deepEqual(added.peerURLs, [fourth, second]);
  assert.equal(response.members.length, 4);
  assert.equal(response.header?.revision, 0n);
  const [change] = harness.context.proposer.changes;
  assert.deepEqual(change?.steps, [{ op: "addVoter", node: Number(added.ID) }]);
  assert.deepEqual(fromBinary(MemberSchema, change!.context), added);
});

test("URLs that are missing, without port or with a path are refused", async () => {
  const harness = new Harness();
  const bad = [
    "",
    "10.0.0.4:2380",
    "http://10.0.0.4",
    "http://:2380",
    "http://10.0.0.4:2380/",
    "http://10.0.0.4:2380/peer",
    "http://10.0.0.4:99999",
    "http://[::g]:2380",
    "ftp://10.0.0.4:2380",
    "unix://",
  ];
  assertError(await harness.call("MemberAdd", { peerURLs: [] }), errors.memberBadUrls);
  for (const url of bad) {
    assertError(await harness.call("MemberAdd", { peerURLs: [fourth, url] }), errors.memberBadUrls);
  }
  assert.equal(harness.context.proposer.changes.length, 0);
});

test("a peer URL that another member uses is refused", async () => {
  const peerURLs = [fourth, "http://10.0.0.2:2380"];
  assertError(await new Harness().call("MemberAdd", { peerURLs }), errors.peerUrlExists);
});

test("a second learner is refused, a first one is added", async () => {
  const harness = new Harness();
  const first = await harness.call("MemberAdd", { peerURLs: [fourth], isLearner: true });
  assert.equal(okay(first, MemberAddResponseSchema).member?.isLearner, true);
  assert.equal(harness.context.proposer.changes[0]?.steps[0]?.op, "addLearner");
  const second = await harness.call("MemberAdd", { peerURLs: ["http://10.0.0.5:2380"], isLearner: true });
  assertError(second, errors.tooManyLearners);
});

test("two adds asked at the same time are checked one after the other", async () => {
  const harness = new Harness();
  const [first, second] = await Promise.all([
    harness.call("MemberAdd", { peerURLs: [fourth], isLearner: true }),
    harness.call("MemberAdd", { peerURLs: [fourth] }),
  ]);
  okay(first, MemberAddResponseSchema);
  assertError(second, errors.peerUrlExists);
});

test("a change that failed does not stand in the way of the next", async () => {
  const harness = new Harness();
  assertError(await harness.call("MemberRemove", { ID: 999n }), errors.memberNotFound);
  okay(await harness.call("MemberRemove", { ID: 103n }), MemberRemoveResponseSchema);
});

test("voters are added only while a majority of the new size has started", async () => {
  const harness = new Harness();
  const unstarted = { name: "" };
  harness.context.list = [member(101), member(102, unstarted)];
  assertError(await harness.call("MemberAdd", { peerURLs: [fourth] }), errors.memberNotEnoughStarted);
  harness.context.strictReconfiguration = false;
  okay(await harness.call("MemberAdd", { peerURLs: ["http://10.0.0.6:2380"] }), MemberAddResponseSchema);
  // A learner takes nothing from the quorum.
  harness.context.strictReconfiguration = true;
  okay(await harness.call("MemberAdd", { peerURLs: [fourth], isLearner: true }), MemberAddResponseSchema);
  harness.context.list = [member(101)];
  okay(await harness.call("MemberAdd", { peerURLs: [fourth] }), MemberAddResponseSchema);
});

test("a voter is removed only if a majority of the rest has started", async () => {
  const harness = new Harness();
  const response = okay(await harness.call("MemberRemove", { ID: 102n }), MemberRemoveResponseSchema);
  assert.deepEqual(
    response.members.map(({ ID }) => ID),
    [101n, 103n],
  );
  harness.context.list = [member(101), member(102, { name: "" })];
  assertError(await harness.call("MemberRemove", { ID: 101n }), errors.memberNotEnoughStarted);
  okay(await harness.call("MemberRemove", { ID: 102n }), MemberRemoveResponseSchema);
  assertError(await harness.call("MemberRemove", { ID: 101n }), errors.memberNotEnoughStarted);
});

test("a member that removes itself hears that it was done, though no barrier is to be had any more", async () => {
  const harness = new Harness();
  const { proposer } = harness.context;
  proposer.onBarrier = () =>
    proposer.changes.length === 0 ? undefined : { kind: "failed", reason: "stopped", outcome: "refused" };
  okay(await harness.call("MemberRemove", { ID: 101n }), MemberRemoveResponseSchema);
});

test("new peer URLs replace the old ones, and neither name nor vote changes", async () => {
  const harness = new Harness();
  harness.context.list = [member(101), member(102), member(104, { isLearner: true })];
  const update = (ID: bigint, ...peerURLs: string[]) => harness.call("MemberUpdate", { ID, peerURLs });
  const changed = okay(await update(104n, "http://10.0.0.9:2380"), MemberUpdateResponseSchema).members[2];
  assert.deepEqual([changed?.name, changed?.isLearner], ["node-104", true]);
  assert.deepEqual(changed?.peerURLs, ["http://10.0.0.9:2380"]);
  okay(await update(102n, "http://10.0.0.2:2380", "http://10.0.0.8:2380"), MemberUpdateResponseSchema);
  assert.deepEqual(
    harness.context.proposer.changes.map(({ steps }) => steps),
    [[{ op: "addLearner", node: 104 }], [{ op: "addVoter", node: 102 }]],
  );
  assertError(await update(102n), errors.memberBadUrls);
  assertError(await update(102n, "http://10.0.0.1:2380"), errors.peerUrlExists);
  assertError(await update(999n, fourth), errors.memberNotFound);
});

test("only a learner with nine tenths of the leader's log is promoted", async () => {
  const harness = new Harness();
  const { context } = harness;
  context.list = [member(101), member(102), member(104, { isLearner: true, name: "" })];
  const progress = (match: number) => ({
    progress: [{ node: 104, state: "replicate" as const, match, next: match + 1, inflight: 0, active: true }],
    lastIndex: 1000,
  });
  assertError(await harness.call("MemberPromote", { ID: 105n }), errors.memberNotFound);
  assertError(await harness.call("MemberPromote", { ID: 102n }), errors.memberNotLearner);
  context.proposer.status = leaderStatus(progress(899));
  assertError(await harness.call("MemberPromote", { ID: 104n }), errors.learnerNotReady);
  context.proposer.status = leaderStatus(progress(900));
  const response = okay(await harness.call("MemberPromote", { ID: 104n }), MemberPromoteResponseSchema);
  assert.equal(response.members.find(({ ID }) => ID === 104n)?.isLearner, false);
  assert.deepEqual(context.proposer.changes[0]?.steps, [{ op: "addVoter", node: 104 }]);
});

test("on a follower it is the leader who judges whether a learner is ready", async () => {
  const harness = new Harness();
  harness.context.role = { role: "follower", leader: 102, epoch: 7 };
  harness.context.list.push(member(104, { isLearner: true }));
  harness.context.proposer.onChange = () => ({
    kind: "failed",
    reason: "learnerNotReady",
    outcome: "refused",
  });
  assertError(await harness.call("MemberPromote", { ID: 104n }), errors.learnerNotReady);
  assert.equal(harness.context.proposer.changes.length, 1);
});

test("a change while another is pending or peers are out of reach is an unhealthy cluster", async () => {
  const harness = new Harness();
  for (const reason of ["changePending", "unhealthy"] as const) {
    harness.context.proposer.onChange = () => ({ kind: "failed", reason, outcome: "refused" });
    assertError(await harness.call("MemberAdd", { peerURLs: [fourth] }), errors.unhealthy);
  }
});

test("bytes that are no such request are an internal error with grpc-go's text", async () => {
  const answer = await new Harness().caller.unary(
    "/etcdserverpb.Cluster/MemberAdd",
    Uint8Array.of(0x0a, 0x05),
  );
  assert.equal(answer.code, Status.INTERNAL);
  assert.match(answer.message, /^grpc: error unmarshalling request: proto: ./);
});

test("a learner refuses the whole service", async () => {
  const harness = new Harness();
  harness.context.role = { role: "learner", leader: 102, epoch: 7 };
  assertError(await harness.call("MemberList", {}), errors.notSupportedForLearner);
});
