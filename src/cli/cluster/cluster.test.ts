import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ClusterCommand, freePorts } from "../testing/cluster-command.js";
import { unhealthy } from "./health.js";

/** Resolves when a node's health is as expected: undefined for healthy. */
async function answers(port: number, expected: string | undefined): Promise<void> {
  while ((await unhealthy(port)) !== expected) await new Promise((resolve) => setImmediate(resolve));
}

describe("quorate cluster", { timeout: 120_000 }, () => {
  let folder: string;
  let ports: number[];
  let running: ClusterCommand[];
  const start = (...more: string[]): ClusterCommand => {
    const command = new ClusterCommand([
      `--data-dir=${folder}`,
      `--client-ports=${ports.slice(0, 3).join(",")}`,
      `--peer-ports=${ports.slice(3).join(",")}`,
      ...more,
    ]);
    running.push(command);
    return command;
  };
  const pidOf = (name: string): number => {
    const lines = readFileSync(join(folder, `${name}.log`), "utf8")
      .trim()
      .split("\n");
    const starting = lines.map((line) => JSON.parse(line) as { message: string; pid: number });
    return starting.findLast((line) => line.message === "starting")!.pid;
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "quorate-cluster-"));
    ports = await freePorts(6);
    running = [];
  });
  afterEach(async () => {
    for (const command of running) await command.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  it("brings up healthy nodes, says where they are, ends cleanly on Ctrl-C, and starts again", async () => {
    for (const round of [1, 2]) {
      const cluster = start();
      await cluster.ready();
      for (const port of ports.slice(0, 3)) {
        assert.match(cluster.output, new RegExp(`http://127\\.0\\.0\\.1:${port}\\b`));
        assert.equal(await unhealthy(port), undefined, `round ${round}`);
      }
      assert.match(cluster.output, new RegExp(`metrics +http://127\\.0\\.0\\.1:${ports[0]}/metrics`));
      assert.equal(cluster.output.match(/^ {2}etcdctl /gm)?.length, 3);
      const begun = performance.now();
      cluster.interrupt();
      assert.equal(await cluster.ended, 0, cluster.output);
      assert.ok(performance.now() - begun < 10_000, "within ten seconds");
    }
  });

  it("refuses to run twice, and stops all nodes when only the command itself is asked to end", async () => {
    const cluster = start();
    await cluster.ready();
    const second = start();
    assert.equal(await second.ended, 2);
    assert.match(
      second.output,
      /^quorate: port \d+ is taken by another program \(n1\); is a cluster running already\?\n$/,
    );
    cluster.child.kill("SIGTERM");
    assert.equal(await cluster.ended, 0, cluster.output);
    for (const port of ports) await answers(port, "not listening yet");
  });

  it("reports a node that dies with its last line, keeps the others, and ends with status 1", async () => {
    const cluster = start();
    await cluster.ready();
    process.kill(pidOf("n2"), "SIGKILL");
    await cluster.printed(/^n2 ended unexpectedly \(SIGKILL\): INFO \S/m);
    await cluster.printed(/^2 of 3 nodes go on/m);
    // /health asks for a linearizable read: the others have, or elect, a leader.
    for (const port of [ports[0]!, ports[2]!]) await answers(port, undefined);
    cluster.interrupt();
    assert.equal(await cluster.ended, 1);
  });

  it("leaves no node behind when it is killed itself", async () => {
    const cluster = start();
    await cluster.ready();
    cluster.child.kill("SIGKILL");
    await cluster.ended;
    for (const port of ports) await answers(port, "not listening yet");
  });
});
