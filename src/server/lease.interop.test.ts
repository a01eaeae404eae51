// etcdctl's lease commands against a real etcd and against each of three nodes of ours: the same
// arguments must print the same. Masked are lease IDs, the seconds a lease has left, and what etcdctl
// prints about its own connection.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { EtcdProcess } from "../api/testing/etcd-process.js";
import { eventually, ProcessCluster } from "./harness/process-cluster.js";

const has = (program: string): boolean =>
  spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
const missing = ["etcdctl", "etcd"].filter((program) => !has(program));
const skip = missing.length > 0 && process.env.CI !== "true" ? `needs ${missing.join(" and ")}` : false;

/** Arguments; LEASE and OTHER stand for the leases granted first and second. */
const commands: readonly (readonly string[])[] = [
  ["lease", "list"],
  ["lease", "grant", "100"],
  ["lease", "grant", "0"],
  ["lease", "grant", "-5"],
  ["lease", "grant", "9000000000"],
  ["lease", "grant", "9000000001"],
  ["lease", "grant", "x"],
  ["lease", "timetolive", "LEASE"],
  ["lease", "timetolive", "LEASE", "--keys"],
  ["put", "a", "1", "--lease=LEASE"],
  ["put", "b", "2", "--lease=LEASE"],
  ["put", "c", "3", "--lease=LEASE"],
  ["put", "c", "3", "--lease=123456"],
  ["lease", "timetolive", "LEASE", "--keys"],
  ["put", "b", "without"],
  ["lease", "timetolive", "LEASE", "--keys"],
  ["put", "a", "kept", "--ignore-lease"],
  ["del", "c"],
  ["lease", "timetolive", "LEASE", "--keys"],
  ["lease", "grant", "50"],
  ["put", "a", "moved", "--lease=OTHER"],
  ["lease", "timetolive", "LEASE", "--keys"],
  ["lease", "timetolive", "OTHER", "--keys"],
  ["lease", "keep-alive", "--once", "LEASE"],
  ["lease", "keep-alive", "--once", "123456"],
  ["lease", "keep-alive", "--once", "zz"],
  ["lease", "revoke", "OTHER"],
  ["lease", "revoke", "OTHER"],
  ["lease", "revoke", "0"],
  ["lease", "timetolive", "OTHER"],
  ["get", "", "--prefix"],
  ["put", "a", "late", "--lease=OTHER"],
  ["lease", "revoke", "LEASE"],
  ["lease", "keep-alive", "--once", "LEASE"],
  ["get", "", "--prefix", "--keys-only"],
  ["del", "", "--prefix"],
];

interface Outcome {
  readonly out: string;
  readonly error: string;
  readonly status: number | null;
}

function etcdctl(endpoint: string, args: readonly string[]): Outcome {
  const { stdout, stderr, status } = spawnSync("etcdctl", [`--endpoints=${endpoint}`, ...args], {
    env: { ...process.env, ETCDCTL_API: "3" },
    encoding: "utf8",
    timeout: 20_000,
  });
  return { out: stdout, error: stderr, status };
}

/** Runs the commands and hides what differs between any two clusters. */
function session(endpoint: string): string[] {
  const granted: string[] = [];
  return commands.map((command) => {
    const names = { LEASE: granted[0], OTHER: granted.at(-1) };
    const args = command.map((arg) =>
      arg.replace(/LEASE|OTHER/, (name) => names[name as keyof typeof names] ?? "0"),
    );
    const { out, error, status } = etcdctl(endpoint, args);
    const id = /lease ([0-9a-f]{16}) granted with TTL\((?:100|50)s\)$/m.exec(out)?.[1];
    if (id !== undefined && command[1] === "grant") granted.push(id);
    const masked = `${out}${error}`
      .replace(/\b[0-9a-f]{16}\b/g, "ID")
      .replace(/remaining\(\d+s\)/g, "remaining(T)")
      .replace(/"ts":"[^"]*",/g, "")
      .replace(/"target":"[^"]*",/g, "");
    return `${command.join(" ")} -> ${status} ${masked}`;
  });
}

describe("etcdctl lease", { skip }, () => {
  let ours: ProcessCluster;
  let expected: string[];

  before(async () => {
    if (missing.length > 0) assert.fail(`${missing.join(" and ")} must be installed in CI`);
    const etcd = new EtcdProcess();
    try {
      const endpoint = etcd.address.replace("unix:", "unix://");
      await eventually(`etcd answers`, 30_000, async () =>
        etcdctl(endpoint, ["endpoint", "health"]).status === 0 ? true : undefined,
      );
      expected = session(endpoint);
      assert.match(expected[1]!, /lease ID granted with TTL\(100s\)/);
    } finally {
      await etcd.stop();
    }
    ours = await ProcessCluster.start();
  });
  after(() => ours?.destroy());

  for (const node of [0, 1, 2]) {
    it(`prints through node ${node + 1} what it prints for etcd`, () => {
      const found = session(ours.endpoints[node]!);
      for (const [at, line] of expected.entries()) {
        // The first node finds no leases, the others those that a session leaves behind.
        if (at === 0 && node > 0) continue;
        assert.equal(found[at], line);
      }
    });
  }
});
