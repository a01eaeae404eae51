// What cannot be run without a container engine is at least read: every file under deploy/ parses,
// refers only to what exists, and dashboards and alerts use only metrics that a node has.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { parseServerConfig } from "../server/config.js";
import { metricsIn } from "./testing/promql.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const deploy = join(root, "deploy");
const read = (...path: string[]): string => readFileSync(join(deploy, ...path), "utf8");

interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
}
const { metrics } = JSON.parse(read("metrics.json")) as { metrics: readonly Metric[] };
const known = new Set(metrics.map(({ name }) => name));
const histograms = new Set(metrics.filter(({ type }) => type === "histogram").map(({ name }) => name));

const unknownMetrics = (expression: string): string[] =>
  [...metricsIn(expression, histograms)].filter((name) => name !== "up" && !known.has(name));

describe("metricsIn()", () => {
  it("finds metrics among functions, labels, ranges and operators", () => {
    const found = metricsIn(
      'histogram_quantile(0.99, sum by (stage, le) (rate(h_bucket{a="b_c", le="1"}[5m]))) > x / (y > 0) and on (a) z',
      new Set(["h"]),
    );
    assert.deepEqual([...found], ["h", "x", "y", "z"]);
  });
});

describe("the files under deploy/", () => {
  it("parse, all of them", () => {
    const below = readdirSync(deploy, { recursive: true, encoding: "utf8" });
    const parsed = below.filter((path) => {
      if (/\.ya?ml$/.test(path)) assert.ok(parse(read(path), { merge: true }) !== null, path);
      else if (path.endsWith(".json")) JSON.parse(read(path));
      else return false;
      return true;
    });
    assert.ok(parsed.length >= 8, parsed.join(", "));
  });
});

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly environment?: Record<string, string>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[] | Record<string, unknown>;
}

describe("the compose file", () => {
  const compose = parse(read("compose.yaml"), { merge: true }) as {
    services: Record<string, Service>;
    volumes: Record<string, unknown>;
  };
  const services = Object.entries(compose.services);
  const nodes = services.filter(([, service]) => service.image === "quorate");

  it("gives three nodes configurations that a server accepts and that belong together", () => {
    const configs = nodes.map(([name, service]) => {
      const inherited = { QUORATE_DATA_DIR: "/var/lib/quorate" };
      const config = parseServerConfig([], { ...inherited, ...service.environment }, () => "");
      assert.equal(config.name, name);
      assert.deepEqual(config.advertiseClientUrls, [`http://${name}:2379`]);
      return config;
    });
    assert.equal(configs.length, 3);
    assert.equal(new Set(configs.map((config) => JSON.stringify(config.initialCluster))).size, 1);
    assert.equal(new Set(configs.map((config) => config.initialClusterToken)).size, 1);
  });

  it("mounts only files that exist and volumes it declares, each node its own", () => {
    const mounted = services.flatMap(([, service]) => service.volumes ?? []).map((one) => one.split(":")[0]!);
    for (const source of mounted)
      if (source.startsWith(".")) assert.ok(existsSync(join(deploy, source)), source);
      else assert.ok(source in compose.volumes, source);
    assert.equal(new Set(nodes.flatMap(([, service]) => service.volumes)).size, 3);
  });

  it("publishes each port once and on loopback only, and builds from a file that exists", () => {
    const published = services.flatMap(([, service]) => service.ports ?? []);
    for (const port of published) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/);
    assert.equal(new Set(published.map((port) => port.split(":")[1])).size, published.length);
    const builds = services.flatMap(([, service]) => service.build ?? []);
    assert.equal(builds.length, 1, "one service builds the image the others use");
    for (const { context, dockerfile } of builds)
      assert.ok(existsSync(join(deploy, context, dockerfile)), dockerfile);
  });

  it("pins the versions of foreign images", () => {
    for (const [name, { image = "" }] of services)
      if (image !== "quorate") assert.match(image, /:v?\d+\.\d+\.\d+$/, name);
  });
});

