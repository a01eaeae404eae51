import assert from "node:assert/strict";
import { test } from "node:test";
import { CommanderError } from "commander";
import { parseArguments } from "./arguments.js";

/** Parses and returns what commander printed when it refused. */
function refusal(line: string): string {
  let printed = "";
  assert.throws(() => parseArguments(line.split(" "), (text) => (printed += text)), CommanderError, line);
  return printed;
}

const parse = (line: string) =>
  parseArguments(
    line.split(" ").filter((word) => word !== ""),
    () => {},
  );

test("without arguments it puts on the local endpoint, closed loop, for ten seconds", () => {
  assert.deepEqual(parse(""), {
    kind: "load",
    endpoints: ["127.0.0.1:2379"],
    target: "all",
    operation: "put",
    inFlight: 64,
    connections: 10,
    rate: undefined,
    durationSeconds: 10,
    count: undefined,
    warmUpSeconds: 1,
    keys: 100_000,
    keyBytes: 16,
    valueBytes: 256,
    seed: 1,
    json: false,
  });
});

test("a load run takes every option", () => {
  const invocation = parse(
    "--endpoints http://127.0.0.1:1,[::1]:2 --target 2 --operation txn --connections 3 --in-flight 9 --rate 1.5 --duration .5 --count 7 --warm-up 0 --keys 10 --key-size 20 --value-size 0 --seed 3 --json",
  );
  assert.deepEqual(invocation, {
    kind: "load",
    endpoints: ["127.0.0.1:1", "[::1]:2"],
    target: 2,
    operation: "txn",
    inFlight: 9,
    connections: 3,
    rate: 1.5,
    durationSeconds: 0.5,
    count: 7,
    warmUpSeconds: 0,
    keys: 10,
    keyBytes: 20,
    valueBytes: 0,
    seed: 3,
    json: true,
  });
});

test("there are never more connections than requests in flight", () => {
  const invocation = parse("--in-flight 2 --connections 5");
  assert.ok(invocation.kind === "load");
  assert.equal(invocation.connections, 2);
});

test("a count without a duration is still bounded in time", () => {
  const invocation = parse("--count 5");
  assert.ok(invocation.kind === "load");
  assert.equal(invocation.durationSeconds, 600);
});

test("fill takes its own options after the word", () => {
  const invocation = parse(
    "fill --endpoints 127.0.0.1:9 --count 1000000 --key-size 32 --value-size 100 --batch 50",
  );
  assert.ok(invocation.kind === "fill");
  assert.deepEqual(
    [invocation.endpoints, invocation.count, invocation.keyBytes, invocation.valueBytes, invocation.batch],
    [["127.0.0.1:9"], 1_000_000, 32, 100, 50],
  );
});

test("versus runs the five default scenarios three times, or those named", () => {
  const all = parse("--versus etcd");
  assert.ok(all.kind === "versus");
  assert.deepEqual(
    all.scenarios.map(({ name }) => name),
    ["put-1", "put-64", "put-1000", "read-1", "read-1000"],
  );
  assert.deepEqual([all.rounds, all.etcd, all.only], [3, "etcd", undefined]);
  const some = parse(
    "--versus etcd --etcd /opt/etcd --rounds 1 --scenario put-64,txn-64 --scenario read-1 --only etcd",
  );
  assert.ok(some.kind === "versus");
  assert.deepEqual(
    some.scenarios.map(({ name }) => name),
    ["put-64", "txn-64", "read-1"],
  );
  assert.deepEqual([some.rounds, some.etcd, some.only], [1, "/opt/etcd", "etcd"]);
});

test("what is out of bounds or unknown is refused with a reason", () => {
  assert.match(refusal("--in-flight 0"), /whole number from 1/);
  assert.match(refusal("--in-flight 1e3"), /whole number/);
  assert.match(refusal("--rate 0"), /Expected a number/);
  assert.match(refusal("--duration -1"), /Expected a number/);
  assert.match(refusal("--endpoints nowhere"), /is not host:port/);
  assert.match(refusal("--endpoints 127.0.0.1:99999"), /is not host:port/);
  assert.match(refusal("--target some"), /"leader"/);
  assert.match(refusal("--operation delete"), /Allowed choices/);
  assert.match(refusal("--scenario put-2"), /Known scenarios: put-1/);
  assert.match(refusal("--inflight 3"), /--in-flight/);
  assert.match(refusal("--keys 1000000 --key-size 6"), /--key-size 7 or more/);
  assert.match(refusal("--endpoints 127.0.0.1:9 fill"), /write --endpoints after "fill"/);
  assert.match(refusal("fill --rate 5"), /unknown option/);
});
