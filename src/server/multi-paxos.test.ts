// Three real nodes that run Multi-Paxos: what was acknowledged survives the leader, a restart of all
// nodes finds it again, and the data cannot be opened with another protocol.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  PutRequestSchema,
  RangeRequestSchema,
  type RangeResponse,
  RangeResponseSchema,
} from "../gen/etcdserverpb/rpc_pb.js";
import { NodeProcess } from "./harness/node-process.js";
import { callOnce, eventually, ProcessCluster } from "./harness/process-cluster.js";

const bytes = (text: string): Uint8Array => Buffer.from(text);

async function put(node: NodeProcess, key: string, value: string): Promise<void> {
  const request = create(PutRequestSchema, { key: bytes(key), value: bytes(value) });
  await callOnce(node.plan.clientPort, "/etcdserverpb.KV/Put", toBinary(PutRequestSchema, request), 10_000);
}

async function get(node: NodeProcess, key: string): Promise<string | undefined> {
  const request = toBinary(RangeRequestSchema, create(RangeRequestSchema, { key: bytes(key) }));
  const answer = await callOnce(node.plan.clientPort, "/etcdserverpb.KV/Range", request, 10_000);
  const response: RangeResponse = fromBinary(RangeResponseSchema, answer);
  const value = response.kvs[0]?.value;
  return value === undefined ? undefined : Buffer.from(value).toString();
}

describe("three nodes that run Multi-Paxos", () => {
  let cluster: ProcessCluster;

  before(async () => {
    cluster = await ProcessCluster.start({
      extra: ["--consensus=multi-paxos", "--heartbeat-interval=50", "--election-timeout=500"],
    });
  });
  after(() => cluster.destroy());

  it("serve clients at every node, also when the leader was killed", async () => {
    for (const [at, node] of cluster.nodes.entries()) await put(node, `before-${at}`, `${at}`);
    for (const node of cluster.nodes) assert.equal(await get(node, "before-2"), "2");
    const leader = await cluster.ready();
    await leader.kill();
    const rest = cluster.nodes.filter((node) => node !== leader);
    await eventually("a write without the old leader", 20_000, async () => {
      await put(rest[0]!, "after", "kept");
      return true;
    });
    for (const node of rest) assert.equal(await get(node, "after"), "kept");
    leader.start();
    await cluster.ready();
    assert.equal(await get(leader, "after"), "kept");
    assert.equal(await get(leader, "before-0"), "0");
  });

  it("find everything again when all of them were killed at once", async () => {
    for (let i = 0; i < 50; i++) await put(cluster.nodes[i % 3]!, `key-${i}`, `${i}`);
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    for (const node of cluster.nodes) node.start();
    await cluster.ready();
    for (let i = 0; i < 50; i += 7) assert.equal(await get(cluster.nodes[(i + 1) % 3]!, `key-${i}`), `${i}`);
  });

  it("refuse to open their data with another protocol", async () => {
    const node = cluster.nodes[0]!;
    await node.stop();
    const other = new NodeProcess({ ...node.plan, extra: ["--consensus=raft"] });
    other.start();
    assert.notEqual(await other.exited, 0);
    assert.match(other.output, /belongs to a cluster that runs multi-paxos/);
  });
});
