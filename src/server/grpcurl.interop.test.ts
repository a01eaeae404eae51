// grpcurl against a running node without any schema files: everything it knows comes from reflection.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { ProcessCluster } from "./harness/process-cluster.js";

const missing = spawnSync("grpcurl", ["-version"], { stdio: "ignore" }).error !== undefined;
const skip = missing && process.env.CI !== "true" ? "needs grpcurl" : false;

describe("grpcurl", { skip }, () => {
  let cluster: ProcessCluster;

  before(async () => {
    if (missing) assert.fail("grpcurl must be installed in CI");
    cluster = await ProcessCluster.start({ nodes: 1 });
  });
  after(() => cluster?.destroy());

  function grpcurl(args: readonly string[], flags: readonly string[] = []): string {
    const command = ["-plaintext", ...flags, cluster.endpoints[0]!, ...args];
    const result = spawnSync("grpcurl", command, { encoding: "utf8", timeout: 20_000 });
    assert.equal(result.status, 0, `grpcurl ${command.join(" ")}\n${result.stderr}`);
    return result.stdout;
  }

  it("lists the services and what a method takes", () => {
    const services = grpcurl(["list"]).trim().split("\n");
    for (const name of ["etcdserverpb.KV", "etcdserverpb.Cluster", "grpc.health.v1.Health"]) {
      assert.ok(services.includes(name), services.join());
    }
    assert.match(grpcurl(["list", "etcdserverpb.KV"]), /^etcdserverpb\.KV\.Put$/m);
    assert.match(grpcurl(["describe", "etcdserverpb.KV.Put"]), /rpc Put \( \.etcdserverpb\.PutRequest \)/);
    assert.match(grpcurl(["describe", "mvccpb.KeyValue"]), /int64 mod_revision = 3;/);
  });

  it("describes every service that is listed", () => {
    for (const name of grpcurl(["list"]).trim().split("\n")) {
      assert.match(grpcurl(["describe", name]), /is a service:/, name);
    }
  });

  it("puts, gets and commits a transaction in JSON", () => {
    const [key, value] = ["key", "value"].map((text) => Buffer.from(text).toString("base64"));
    grpcurl(["etcdserverpb.KV/Put"], ["-d", JSON.stringify({ key, value })]);
    const range = JSON.parse(grpcurl(["etcdserverpb.KV/Range"], ["-d", JSON.stringify({ key })]));
    assert.equal(range.kvs[0].value, value);
    const request = {
      compare: [{ key, target: "VALUE", value }],
      success: [{ requestPut: { key, value: key } }],
    };
    const answer = JSON.parse(grpcurl(["etcdserverpb.KV/Txn"], ["-d", JSON.stringify(request)]));
    assert.equal(answer.succeeded, true);
    assert.deepEqual(JSON.parse(grpcurl(["grpc.health.v1.Health/Check"])), { status: "SERVING" });
  });
});
