// Dashboard and alerts against the real thing: promtool checks the rules and their tests, Debian's
// Prometheus scrapes a running cluster, and every expression is asked of it.

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { ClusterCommand, freePorts } from "./testing/cluster-command.js";
import { skipWithout } from "./testing/programs.js";

const deploy = fileURLToPath(new URL("../../../deploy/", import.meta.url));
const read = (path: string): string => readFileSync(join(deploy, path), "utf8");
const { metrics } = JSON.parse(read("metrics.json")) as {
  metrics: readonly { name: string; type: string; labels: readonly string[] }[];
};

/** Runs a program in deploy/prometheus; its output when it succeeds. */
function run(program: string, ...args: string[]): string {
  const result = spawnSync(program, args, {
    cwd: join(deploy, "prometheus"),
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(
    result.status,
    0,
    `${program} ${args.join(" ")}\n${result.stdout}${result.stderr}${result.error ?? ""}`,
  );
  return result.stdout;
}

describe("the alert rules", { skip: skipWithout("promtool") }, () => {
  it("are valid, and so is the configuration that loads them", () => {
    run("promtool", "check", "config", "prometheus.yml");
  });

  it("fire when they should, and only then", () => {
    run("promtool", "test", "rules", "rules.test.yml");
  });
});

describe("a cluster under Prometheus", {
  skip: skipWithout("prometheus", "etcdctl"),
  timeout: 180_000,
}, () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-deploy-"));
  let cluster: ClusterCommand;
  let prometheus: ChildProcess;
  let clientPorts: readonly number[];
  let base: string;

  /** The result of an instant query; fails on an expression Prometheus does not take. */
  async function query(
    expr: string,
  ): Promise<readonly { metric: Record<string, string>; value: [number, string] }[]> {
    const response = await fetch(`${base}/api/v1/query?query=${encodeURIComponent(expr)}`);
    const answer = (await response.json()) as {
      status: string;
      error?: string;
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    assert.equal(answer.status, "success", `${expr}: ${answer.error}`);
    return answer.data.result;
  }

  async function listening(): Promise<boolean> {
    try {
      return (await fetch(`${base}/-/ready`)).ok;
    } catch (error) {
      if (error instanceof TypeError) return false;
      throw error;
    }
  }

  before(async () => {
    const ports = await freePorts(7);
    clientPorts = ports.slice(0, 3);
    base = `http://127.0.0.1:${ports[6]}`;
    cluster = new ClusterCommand([
      `--data-dir=${join(folder, "data")}`,
      `--client-ports=${clientPorts.join(",")}`,
      `--peer-ports=${ports.slice(3, 6).join(",")}`,
    ]);
    await cluster.ready();
    const config = parse(read("prometheus/prometheus.yml")) as {
      global: Record<string, string>;
      rule_files: string[];
      scrape_configs: { static_configs: { targets: string[] }[] }[];
    };
    config.global = { scrape_interval: "1s", evaluation_interval: "1s" };
    config.rule_files = [join(deploy, "prometheus", "rules.yml")];
    config.scrape_configs[0]!.static_configs[0]!.targets = clientPorts.map((port) => `127.0.0.1:${port}`);
    // JSON is YAML.
    const file = join(folder, "prometheus.yml");
    writeFileSync(file, JSON.stringify(config));
    prometheus = spawn(
      "prometheus",
      [
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(folder, "tsdb")}`,
        `--web.listen-address=127.0.0.1:${ports[6]}`,
      ],
      { stdio: "ignore" },
    );
    const endpoints = clientPorts.map((port) => `127.0.0.1:${port}`);
    const put = (value: number): void => {
      const endpoint = endpoints[value % endpoints.length]!;
      run("etcdctl", `--endpoints=${endpoint}`, "put", "deploy", String(value));
    };
    // Writes go on until Prometheus has seen each node twice with something in between.
    const begun = Date.now();
    for (let value = 0; ; value++) {
      put(value);
      if (Date.now() - begun > 60_000) throw new Error("Prometheus did not scrape all nodes within a minute");
      if (prometheus.exitCode !== null)
        throw new Error(`Prometheus ended with status ${prometheus.exitCode}`);
      if (await listening()) {
        const seen = await query('count_over_time(up{job=~".*etcd.*"}[1m]) >= 4');
        if (seen.length === 3) break;
      }
      await delay(200);
    }
  });

  after(async () => {
    if (prometheus?.exitCode === null) {
      prometheus.kill("SIGKILL");
      await once(prometheus, "exit");
    }
    await cluster?.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  it("is scraped without errors, all three nodes", async () => {
    assert.deepEqual(
      (await query("up")).map(({ value }) => value[1]),
      ["1", "1", "1"],
    );
  });

  it("has every metric of metrics.json, of its type and with its labels", async () => {
    const text = await (await fetch(`http://127.0.0.1:${clientPorts[0]}/metrics`)).text();
    const types = new Map(
      [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name!, type!]),
    );
    assert.deepEqual(
      metrics.map(({ name }) => `${name} ${types.get(name) ?? "missing"}`),
      metrics.map(({ name, type }) => `${name} ${type}`),
    );
    for (const { name, labels } of metrics) {
      const sample = new RegExp(`^${name}(?:_count)?\\{([^}]*)\\}`, "m").exec(text)?.[1];
      if (sample === undefined) continue;
      const present = [...sample.matchAll(/(\w+)="/g)].map((match) => match[1]!);
      for (const label of labels) assert.ok(present.includes(label), `${name} has ${present.join(", ")}`);
    }
  });

  it("answers every expression of the dashboard", async () => {
    const { panels } = JSON.parse(read("grafana/dashboards/quorate.json")) as {
      panels: { title: string; targets?: { expr: string }[] }[];
    };
    // What stays empty in a cluster where nothing fails and nobody watches.
    const mayBeEmpty = new Set(["Failed calls a second", "Failed sends to peers", "Open streams"]);
    const empty: string[] = [];
    for (const { title, targets = [] } of panels)
      for (const { expr } of targets) {
        const plain = expr
          .replaceAll("$__rate_interval", "30s")
          .replaceAll("$job", ".*etcd.*")
          .replaceAll("$instance", ".+");
        const result = await query(plain);
        const real = result.filter(({ value }) => value[1] !== "NaN");
        if (real.length === 0 && !mayBeEmpty.has(title)) empty.push(`${title}: ${expr}`);
      }
    assert.deepEqual(empty, []);
  });

  it("raises no alert", async () => {
    assert.deepEqual(await query('ALERTS{alertstate="firing"}'), []);
  });

  it("has one leader, known to all", async () => {
    assert.equal((await query("sum(etcd_server_is_leader)"))[0]?.value[1], "1");
    assert.equal((await query("sum(etcd_server_has_leader)"))[0]?.value[1], "3");
  });
});
