import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RangeRequestSchema, RangeResponseSchema } from "../src/gen/etcdserverpb/rpc_pb.js";
import { parseArguments } from "./arguments.js";
import { openChannel } from "./channel.js";
import { processCpuMicros, systemClock } from "./clock.js";
import { LocalCluster, type ServerProgram } from "./cluster.js";
import { ConnectionSet } from "./connections.js";
import type { FailureCount } from "./errors.js";
import { fillKeys } from "./fill.js";
import { runLoad } from "./load.js";
import { operations, RequestMaker } from "./requests.js";
import { runVersus } from "./versus.js";

const missing = spawnSync("etcd", ["--version"]).error !== undefined;
const skip = missing && process.env.CI !== "true" ? "no etcd on the PATH" : false;
const etcd: ServerProgram = { name: "etcd", command: "etcd", args: [] };

function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** On a busy machine etcd may elect a new leader at any time; no other failure is acceptable. */
function assertElectionsOnly(failures: readonly FailureCount[]): void {
  const others = failures.filter(
    ({ status, message }) => status !== "UNAVAILABLE" || !/leader/.test(message),
  );
  assert.deepEqual(others, []);
}

/** Number of keys and bytes of the first value, asked of the server. */
function contents(connections: ConnectionSet): Promise<{ keys: bigint; valueBytes: number | undefined }> {
  const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), limit: 1n };
  const request = toBinary(RangeRequestSchema, create(RangeRequestSchema, everything));
  return new Promise((resolve, reject) => {
    connections.channels[0]!.unary("/etcdserverpb.KV/Range", request, {}, (end, message) => {
      if (message === undefined) return reject(new Error(end.message));
      const { count, kvs } = fromBinary(RangeResponseSchema, message);
      resolve({ keys: count, valueBytes: kvs[0]?.value.length });
    });
  });
}

test("etcd accepts every operation, and holds exactly the keys of a fill", { skip }, async (context) => {
  const cluster = await LocalCluster.start(
    etcd,
    temporaryFolder(context),
    openChannel,
    new AbortController().signal,
  );
  context.after(() => cluster.stop());
  const connections = await ConnectionSet.open(openChannel, cluster.endpoints, 3, systemClock);
  context.after(() => connections.close());
  const { channels } = connections;
  const sizes = { keyBytes: 12, valueBytes: 33, seed: 5 };

  const filled = await fillKeys({ channels, count: 2500, batch: 100, inFlight: 6, ...sizes }, systemClock);
  assert.equal(filled.keys, 2500);
  assert.deepEqual(await contents(connections), { keys: 2500n, valueBytes: 33 });

  for (const operation of operations) {
    const requests = new RequestMaker({ operation, keys: 2500, ...sizes, valueBytes: 44 });
    const plan = {
      channels,
      requests,
      inFlight: 20,
      warmUpMs: 0,
      durationMs: 30_000,
      count: 2000,
      drainMs: 10_000,
    };
    const result = await runLoad(plan, systemClock, processCpuMicros);
    assertElectionsOnly(result.failures);
    assert.equal(result.completed + result.failed, 2000);
    assert.equal(result.latency.count, result.completed);
    assert.ok(
      result.latency.quantileMs(0.5) > 0 && result.perSecond > 0 && result.clientMicrosPerRequest > 0,
    );
  }
  assert.equal((await contents(connections)).keys, 2500n, "the operations stay within the key space");

  const requests = new RequestMaker({ operation: "put", keys: 2500, ...sizes });
  const open = {
    channels,
    requests,
    inFlight: 1000,
    ratePerSecond: 200,
    warmUpMs: 0,
    durationMs: 500,
    drainMs: 10_000,
  };
  const result = await runLoad(open, systemClock, processCpuMicros);
  assertElectionsOnly(result.failures);
  assert.equal(result.latency.count + result.failed + result.unanswered, 100);
});

test("a side-by-side run measures each scenario and leaves nothing behind", { skip }, async (context) => {
  const folder = temporaryFolder(context);
  const line = "--versus etcd --rounds 2 --duration 0.3 --warm-up 0.1 --keys 300 --scenario put-64,read-64";
  const invocation = parseArguments(line.split(" "));
  assert.ok(invocation.kind === "versus");
  const progress: string[] = [];
  const measurements = await runVersus(invocation, [etcd], folder, {
    open: openChannel,
    signal: new AbortController().signal,
    progress: (text) => progress.push(text),
  });
  assert.deepEqual(
    measurements.map(({ round, scenario }) => `${round} ${scenario}`),
    ["1 put-64", "1 read-64", "2 put-64", "2 read-64"],
  );
  assert.equal(progress.length, 4);
  for (const { perSecond, latency, failures, cpuSeconds, residentBytes } of measurements) {
    assert.ok(perSecond > 0 && latency.count > 0);
    assertElectionsOnly(failures);
    assert.equal(cpuSeconds.length, 3);
    if (process.platform === "linux") {
      assert.ok(cpuSeconds.some((seconds) => seconds > 0));
      assert.ok(residentBytes.every((bytes) => bytes > 1 << 20));
    }
  }
  assert.deepEqual(readdirSync(folder), []);
});
