// Disks that fail, fill up and are slow, under real processes: the node stops with its reason, or waits,
// and nothing that was acknowledged is lost. strace makes system calls on the log fail or last; file
// systems that can be full are tmpfs mounts, where the machine allows them.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { NodeProcess } from "./harness/node-process.js";
import { eventually, ProcessCluster } from "./harness/process-cluster.js";
import { Workload } from "./harness/writers.js";

const hasStrace = spawnSync("strace", ["-V"], { stdio: "ignore" }).error === undefined;
const timeout = 120_000;
const skip = hasStrace || process.env.CI === "true" ? false : "needs strace";

interface Run {
  readonly cluster: ProcessCluster;
  readonly workload: Workload;
}

async function underLoad(folder: string | undefined, run: (run: Run) => Promise<void>): Promise<void> {
  const cluster = await ProcessCluster.start(folder === undefined ? {} : { folder });
  const workload = new Workload({
    endpoints: cluster.endpoints,
    writers: 24,
    ratePerSecond: 600,
    maxWrites: 500_000,
    latest: true,
    readers: true,
  });
  try {
    workload.start();
    await workload.acknowledgedAfter(performance.now());
    await run({ cluster, workload });
    await workload.stop();
    await workload.verifyConverged();
  } catch (error) {
    const output = cluster.nodes.map((node) => `--- ${node.plan.name}\n${node.output.slice(-4000)}`);
    throw new Error(`${String(error)}\n${output.join("\n")}`, { cause: error });
  } finally {
    await workload.stop();
    workload.close();
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    if (folder === undefined) await cluster.destroy();
  }
}