describe("the image", () => {
  const instructions = read("Dockerfile")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => ({ name: line.split(" ")[0]!, rest: line.slice(line.indexOf(" ") + 1).trim() }));
  const lastStage = instructions.slice(instructions.findLastIndex(({ name }) => name === "FROM"));
  const ofLast = (name: string): string[] =>
    lastStage.filter((one) => one.name === name).map(({ rest }) => rest);

  it("consists of instructions there are", () => {
    const valid = /^(FROM|WORKDIR|COPY|RUN|ENV|USER|VOLUME|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD)$/;
    for (const { name } of instructions) assert.match(name, valid);
    assert.equal(instructions.filter(({ name }) => name === "FROM").length, 3);
  });

  it("copies only what exists, is not ignored, or comes from an earlier stage", () => {
    const allowed = new Set(
      read("Dockerfile.dockerignore")
        .split("\n")
        .filter((line) => line.startsWith("!"))
        .map((line) => line.slice(1)),
    );
    const stages = new Set(
      instructions.flatMap(({ name, rest }) => (name === "FROM" ? (/ AS (\w+)$/.exec(rest)?.[1] ?? []) : [])),
    );
    for (const { rest } of instructions.filter(({ name }) => name === "COPY")) {
      const from = /^--from=(\w+) /.exec(rest)?.[1];
      if (from !== undefined) {
        assert.ok(stages.has(from), rest);
        continue;
      }
      for (const source of rest.split(" ").slice(0, -1)) {
        const path = source.replace(/^\.\//, "");
        assert.ok(allowed.has(path), `${path} is ignored`);
        assert.ok(existsSync(join(root, path)), `${path} does not exist`);
      }
    }
  });

  it("runs the compiled command as an ordinary user, with a health check and a volume", () => {
    assert.deepEqual(ofLast("USER"), ["node"]);
    assert.match(ofLast("HEALTHCHECK")[0] ?? "", /127\.0\.0\.1:2379\/health/);
    assert.deepEqual(ofLast("VOLUME"), ["/var/lib/quorate"]);
    const entry = JSON.parse(ofLast("ENTRYPOINT")[0]!) as string[];
    assert.ok(existsSync(join(root, entry.at(-1)!)), entry.at(-1));
    assert.deepEqual(JSON.parse(ofLast("CMD")[0]!), ["server"]);
  });

  it("builds on the Node.js version package.json asks for, or a later one", () => {
    const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      engines: { node: string };
    };
    const least = Number(/\d+/.exec(engines.node)![0]);
    for (const { rest } of instructions.filter(({ name }) => name === "FROM"))
      assert.ok(Number(/^node:(\d+)-/.exec(rest)?.[1]) >= least, rest);
  });
});

describe("the systemd unit", () => {
  it("starts the compiled command with a configuration like its example, which a server accepts", () => {
    const unit = read("systemd", "quorate.service");
    const start = /^ExecStart=(.*)$/m.exec(unit)![1]!;
    const program = /\/opt\/quorate\/(\S+\.js)/.exec(start)![1]!;
    assert.ok(existsSync(join(root, program)), program);
    const config = parseServerConfig(["--config-file=quorate.yaml"], {}, () =>
      read("systemd", "quorate.yaml"),
    );
    assert.equal(config.dataDir, "/var/lib/quorate");
    assert.match(unit, /^StateDirectory=quorate$/m);
    assert.match(unit, /^RestartPreventExitStatus=2$/m);
  });
});

