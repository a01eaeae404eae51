// The unmodified etcdctl, run with the same arguments against three nodes of ours and three of a real
// etcd: standard output, error output and exit status must be the same. What names a cluster (ids,
// ports, terms, sizes, durations) is masked, nothing else.

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { eventually, freePorts, ProcessCluster } from "./harness/process-cluster.js";

const has = (program: string): boolean =>
  spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
const missing = ["etcdctl", "etcd"].filter((program) => !has(program));
const skip = missing.length > 0 && process.env.CI !== "true" ? `needs ${missing.join(" and ")}` : false;

interface Outcome {
  readonly out: string;
  readonly error: string;
  readonly status: number | null;
}

/** Runs etcdctl against one endpoint. */
function etcdctl(endpoint: string, args: readonly string[], input?: string): Outcome {
  const result = spawnSync("etcdctl", [`--endpoints=${endpoint}`, ...args], {
    env: { ...process.env, ETCDCTL_API: "3" },
    encoding: "utf8",
    timeout: 20_000,
    ...(input === undefined ? {} : { input }),
  });
  return { out: result.stdout, error: result.stderr, status: result.status };
}

/** A real etcd of three nodes. */
class RealEtcd {
  readonly endpoints: string[] = [];
  private readonly children: ChildProcess[] = [];
  private readonly folder = mkdtempSync(join(tmpdir(), "etcd-test-"));

