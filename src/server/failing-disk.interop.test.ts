// A disk that stops syncing, made by strace: the node must end with the reason and a status, and what
// it acknowledged before must be there afterwards.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { PutRequestSchema, RangeRequestSchema, RangeResponseSchema } from "../gen/etcdserverpb/rpc_pb.js";
import { NodeProcess } from "./harness/node-process.js";
import { callOnce, eventually, freePorts } from "./harness/process-cluster.js";

const missing = spawnSync("strace", ["-V"], { stdio: "ignore" }).error !== undefined;
const skip = missing && process.env.CI !== "true" ? "needs strace" : false;

const key = Buffer.from("count");
const put = (node: NodeProcess, value: number): Promise<Uint8Array> =>
  callOnce(
    node.plan.clientPort,
    "/etcdserverpb.KV/Put",
    toBinary(PutRequestSchema, create(PutRequestSchema, { key, value: Buffer.from(String(value)) })),
  );

async function stored(node: NodeProcess): Promise<number> {
  const request = toBinary(RangeRequestSchema, create(RangeRequestSchema, { key }));
  const answer = await callOnce(node.plan.clientPort, "/etcdserverpb.KV/Range", request);
  return Number(Buffer.from(fromBinary(RangeResponseSchema, answer).kvs[0]?.value ?? []).toString());
}

test("a failed sync ends the node with its reason, and nothing acknowledged is lost", { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-disk-"));
  const [clientPort, peerPort] = (await freePorts(2)) as [number, number];
  const plan = {
    name: "n1",
    clientPort,
    peerPort,
    dataDir: join(folder, "n1"),
    initialCluster: `n1=http://127.0.0.1:${peerPort}`,
  };
  const wrapper = ["strace", "-f", "-qq", "-o", join(folder, "trace"), "-e", "trace=fdatasync"];
  // Counted by thread: the eighth of whichever comes first.
  const failing = new NodeProcess({
    ...plan,
    wrapper: [...wrapper, "-e", "inject=fdatasync:error=EIO:when=8+"],
  });
  const healthy = new NodeProcess(plan);
  t.after(async () => {
    await failing.kill();
    await healthy.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  failing.start();
  await eventually("first write", 15_000, () => put(failing, 0));
  let acknowledged = 0;
  const refusal = await (async () => {
    for (let value = 1; value < 1000; value++) {
      try {
        await put(failing, value);
      } catch (error) {
        return error;
      }
      acknowledged = value;
    }
    return undefined;
  })();
  assert.ok(refusal instanceof Error, "writes end when the disk fails");
  assert.equal(await failing.exited, 1);
  assert.match(failing.output, /^quorate: writing .*\.wal failed, the log stops here: EIO: i\/o error/m);
  healthy.start();
  const found = await eventually("restart", 15_000, () => stored(healthy));
  assert.ok(found >= acknowledged, `acknowledged ${acknowledged}, found ${found}`);
});