describe("Prometheus", () => {
  interface Rules {
    groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[];
  }
  const rules = (parse(read("prometheus", "rules.yml")) as Rules).groups.flatMap((group) => group.rules);

  it("loads rule files that exist and scrapes every node of the compose file", () => {
    const config = parse(read("prometheus", "prometheus.yml")) as {
      rule_files: string[];
      scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
    };
    for (const file of config.rule_files) assert.ok(existsSync(join(deploy, "prometheus", file)), file);
    assert.deepEqual(
      config.scrape_configs.flatMap((job) => job.static_configs.flatMap((one) => one.targets)),
      ["n1:2379", "n2:2379", "n3:2379"],
    );
    assert.match(config.scrape_configs[0]!.job_name, /etcd/);
  });

  it("alerts only on metrics a node has, under distinct names", () => {
    assert.ok(rules.length >= 10);
    assert.deepEqual(
      rules.flatMap(({ alert, expr }) => unknownMetrics(expr).map((name) => `${alert}: ${name}`)),
      [],
    );
    assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
  });
});

describe("the dashboard", () => {
  interface Panel {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string }[];
  }
  const dashboard = JSON.parse(read("grafana", "dashboards", "quorate.json")) as {
    panels: readonly Panel[];
    templating: { list: readonly { name: string }[] };
  };
  const { panels } = dashboard;
  const expressions = panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ title, expr })),
  );

  it("reads only metrics a node has", () => {
    assert.deepEqual(
      expressions.flatMap(({ title, expr }) => unknownMetrics(expr).map((name) => `${title}: ${name}`)),
      [],
    );
  });

  it("uses only variables it defines, or that Grafana has", () => {
    const defined = new Set([...dashboard.templating.list.map(({ name }) => name), "__rate_interval"]);
    for (const { title, expr } of expressions)
      for (const match of expr.matchAll(/\$\{?(\w+)/g))
        assert.ok(defined.has(match[1]!), `${title}: ${match[0]}`);
  });

  it("places its panels side by side, none over another", () => {
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    for (const [at, a] of panels.entries()) {
      assert.ok(a.gridPos.x + a.gridPos.w <= 24, a.title);
      for (const b of panels.slice(at + 1)) {
        const apart =
          a.gridPos.x + a.gridPos.w <= b.gridPos.x ||
          b.gridPos.x + b.gridPos.w <= a.gridPos.x ||
          a.gridPos.y + a.gridPos.h <= b.gridPos.y ||
          b.gridPos.y + b.gridPos.h <= a.gridPos.y;
        assert.ok(apart, `${a.title} and ${b.title} overlap`);
      }
    }
  });

  it("shows the waterfall of a commit, every stage of it", () => {
    const waterfall = panels.find(({ title }) => title.startsWith("Waterfall"));
    const stages = (waterfall?.targets ?? []).map(({ expr }) => /stage="(\w+)"/.exec(expr)?.[1]);
    assert.deepEqual(stages, ["queue", "append", "replicate", "commit", "apply", "respond", "fsync"]);
  });

  it("is where the provisioning of Grafana and the compose file expect it", () => {
    const provider = parse(read("grafana", "provisioning", "dashboards", "quorate.yaml")) as {
      providers: { options: { path: string } }[];
    };
    const mounts = read("compose.yaml");
    assert.ok(mounts.includes(`./grafana/dashboards:${provider.providers[0]!.options.path}:ro`));
  });
});

describe("metrics.json", () => {
  it("has what docs/operations.md tells to watch", () => {
    const document = readFileSync(join(root, "docs", "operations.md"), "utf8");
    const named = [...document.matchAll(/`((?:etcd|quorate|grpc|process)_\w+)/g)].map((match) => match[1]!);
    assert.ok(named.length > 5);
    assert.deepEqual(
      named.filter((name) => !known.has(name)),
      [],
    );
  });

  it("lists nothing twice, and nothing that neither dashboard nor alerts use", () => {
    assert.equal(known.size, metrics.length);
    const used = read("prometheus", "rules.yml") + read("grafana", "dashboards", "quorate.json");
    assert.deepEqual(
      [...known].filter((name) => !used.includes(name)),
      [],
    );
  });
});
