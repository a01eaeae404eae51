import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { unhealthy } from "./health.js";

const program = fileURLToPath(new URL("../main.js", import.meta.url));

/** `quorate cluster` in a process group of its own, as a terminal would run it. */
class ClusterCommand {
  output = "";
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  private readonly listeners = new Set<() => void>();

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [program, "cluster", ...args], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding("utf8").on("data", (chunk: string) => {
        this.output += chunk;
        for (const listener of this.listeners) listener();
      });
    this.ended = once(this.child, "close").then(([status]) => {
      for (const listener of this.listeners) listener();
      return status as number | null;
    });
  }

  /** Resolves when the output matches; rejects when the command ends before. */
  printed(pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (pattern.test(this.output)) resolve();
        else if (this.child.exitCode !== null) reject(new Error(`ended without ${pattern}: ${this.output}`));
        else return;
        this.listeners.delete(look);
      };
      this.listeners.add(look);
      look();
    });
  }

  /** Ctrl-C: the signal reaches the whole group. */
  interrupt(): void {
    process.kill(-this.child.pid!, "SIGINT");
  }

  killGroup(): void {
    try {
      process.kill(-this.child.pid!, "SIGKILL");
    } catch (error) {
      if ((error as { code?: string }).code !== "ESRCH") throw error;
    }
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Resolves when nothing listens on the port any more. */
async function silent(port: number): Promise<void> {
  while ((await unhealthy(port)) !== "not listening yet")
    await new Promise((resolve) => setImmediate(resolve));
}

const node = new URL("../../server/node.js", import.meta.url);
const skip = existsSync(node) ? false : "this version cannot run a node yet";

describe("quorate cluster", { timeout: 120_000, skip }, () => {
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
    for (const command of running) {
      command.killGroup();
      await command.ended;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it("brings up healthy nodes, says where they are, ends cleanly on Ctrl-C, and starts again", async () => {
    for (const round of [1, 2]) {
      const cluster = start();
      await cluster.printed(/Ctrl-C stops the cluster/);
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

  it("stops all nodes when only the command itself is asked to end", async () => {
    const cluster = start();
    await cluster.printed(/Ctrl-C stops the cluster/);
    cluster.child.kill("SIGTERM");
    assert.equal(await cluster.ended, 0, cluster.output);
    for (const port of ports) await silent(port);
  });

  it("reports a node that dies with its last line, keeps the others, and ends with status 1", async () => {
    const cluster = start();
    await cluster.printed(/Ctrl-C stops the cluster/);
    process.kill(pidOf("n2"), "SIGKILL");
    await cluster.printed(/^n2 ended unexpectedly \(SIGKILL\): INFO \S/m);
    await cluster.printed(/^2 of 3 nodes go on/m);
    cluster.interrupt();
    assert.equal(await cluster.ended, 1);
  });

  it("leaves no node behind when it is killed itself", async () => {
    const cluster = start();
    await cluster.printed(/Ctrl-C stops the cluster/);
    cluster.child.kill("SIGKILL");
    await cluster.ended;
    for (const port of ports) await silent(port);
  });

  it("refuses to run twice on the same ports", async () => {
    const first = start();
    await first.printed(/Ctrl-C stops the cluster/);
    const second = start();
    assert.equal(await second.ended, 2);
    assert.match(
      second.output,
      /^quorate: port \d+ is taken by another program \(n1\); is a cluster running already\?\n$/,
    );
  });
});
