// etcdctl, as it is installed, against the API on one node.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { after, before, test } from "node:test";
import { type SingleNode, startSingleNode } from "../testing/single-node.js";

const installed = spawnSync("etcdctl", ["version"]).error === undefined;
const skip = !installed && process.env.CI !== "true" && "etcdctl is not installed";

let node: SingleNode;
before(async () => {
  node = await startSingleNode();
});
after(() => node.stop());

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Not spawnSync: the server is in this process. */
function etcdctl(args: readonly string[], input = ""): Promise<Outcome> {
  const env = { PATH: process.env.PATH, ETCDCTL_API: "3" };
  const child = spawn("etcdctl", ["--endpoints", node.address, ...args], { env });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, stderr }));
  });
}

async function prints(args: readonly string[], expected: string | RegExp, input = ""): Promise<void> {
  const { status, stdout, stderr } = await etcdctl(args, input);
  assert.equal(status, 0, stderr);
  if (typeof expected === "string") assert.equal(stdout, expected);
  else assert.match(stdout, expected);
}

async function fails(args: readonly string[], expected: RegExp): Promise<void> {
  const { status, stderr } = await etcdctl(args);
  assert.notEqual(status, 0);
  assert.match(stderr, expected);
}

test("etcdctl puts, gets, deletes and lists", { skip }, async () => {
  await prints(["put", "ctl/a", "1"], "OK\n");
  await prints(["put", "ctl/a", "2", "--prev-kv"], "OK\nctl/a\n1\n");
  await prints(["put", "ctl/b", "3"], "OK\n");
  await prints(["get", "ctl/a"], "ctl/a\n2\n");
  await prints(["get", "ctl/", "--prefix", "--keys-only"], "ctl/a\n\nctl/b\n\n");
  await prints(["get", "ctl/", "--prefix", "--order=DESCEND", "--limit=1", "--print-value-only"], "3\n");
  await prints(["get", "ctl/a", "--rev=2", "--consistency=s"], "ctl/a\n1\n");
  await prints(["del", "ctl/", "--prefix"], "2\n");
  await prints(["get", "", "--from-key"], "");
});

test("etcdctl runs a txn on the branch its compares choose", { skip }, async () => {
  const txn = 'create("ctl/t") = "0"\n\nput ctl/t new\n\nget ctl/t\n\n';
  await prints(["txn"], /^SUCCESS\n\nOK\n$/, txn);
  await prints(["txn"], /^FAILURE\n\nctl\/t\nnew\n$/, txn);
});

test("etcdctl compacts, and cannot read below any more", { skip }, async () => {
  await prints(["put", "ctl/c", "1"], "OK\n");
  const revision = node.state.currentRevision;
  await prints(["compaction", String(revision), "--physical"], `compacted revision ${revision}\n`);
  await fails(["compaction", String(revision)], /etcdserver: mvcc: required revision has been compacted/);
  await fails(["get", "ctl/c", `--rev=${revision - 1}`], /mvcc: required revision has been compacted/);
  await fails(["get", "ctl/c", `--rev=${revision + 100}`], /mvcc: required revision is a future revision/);
});

test("etcdctl finds the endpoint healthy, its status and members in order", { skip }, async () => {
  const { status, stdout, stderr } = await etcdctl(["endpoint", "health"]);
  assert.equal(status, 0);
  assert.match(stdout + stderr, /is healthy: successfully committed proposal/);
  await prints(["endpoint", "status"], /, 65, 3\.6\.0, .*, true, false, 2, /);
  await prints(
    ["member", "list"],
    "65, started, node-101, http://10.0.0.1:2380, http://10.0.0.1:2379, false\n",
  );
  await prints(["alarm", "list"], "");
});
