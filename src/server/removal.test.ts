import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  MemberListRequestSchema,
  MemberListResponseSchema,
  MemberRemoveRequestSchema,
} from "../gen/etcdserverpb/rpc_pb.js";
import type { NodeProcess } from "./harness/node-process.js";
import { callOnce, eventually, ProcessCluster } from "./harness/process-cluster.js";

async function memberNames(by: NodeProcess): Promise<string[]> {
  const request = toBinary(MemberListRequestSchema, create(MemberListRequestSchema, { linearizable: true }));
  const answer = await callOnce(by.plan.clientPort, "/etcdserverpb.Cluster/MemberList", request);
  return fromBinary(MemberListResponseSchema, answer).members.map(({ name }) => name);
}

async function remove(by: NodeProcess, name: string): Promise<void> {
  const list = await callOnce(by.plan.clientPort, "/etcdserverpb.Cluster/MemberList", new Uint8Array(0));
  const member = fromBinary(MemberListResponseSchema, list).members.find((other) => other.name === name);
  assert.ok(member !== undefined, `${name} is a member`);
  const request = create(MemberRemoveRequestSchema, { ID: member.ID });
  await eventually(`${name} removed`, 10_000, () =>
    callOnce(
      by.plan.clientPort,
      "/etcdserverpb.Cluster/MemberRemove",
      toBinary(MemberRemoveRequestSchema, request),
    ),
  );
}

const removal = /^quorate: member [0-9a-f]+ has been permanently removed from the cluster; .*$/m;

test("a removed member ends and says why, whether it was there or away; a member that was only away stays", async (t) => {
  const cluster = await ProcessCluster.start();
  t.after(() => cluster.destroy());
  await eventually("names known", 10_000, async () => {
    const names = await memberNames(cluster.nodes[0]!);
    return names.every((name) => name !== "") ? true : undefined;
  });
  const leader = await cluster.ready();
  const [away, other] = cluster.nodes.filter((node) => node !== leader) as [NodeProcess, NodeProcess];

  await away.stop();
  away.start();
  await cluster.ready();
  await away.stop();
  await remove(leader, away.plan.name);
  away.start();
  assert.equal(await away.exited, 1);
  assert.match(away.output, removal);
  // It needs nobody to tell it again.
  const before = away.output.length;
  away.start();
  assert.equal(await away.exited, 1);
  assert.match(away.output.slice(before), removal);

  // Asked to remove itself, it answers first.
  await remove(other, other.plan.name);
  assert.equal(await other.exited, 1);
  assert.match(other.output, removal);
  assert.deepEqual(await memberNames(leader), [leader.plan.name]);
});
