import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { RpcError, Status } from "../src/rpc/call.js";
import { LocalCluster, nodeFlags } from "./cluster.js";
import { ManualClock, ScriptedChannel } from "./scripted.js";

const unreachable = () => {
  throw new RpcError(Status.UNAVAILABLE, "nobody listens");
};

test("the flags are etcd's and name all members", () => {
  const flags = nodeFlags(1, "/data", [1, 2, 3], [11, 12, 13]);
  assert.ok(flags.includes("--name=node2"));
  assert.ok(flags.includes("--data-dir=/data/node2"));
  assert.ok(flags.includes("--listen-client-urls=http://127.0.0.1:2"));
  assert.ok(flags.includes("--initial-advertise-peer-urls=http://127.0.0.1:12"));
  assert.ok(
    flags.includes(
      "--initial-cluster=node1=http://127.0.0.1:11,node2=http://127.0.0.1:12,node3=http://127.0.0.1:13",
    ),
  );
});

test("a node that ends at once is reported with the end of its output", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const script = 'console.error("the disk is on fire"); process.exitCode = 3';
  const program = { name: "quorate", command: process.execPath, args: ["-e", script, "--"] } as const;
  await assert.rejects(
    LocalCluster.start(program, folder, unreachable, new AbortController().signal),
    /quorate node\d ended with status 3; the end of its output:\nthe disk is on fire/,
  );
});

test("a program that does not exist is reported", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const program = { name: "etcd", command: join(folder, "no-such-program"), args: [] } as const;
  await assert.rejects(
    LocalCluster.start(program, folder, unreachable, new AbortController().signal),
    /no-such-program ENOENT/,
  );
});

test("nodes are ended when the start is aborted", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const program = {
    name: "etcd",
    command: process.execPath,
    args: ["-e", "setInterval(() => {}, 1000)", "--"],
  } as const;
  const controller = new AbortController();
  const refusing = () => {
    controller.abort(new Error("interrupted"));
    return new ScriptedChannel(
      new ManualClock(),
      () => ({ delayMs: 0 }),
      () => false,
    );
  };
  const before = process.listenerCount("exit");
  await assert.rejects(LocalCluster.start(program, folder, refusing, controller.signal), /interrupted/);
  // The listener that would end them with this process is removed only after all have ended.
  assert.equal(process.listenerCount("exit"), before);
});