  async start(): Promise<void> {
    const ports = await freePorts(6);
    const peer = (at: number): string => `http://127.0.0.1:${ports[3 + at]}`;
    const initial = [0, 1, 2].map((at) => `n${at + 1}=${peer(at)}`).join(",");
    for (const at of [0, 1, 2]) {
      const client = `http://127.0.0.1:${ports[at]}`;
      this.endpoints.push(`127.0.0.1:${ports[at]}`);
      const args = [
        `--name=n${at + 1}`,
        `--data-dir=${join(this.folder, `n${at + 1}`)}`,
        `--listen-client-urls=${client}`,
        `--advertise-client-urls=${client}`,
        `--listen-peer-urls=${peer(at)}`,
        `--initial-advertise-peer-urls=${peer(at)}`,
        `--initial-cluster=${initial}`,
        "--log-level=error",
      ];
      this.children.push(spawn("etcd", args, { stdio: "ignore" }));
    }
    await eventually("etcd is healthy", 30_000, async () =>
      this.endpoints.every((endpoint) => etcdctl(endpoint, ["endpoint", "health"]).status === 0)
        ? true
        : undefined,
    );
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.children.map((child) => {
        const gone = new Promise((resolve) => child.once("close", resolve));
        child.kill("SIGKILL");
        return gone;
      }),
    );
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Hides what differs between any two clusters. */
function masked(text: string, endpoints: readonly string[]): string {
  let result = text;
  for (const [at, endpoint] of endpoints.entries()) result = result.replaceAll(endpoint, `ENDPOINT${at + 1}`);
  return result
    .replace(/"(cluster_id|member_id|raft_term)":\d+/g, '"$1":0')
    .replace(/"(ClusterID|MemberID|RaftTerm)" : \d+/g, '"$1" : 0')
    .replace(/"ID":\d+/g, '"ID":0')
    .replace(/took = [\d.]+[mµn]?s/g, "took = T")
    .replace(/"ts":"[^"]*",/g, "")
    .replace(/endpoint:\/\/client-[0-9a-f-]+\//g, "endpoint://client/");
}

const commands: readonly { readonly args: readonly string[]; readonly input?: string }[] = [
  { args: ["put", "foo", "bar"] },
  { args: ["put", "foo", "bar2"] },
  { args: ["put", "foo1", "one"] },
  { args: ["put", "foo2", "two"] },
  { args: ["put", "foo3", "three", "--prev-kv"] },
  { args: ["put", "foo3", "third", "--prev-kv"] },
  { args: ["put", "zoo"], input: "from standard input" },
  { args: ["put", "empty", ""] },
  { args: ["put", "", "value"] },
  { args: ["put", "foo", "--ignore-value"] },
  { args: ["put", "nothing-here", "--ignore-value"] },
  { args: ["put", "foo", "x", "--lease=1234"] },
  { args: ["get", "foo"] },
  { args: ["get", "absent"] },
  { args: ["get", ""] },
  { args: ["get", "foo", "-w", "json"] },
  { args: ["get", "foo", "-w", "fields"] },
  { args: ["get", "foo", "--hex"] },
  { args: ["get", "foo", "--print-value-only"] },
  { args: ["get", "foo", "--prefix"] },
  { args: ["get", "--prefix", ""] },
  { args: ["get", "foo", "--prefix", "-w", "json"] },
  { args: ["get", "foo2", "--from-key"] },
  { args: ["get", "", "--from-key"] },
  { args: ["get", "foo1", "foo3"] },
  { args: ["get", "foo3", "foo1"] },
  { args: ["get", "foo", "--rev=2"] },
  { args: ["get", "foo", "--rev=1"] },
  { args: ["get", "foo", "--prefix", "--rev=4"] },
  { args: ["get", "foo", "--rev=999999"] },
  { args: ["get", "foo", "--prefix", "--limit=2"] },
  { args: ["get", "foo", "--prefix", "--limit=2", "-w", "json"] },
  ...["KEY", "VERSION", "CREATE", "MODIFY", "VALUE"].flatMap((target) =>
    ["ASCEND", "DESCEND"].map((order) => ({
      args: ["get", "foo", "--prefix", `--sort-by=${target}`, `--order=${order}`],
    })),
  ),
  { args: ["get", "foo", "--prefix", "--sort-by=VALUE"] },
  { args: ["get", "foo", "--prefix", "--order=DESCEND", "--limit=2"] },
  { args: ["get", "foo", "--prefix", "--keys-only"] },
  { args: ["get", "foo", "--prefix", "--keys-only", "-w", "json"] },
  { args: ["get", "foo", "--prefix", "--count-only", "-w", "json"] },
  { args: ["get", "foo", "--prefix", "--count-only", "-w", "fields"] },
  { args: ["get", "foo", "--prefix", "--consistency=s"] },
  { args: ["get", "foo", "--prefix", "--consistency=l"] },
  { args: ["get", "foo", "--consistency=x"] },
  { args: ["txn"], input: 'value("foo") = "bar2"\n\nput foo changed\nget foo\n\nput foo other\n\n' },
  { args: ["txn"], input: 'value("foo") = "bar2"\n\nput foo changed\n\nget foo\ndel foo1\n\n' },
  {
    args: ["txn", "--interactive"],
    input: 'mod("foo") > "1"\nversion("zoo") = "1"\n\nget foo\n\nget zoo\n\n',
  },
  { args: ["txn", "-w", "json"], input: 'create("absent") = "0"\n\nput absent now\nget foo --prefix\n\n\n' },
  { args: ["txn"], input: "\nput twice 1\nput twice 2\n\n\n" },
  { args: ["del", "foo2"] },
  { args: ["del", "foo2"] },
  { args: ["del", "foo", "--prefix", "--prev-kv"] },
  { args: ["del", "a", "z", "-w", "json"] },
  { args: ["del", ""] },
  { args: ["del", "", "--from-key"] },
  { args: ["compaction", "5"] },
  { args: ["compaction", "5"] },
  { args: ["compaction", "999999"] },
  { args: ["compaction", "6", "--physical"] },
  { args: ["get", "foo", "--rev=3"] },
  { args: ["get", "foo", "--prefix", "--rev=6"] },
  { args: ["endpoint", "health"] },
  { args: ["alarm", "list"] },
];

describe("etcdctl", { skip }, () => {
  let ours: ProcessCluster;
  const real = new RealEtcd();

  before(async () => {
    if (missing.length > 0) assert.fail(`${missing.join(" and ")} must be installed in CI`);
    await real.start();
    ours = await ProcessCluster.start();
  });
  after(async () => {
    await ours?.destroy();
    await real.stop();
  });

  for (const node of [0, 1, 2]) {
    it(`cannot tell endpoint ${node + 1} from real etcd`, () => {
      const differences: string[] = [];
      for (const { args, input } of commands) {
        const [expected, found] = [real.endpoints, ours.endpoints].map((endpoints) => {
          const { out, error, status } = etcdctl(endpoints[node]!, args, input);
          return { out: masked(out, endpoints), error: masked(error, endpoints), status };
        });
        if (JSON.stringify(expected) === JSON.stringify(found)) continue;
        differences.push(
          `etcdctl ${args.join(" ")}\n  etcd:    ${JSON.stringify(expected)}\n  quorate: ${JSON.stringify(found)}`,
        );
      }
      assert.equal(differences.join("\n"), "");
    });

    it(`shows members and status through endpoint ${node + 1} in etcd's form`, () => {
      const shape = (endpoints: readonly string[], args: readonly string[]): string =>
        masked(etcdctl(endpoints[node]!, args).out, endpoints)
          .replace(/http:\/\/127\.0\.0\.1:\d+/g, "PEER")
          .replace(/http:\/\/ENDPOINT(\d)/g, "CLIENT$1")
          .replace(/\b[0-9a-f]{8,16}\b/g, "ID")
          .replace(/\d+\.\d+\.\d+/g, "VERSION")
          .replace(/\d+(\.\d+)? [kM]?B/g, "SIZE")
          .replace(/\b(true|false), false, \d+, \d+, \d+,/g, "LEADER, false, TERM, INDEX, APPLIED,");
      const sorted = (text: string): string => text.split("\n").sort().join("\n");
      for (const args of [
        ["member", "list"],
        ["endpoint", "status"],
      ]) {
        assert.equal(
          sorted(shape(ours.endpoints, args)),
          sorted(shape(real.endpoints, args)),
          args.join(" "),
        );
      }
      const table = etcdctl(ours.endpoints[node]!, ["endpoint", "status", "-w", "table"]);
      assert.match(table.out, /RAFT APPLIED INDEX/);
    });
  }
});
