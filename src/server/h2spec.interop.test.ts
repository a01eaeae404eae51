// h2spec (generic, http2 and hpack groups, the strict cases among them) against a node's client port.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { ProcessCluster } from "./harness/process-cluster.js";

const missing = spawnSync("h2spec", ["--version"], { stdio: "ignore" }).error !== undefined;
const skip = missing && process.env.CI !== "true" ? "needs h2spec" : false;

test("h2spec finds no fault with the client port", { skip }, async (t) => {
  if (missing) assert.fail("h2spec must be installed in CI");
  const cluster = await ProcessCluster.start({ nodes: 1 });
  t.after(() => cluster.destroy());
  const port = cluster.nodes[0]!.plan.clientPort;
  const args = ["--strict", "-h", "127.0.0.1", "-p", String(port), "--timeout", "5"];
  const { stdout, status } = spawnSync("h2spec", args, { encoding: "utf8", timeout: 180_000 });
  const report = stdout.slice(stdout.indexOf("Failures:"));
  assert.equal(status, 0, report);
  const [, total, passed] = /(\d+) tests, (\d+) passed, 0 skipped, 0 failed/.exec(stdout) ?? [];
  assert.equal(passed, total, report);
  assert.ok(Number(total) >= 146, report);
});
