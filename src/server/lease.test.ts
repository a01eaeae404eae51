// Leases on three node processes: renewed through a follower, carried over the death of a leader, gone
// with their keys when nobody renews them.

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  LeaseGrantRequestSchema,
  LeaseGrantResponseSchema,
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
  LeaseTimeToLiveRequestSchema,
  LeaseTimeToLiveResponseSchema,
  PutRequestSchema,
  RangeRequestSchema,
  RangeResponseSchema,
} from "../gen/etcdserverpb/rpc_pb.js";
import { RpcChannel } from "../rpc/client.js";
import type { NodeProcess } from "./harness/node-process.js";
import { callOnce, eventually, ProcessCluster } from "./harness/process-cluster.js";

let cluster: ProcessCluster;
let leader: NodeProcess;

before(async () => {
  cluster = await ProcessCluster.start();
  leader = await cluster.ready();
});
after(() => cluster?.destroy());

const port = (node: NodeProcess): number => Number(node.endpoint.split(":")[1]);

async function grant(node: NodeProcess, ttl: bigint): Promise<bigint> {
  const request = toBinary(LeaseGrantRequestSchema, create(LeaseGrantRequestSchema, { TTL: ttl }));
  const response = await callOnce(port(node), "/etcdserverpb.Lease/LeaseGrant", request);
  return fromBinary(LeaseGrantResponseSchema, response).ID;
}

async function put(node: NodeProcess, key: string, lease: bigint): Promise<void> {
  const request = create(PutRequestSchema, { key: Buffer.from(key), lease });
  await callOnce(port(node), "/etcdserverpb.KV/Put", toBinary(PutRequestSchema, request));
}

async function keyExists(node: NodeProcess, key: string): Promise<boolean> {
  const request = create(RangeRequestSchema, { key: Buffer.from(key) });
  const response = await callOnce(
    port(node),
    "/etcdserverpb.KV/Range",
    toBinary(RangeRequestSchema, request),
  );
  return fromBinary(RangeResponseSchema, response).count > 0n;
}

async function timeToLive(node: NodeProcess, ID: bigint): Promise<{ ttl: bigint; keys: string[] }> {
  const request = create(LeaseTimeToLiveRequestSchema, { ID, keys: true });
  const bytes = toBinary(LeaseTimeToLiveRequestSchema, request);
  const response = await callOnce(port(node), "/etcdserverpb.Lease/LeaseTimeToLive", bytes);
  const { TTL, keys } = fromBinary(LeaseTimeToLiveResponseSchema, response);
  return { ttl: TTL, keys: keys.map((key) => Buffer.from(key).toString()) };
}

/** Renews on one stream, again whenever an answer came; the last answers are kept. */
class Renewals {
  readonly ttls: bigint[] = [];
  failure: string | undefined;
  private timer: NodeJS.Timeout | undefined;
  private constructor(private readonly channel: RpcChannel) {}

  static async open(node: NodeProcess, ID: bigint, everyMs: number): Promise<Renewals> {
    const channel = new RpcChannel({ host: "127.0.0.1", port: port(node) });
    await channel.connect();
    const renewals = new Renewals(channel);
    const stream = channel.stream(
      "/etcdserverpb.Lease/LeaseKeepAlive",
      {},
      {
        message: (message) => {
          renewals.ttls.push(fromBinary(LeaseKeepAliveResponseSchema, Buffer.from(message)).TTL);
        },
        end: (end) => {
          renewals.failure = `${end.code} ${end.message}`;
        },
      },
    );
    const send = (): void =>
      void stream.write(toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID })));
    send();
    renewals.timer = setInterval(send, everyMs);
    return renewals;
  }

  close(): void {
    clearInterval(this.timer);
    this.channel.close();
  }
}

it("a lease kept alive through a follower outlives its leader, and ends when nobody renews it", async () => {
  const [follower, other] = cluster.nodes.filter((node) => node !== leader) as [NodeProcess, NodeProcess];
  const kept = await grant(follower, 3n);
  const left = await grant(other, 2n);
  await put(other, "kept", kept);
  await put(leader, "left", left);
  assert.deepEqual((await timeToLive(follower, kept)).keys, ["kept"]);
  const renewals = await Renewals.open(follower, kept, 500);
  await eventually("the lease nobody renews has ended", 20_000, async () =>
    (await keyExists(follower, "left")) ? undefined : true,
  );
  assert.equal((await timeToLive(other, left)).ttl, -1n);
  assert.ok(await keyExists(other, "kept"));

  await leader.kill();
  const before = renewals.ttls.length;
  await eventually("the next leader renews", 30_000, async () =>
    renewals.ttls.length >= before + 12 ? true : undefined,
  );
  assert.equal(renewals.failure, undefined);
  assert.deepEqual(new Set(renewals.ttls), new Set([3n]));
  assert.ok(await keyExists(other, "kept"));
  assert.ok((await timeToLive(other, kept)).ttl >= 0n);

  renewals.close();
  await eventually("the lease has ended", 20_000, async () =>
    (await keyExists(follower, "kept")) ? undefined : true,
  );
  leader.start();
  leader = await cluster.ready();
  for (const node of cluster.nodes) {
    assert.equal(await keyExists(node, "kept"), false);
    assert.equal((await timeToLive(node, kept)).ttl, -1n);
  }
});

it("leases survive the restart of every node", async () => {
  const lease = await grant(leader, 600n);
  await put(leader, "long", lease);
  await Promise.all(cluster.nodes.map((node) => node.kill()));
  for (const node of cluster.nodes) node.start();
  leader = await cluster.ready();
  for (const node of cluster.nodes) {
    const { ttl, keys } = await timeToLive(node, lease);
    assert.ok(ttl > 500n && ttl <= 601n, `${ttl} s left`);
    assert.deepEqual(keys, ["long"]);
  }
});
