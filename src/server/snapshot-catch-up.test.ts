// A node that lost its data comes back under load: refused under its old identity, removed, added anew
// (as a learner that is promoted, or at once as a voter), brought up to date by a snapshot, and equal to
// the others in the end. Writes go on meanwhile.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  MemberAddRequestSchema,
  MemberAddResponseSchema,
  MemberListRequestSchema,
  MemberListResponseSchema,
  MemberPromoteRequestSchema,
  MemberPromoteResponseSchema,
  MemberRemoveRequestSchema,
  MemberRemoveResponseSchema,
} from "../gen/etcdserverpb/rpc_pb.js";
import { openWal } from "../wal/open.js";
import { type ClusterClient, method } from "./harness/cluster-client.js";
import { NodeProcess } from "./harness/node-process.js";
import { eventually, ProcessCluster } from "./harness/process-cluster.js";
import { Workload } from "./harness/writers.js";

const memberList = method("Cluster/MemberList", MemberListRequestSchema, MemberListResponseSchema);
const memberAdd = method("Cluster/MemberAdd", MemberAddRequestSchema, MemberAddResponseSchema);
const memberPromote = method(
  "Cluster/MemberPromote",
  MemberPromoteRequestSchema,
  MemberPromoteResponseSchema,
);
const memberRemove = method("Cluster/MemberRemove", MemberRemoveRequestSchema, MemberRemoveResponseSchema);

/** Milliseconds of load before the node is lost. */
const warmUpMs = 2000;
/** How often a node is killed while it catches up: QUORATE_KILLS, 3 by default. */
const kills = Number(process.env.QUORATE_KILLS ?? 3);

/** Starts a node that must be refused; answers the one line that says why. */
async function refusal(node: NodeProcess): Promise<string> {
  node.start();
  const status = await node.ended(30_000);
  assert.equal(status, 1, node.output);
  const lines = node.output.split("\n").filter((line) => line.startsWith("quorate: "));
  assert.equal(lines.length, 1, node.output);
  return lines[0]!;
}

/** Id of the entry before the log of a stopped node. */
async function logBeginsAfter(node: NodeProcess): Promise<number> {
  const directory = join(node.plan.dataDir, "wal");
  const { wal, groups } = await openWal({ directory, onFatal: (error) => assert.fail(error) });
  await wal.close();
  return groups.get(0)!.after.index;
}

async function idOf(client: ClusterClient, through: number, name: string): Promise<bigint> {
  const { members } = await client.call(through, memberList, { linearizable: true });
  return members.find((member) => member.name === name)!.ID;
}

async function replaceUnderLoad(
  context: TestContext,
  { cluster, workload }: { cluster: ProcessCluster; workload: Workload },
  lost: NodeProcess,
  joinAs: "learner" | "voter",
): Promise<void> {
  const { client, history } = workload;
  const number = cluster.nodes.indexOf(lost);
  const through = (number + 1) % cluster.nodes.length;
  const rejoined = new NodeProcess({ ...lost.plan, clusterState: "existing" });

  const lostAt = performance.now();
  await lost.kill();
  rmSync(lost.plan.dataDir, { recursive: true });
  if (joinAs === "learner") {
    for (const clusterState of ["new", "existing"] as const) {
      const line = await refusal(new NodeProcess({ ...lost.plan, clusterState }));
      assert.match(line, /member [0-9a-f]+ has already been bootstrapped/);
    }
  }

  await eventually("the member is removed", 15_000, async () => {
    const id = await idOf(client, through, lost.plan.name);
    await client.call(through, memberRemove, { ID: id });
    return true;
  });
  if (joinAs === "learner") {
    const line = await refusal(new NodeProcess(rejoined.plan));
    assert.match(line, /the cluster has no member with peer URLs/);
  }
  const { member } = await client.call(through, memberAdd, {
    peerURLs: [lost.peerUrl],
    isLearner: joinAs === "learner",
  });
  const addedAt = performance.now();

  rejoined.start();
  cluster.nodes[number] = rejoined;
  for (let turn = 0; joinAs === "voter" && turn < kills; turn++) {
    // From before it has asked the others who it is until after it has installed the snapshot.
    await delay(200 + (turn * 1500) / kills);
    await rejoined.kill();
    rejoined.start();
  }
  if (joinAs === "learner") {
    await eventually("the learner is promoted", 30_000, () =>
      client.call(through, memberPromote, { ID: member!.ID }),
    );
  }
  const target = (await cluster.status(cluster.nodes[through]!)).raftIndex;
  await eventually("the node has caught up", 30_000, async () =>
    (await cluster.status(rejoined)).raftAppliedIndex >= target ? true : undefined,
  );
  const caughtUpAt = performance.now();
  context.diagnostic(
    `writes/s before ${history.rate(lostAt - 1000, lostAt)}, with a node lost ${history.rate(lostAt, addedAt)}, ` +
      `while it caught up ${history.rate(addedAt, caughtUpAt)} (${Math.round(caughtUpAt - addedAt)} ms from being added)`,
  );
  assert.ok(history.rate(addedAt, caughtUpAt) > 0, "writes went on while the node caught up");

  await delay(300);
  await workload.stop();
  await workload.verifyConverged();
  const { members } = await client.call(number, memberList, { linearizable: true });
  assert.equal(members.length, 3);
  assert.ok(members.every(({ isLearner, name }) => !isLearner && name !== ""));
  context.diagnostic(`${history.begun} writes begun, ${history.acknowledged} acknowledged`);

  assert.equal(await rejoined.stop(), 0);
  const after = await logBeginsAfter(rejoined);
  assert.ok(after > 1, `a snapshot took the place of the log's beginning: it starts after ${after}`);
}

async function underLoad(run: (cluster: ProcessCluster, workload: Workload) => Promise<void>): Promise<void> {
  const cluster = await ProcessCluster.start();
  const workload = new Workload({
    endpoints: cluster.endpoints,
    writers: 128,
    ratePerSecond: 5000,
    maxWrites: 200_000,
    latest: false,
  });
  try {
    workload.start();
    await delay(warmUpMs);
    await run(cluster, workload);
  } catch (error) {
    const output = cluster.nodes.map((node) => `--- ${node.plan.name}\n${node.output.slice(-4000)}`);
    throw new Error(`${String(error)}\n${output.join("\n")}`, { cause: error });
  } finally {
    await workload.stop();
    workload.close();
    await cluster.destroy();
  }
}

test("a follower that lost its data rejoins as a learner and is promoted, under load", async (context) => {
  await underLoad(async (cluster, workload) => {
    const leader = await cluster.ready();
    const follower = cluster.nodes.find((node) => node !== leader)!;
    await replaceUnderLoad(context, { cluster, workload }, follower, "learner");
  });
});

test(`a leader that lost its data rejoins at once as a voter, killed ${kills} times meanwhile`, async (context) => {
  await underLoad(async (cluster, workload) => {
    await replaceUnderLoad(context, { cluster, workload }, await cluster.ready(), "voter");
  });
});
