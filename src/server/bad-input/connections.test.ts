// More connections than a node has files for: those beyond its bound are closed as they come, and the
// node keeps the files that its log and its store need.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { it } from "node:test";
import { PutRequestSchema } from "../../gen/etcdserverpb/rpc_pb.js";
import { Status } from "../../rpc/call.js";
import { RpcChannel } from "../../rpc/client.js";
import { NodeProcess } from "../harness/node-process.js";
import { eventually, ProcessCluster } from "../harness/process-cluster.js";
import { assertWhole, bytes, encode, put } from "./witness.js";

it("a node out of files for clients goes on writing", { timeout: 300_000 }, async (t) => {
  const cluster = await ProcessCluster.start({ nodes: 1 });
  t.after(() => cluster.destroy());
  await cluster.nodes[0]!.stop();
  const node = new NodeProcess({
    ...cluster.nodes[0]!.plan,
    wrapper: ["sh", "-c", 'ulimit -n 200; exec "$@"', "sh"],
  });
  cluster.nodes[0] = node;
  node.start();
  await eventually("a put", 20_000, () => put(node, "before", "1"));
  const port = node.plan.clientPort;
  const channel = new RpcChannel({ host: "127.0.0.1", port });
  await channel.connect();
  const sockets: Socket[] = [];
  t.after(() => {
    channel.close();
    for (const socket of sockets) socket.destroy();
  });
  let closed = 0;
  for (let at = 0; at < 500; at++) {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => {});
    socket.once("close", () => closed++);
    socket.resume();
    sockets.push(socket);
  }
  await eventually("those beyond the bound are closed", 30_000, async () =>
    closed >= 400 ? true : undefined,
  );
  // Beyond a segment of the log and a table of the store.
  const value = Buffer.alloc(1_000_000, 1);
  for (let at = 0; at < 100; at++) {
    const request = encode(PutRequestSchema, { key: bytes(`key/${at}`), value });
    const code = await new Promise<Status>((resolve) =>
      channel.unary("/etcdserverpb.KV/Put", request, { timeoutMs: 10_000 }, (end) => resolve(end.code)),
    );
    assert.equal(code, Status.OK, node.output.slice(-2000));
  }
  assert.match(node.output, /"connections are refused"/);
  for (const socket of sockets) socket.destroy();
  await assertWhole(cluster);
});