/** Has strace tamper with system calls of a running node on the segment of the log it writes to. */
async function tamper(node: NodeProcess, inject: string): Promise<{ stop(): Promise<void> }> {
  const wal = join(node.plan.dataDir, "wal");
  const names = readdirSync(wal).filter((name) => name.endsWith(".wal"));
  const calls = inject.slice(0, inject.indexOf(":"));
  const output = join(node.plan.dataDir, "strace.log");
  const paths = names.flatMap((name) => ["-P", join(wal, name)]);
  const child = spawn("strace", [
    "-f",
    ...["-p", String(node.pid), "-o", output],
    ...paths,
    ...[`-etrace=${calls}`, `-einject=${inject}`],
  ]);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    let printed = "";
    child.stderr.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.includes("attached")) resolve();
    });
    child.once("error", reject);
    child.once("close", () => reject(new Error(`strace ended: ${printed}`)));
  });
  return {
    stop: () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

/** The one line with which a node says why it stopped. */
function reason(node: NodeProcess): string {
  const lines = node.output.split("\n").filter((line) => line.startsWith("quorate: "));
  assert.equal(lines.length, 1, node.output);
  return lines[0]!;
}

const faults = [
  {
    what: "an fdatasync fails",
    inject: "fdatasync:error=EIO:when=20",
    says: /failed, the log stops here: .*EIO/,
  },
  { what: "a write fails", inject: "pwrite64:error=EIO:when=20", says: /failed, the log stops here: .*EIO/ },
  {
    what: "a write finds the disk full",
    inject: "pwrite64:error=ENOSPC:when=20",
    says: /no space is left to write/,
  },
];

test("a leader on whose log an operation fails stops with its reason", { skip, timeout }, async (context) => {
  await underLoad(undefined, async ({ cluster, workload }) => {
    for (const { what, inject, says } of faults) {
      const leader = await cluster.ready();
      const tampering = await tamper(leader, inject);
      assert.equal(await leader.ended(30_000), 1, leader.output);
      const stoppedAt = performance.now();
      await tampering.stop();
      const line = reason(leader);
      assert.match(line, says);
      const answeredAt = await workload.acknowledgedAfter(stoppedAt);
      context.diagnostic(`${what}: "${line}"; next write after ${Math.round(answeredAt - stoppedAt)} ms`);
      const again = new NodeProcess(leader.plan);
      cluster.nodes[cluster.nodes.indexOf(leader)] = again;
      again.start();
      await cluster.ready();
      await workload.verify([0, 1, 2]);
    }
  });
});

/** Well below the time within which a leader must be heard of. */
const slowMs = 300;
const slow = `fdatasync:delay_enter=${slowMs * 1000}`;

test("a write is acknowledged only after a majority has synced it", { skip, timeout }, async (context) => {
  await underLoad(undefined, async ({ cluster, workload }) => {
    const leader = await cluster.ready();
    const followers = cluster.nodes.filter((node) => node !== leader);
    const [first, second] = await Promise.all(followers.map((node) => tamper(node, slow)));
    const slowSince = performance.now();
    await delay(3000);
    const both = workload.history.latencies(slowSince);
    context.diagnostic(`both followers sync in ${slowMs} ms or more: ${figures(both)}`);
    assert.ok(
      both.length > 0 && both[0]! >= slowMs,
      "no write was acknowledged before a follower had synced it",
    );
    await first!.stop();
    const oneSince = performance.now();
    await delay(2000);
    const one = workload.history.latencies(oneSince);
    context.diagnostic(`one follower does: ${figures(one)}`);
    assert.ok(median(one) < slowMs, "one slow follower holds nobody up");
    assert.equal(await cluster.ready(), leader, "the leader stayed");
    await second!.stop();
  });
});

test("a leader with a slow disk commits through its followers and can be killed", {
  skip,
  timeout,
}, async (context) => {
  await underLoad(undefined, async ({ cluster, workload }) => {
    const leader = await cluster.ready();
    const tampering = await tamper(leader, slow);
    const slowSince = performance.now();
    await delay(2000);
    const latencies = workload.history.latencies(slowSince);
    context.diagnostic(`the leader syncs in ${slowMs} ms or more: ${figures(latencies)}`);
    assert.ok(median(latencies) < slowMs, "a majority without the leader is enough");
    await leader.kill();
    await tampering.stop();
    leader.start();
    await cluster.ready();
    await workload.verify([0, 1, 2]);
  });
});

const median = (sorted: readonly number[]): number => sorted[sorted.length >> 1] ?? Number.POSITIVE_INFINITY;
const figures = (sorted: readonly number[]): string =>
  `${sorted.length} writes, fastest ${Math.round(sorted[0] ?? 0)} ms, median ${Math.round(median(sorted))} ms`;

// ------------------------------------------------------------------ disks that are full

const mountBytes = 96 << 20;

/** Small file systems at `part` of every node's folder; undefined (and the test skipped) where mounting is not allowed. */
function smallDisks(context: TestContext, part: string): { folder: string; disks: string[] } | undefined {
  const folder = mkdtempSync(join(tmpdir(), "quorate-disks-"));
  const disks: string[] = [];
  context.after(() => {
    for (const disk of disks) spawnSync("umount", [disk]);
    rmSync(folder, { recursive: true, force: true });
  });
  for (const name of ["n1", "n2", "n3"]) {
    const disk = join(folder, name, part);
    mkdirSync(disk, { recursive: true, mode: 0o700 });
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${mountBytes}`, "tmpfs", disk]);
    if (mounted.status !== 0) {
      context.skip(`may not mount a tmpfs: ${mounted.stderr?.toString().trim() || mounted.error}`);
      return undefined;
    }
    disks.push(disk);
  }
  return { folder, disks };
}

const ballast = (disk: string): string => join(disk, "ballast");

/** Leaves not a byte. */
function fill(disk: string): void {
  const file = openSync(ballast(disk), "a");
  try {
    for (let chunk = Buffer.alloc(1 << 20); chunk.length > 0; ) {
      try {
        writeSync(file, chunk);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        chunk = chunk.subarray(0, chunk.length >> 1);
      }
    }
  } finally {
    closeSync(file);
  }
}

/** Waits until `count` of the nodes have stopped, each for want of space; answers the reason of one. */
async function stopForWantOfSpace(nodes: readonly NodeProcess[], count: number): Promise<string> {
  const stopped = await eventually(`${count} nodes stop`, 30_000, async () => {
    const gone = nodes.filter((node) => !node.running);
    return gone.length >= count ? gone : undefined;
  });
  for (const node of stopped) {
    assert.equal(await node.ended(10_000), 1, node.output);
    assert.match(reason(node), /no space/i);
  }
  return reason(stopped[0]!);
}

/** Some may have stopped, one may be about to. */
async function startAgain(cluster: ProcessCluster): Promise<void> {
  await Promise.all(cluster.nodes.map((node) => node.kill()));
  for (const [at, node] of cluster.nodes.entries()) {
    cluster.nodes[at] = new NodeProcess(node.plan);
    cluster.nodes[at].start();
  }
}

for (const part of ["wal", "store"]) {
  test(`a node whose ${part} has no space left stops, and continues once there is some`, {
    timeout,
  }, async (context) => {
    const small = smallDisks(context, part);
    if (small === undefined) return;
    await underLoad(small.folder, async ({ cluster, workload }) => {
      const leader = await cluster.ready();
      const first = cluster.nodes.indexOf(leader);
      fill(small.disks[first]!);
      context.diagnostic(await stopForWantOfSpace([leader], 1));
      await workload.acknowledgedAfter(performance.now());

      // Without a majority the last one has nothing to write, and may live on.
      for (const disk of small.disks) fill(disk);
      await stopForWantOfSpace(cluster.nodes, 2);
      await startAgain(cluster);
      context.diagnostic(`still full: ${await stopForWantOfSpace(cluster.nodes, 2)}`);

      for (const disk of small.disks) rmSync(ballast(disk));
      await startAgain(cluster);
      await cluster.ready();
      await workload.acknowledgedAfter(performance.now());
      await workload.verify([0, 1, 2]);
    });
  });
}
