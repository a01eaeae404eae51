// No acknowledged write is lost or reordered, on real processes: leaders killed under load, all nodes
// killed at once, a leader paused and resumed. QUORATE_KILLS says how often (3; by hand and in CI 20).

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { NodeProcess } from "./harness/node-process.js";
import { eventually, ProcessCluster } from "./harness/process-cluster.js";
import { Workload } from "./harness/writers.js";

const kills = Number(process.env.QUORATE_KILLS ?? 3);
/** Milliseconds from the kill of a leader within which a write begun after it is answered. */
const failoverMs = 3000;

interface Run {
  readonly cluster: ProcessCluster;
  readonly workload: Workload;
}

/** A cluster under load; what it printed is shown when the test fails. */
async function underLoad(timeoutMs: number, run: (run: Run) => Promise<void>): Promise<void> {
  const cluster = await ProcessCluster.start();
  const workload = new Workload({
    endpoints: cluster.endpoints,
    writers: 24,
    ratePerSecond: 600,
    maxWrites: 500_000,
    latest: true,
    readers: true,
    timeoutMs,
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
    await cluster.destroy();
  }
}

const numberOf = (cluster: ProcessCluster, node: NodeProcess): number => cluster.nodes.indexOf(node);
const everyNode = (cluster: ProcessCluster): number[] => cluster.nodes.map((_, at) => at);

function summary(context: TestContext, { workload }: Run): void {
  const { history, readsAnswered, failures } = workload;
  context.diagnostic(
    `${history.begun} writes begun, ${history.acknowledged} acknowledged; ` +
      `${readsAnswered.reduce((a, b) => a + b, 0)} linearizable reads; ` +
      `failures: ${[...failures].map(([message, count]) => `${count} × ${message}`).join("; ") || "none"}`,
  );
}

test(`leaders killed under load, ${kills} in a row, lose no acknowledged write`, async (context) => {
  await underLoad(10_000, async (run) => {
    const { cluster, workload } = run;
    for (let turn = 1; turn <= kills; turn++) {
      const leader = await cluster.ready();
      await delay(200);
      const killedAt = performance.now();
      leader.signal("SIGKILL");
      const answeredAt = await workload.acknowledgedAfter(killedAt);
      const took = Math.round(answeredAt - killedAt);
      await leader.exited;
      context.diagnostic(`kill ${turn} (${leader.plan.name}): next write answered after ${took} ms`);
      assert.ok(
        took <= failoverMs,
        `no write begun after the kill was answered within ${failoverMs} ms: ${took}`,
      );
      leader.start();
      await cluster.ready();
      await workload.verify([numberOf(cluster, leader)]);
    }
    summary(context, run);
  });
});

test(`all nodes killed at once under load, ${kills} times, lose no acknowledged write`, async (context) => {
  await underLoad(10_000, async (run) => {
    const { cluster, workload } = run;
    for (let turn = 1; turn <= kills; turn++) {
      await delay(300);
      for (const node of cluster.nodes) node.signal("SIGKILL");
      await Promise.all(cluster.nodes.map((node) => node.exited));
      const restartedAt = performance.now();
      for (const node of cluster.nodes) node.start();
      const answeredAt = await workload.acknowledgedAfter(restartedAt);
      context.diagnostic(
        `restart ${turn}: next write answered after ${Math.round(answeredAt - restartedAt)} ms`,
      );
      await cluster.ready();
      await workload.verify([turn % cluster.nodes.length]);
    }
    summary(context, run);
  });
});

test("a leader that was paused for three seconds answers no stale read when it goes on", async (context) => {
  await underLoad(1000, async (run) => {
    const { cluster, workload } = run;
    const paused = await cluster.ready();
    const number = numberOf(cluster, paused);
    const pausedAt = performance.now();
    paused.signal("SIGSTOP");
    const answeredAt = await workload.acknowledgedAfter(pausedAt);
    context.diagnostic(`next write answered after ${Math.round(answeredAt - pausedAt)} ms`);
    await delay(Math.max(0, pausedAt + 3000 - performance.now()));
    const before = workload.readsAnswered[number]!;
    paused.signal("SIGCONT");
    await eventually("reads through the resumed node", 10_000, async () =>
      workload.readsAnswered[number]! > before + 20 ? true : undefined,
    );
    const leader = await cluster.ready();
    assert.notEqual(leader, paused, "another node leads since");
    await workload.verify(everyNode(cluster));
    summary(context, run);
  });
});
