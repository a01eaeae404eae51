import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { HealthService } from "./health.js";
import { echoMethods, serve } from "./testing/pair.js";
import { prefixed } from "./testing/raw-peer.js";

/** Skips the test when the program is missing, except where CI must have it. */
function needs(t: TestContext, program: string, args: string[]): boolean {
  if (spawnSync(program, args).status === 0) return true;
  assert.notEqual(process.env.CI, "true", `${program} ${args.join(" ")} is missing`);
  t.skip(`needs ${program} ${args.join(" ")}`);
  return false;
}

async function run(program: string, args: string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  child.stderr.on("data", (chunk) => (output += String(chunk)));
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(code, 0, output);
  return output;
}

const python = "/usr/bin/python3";

const pythonClient = `
import sys, threading
import grpc
channel = grpc.insecure_channel("127.0.0.1:" + sys.argv[1], options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
unary = channel.unary_unary("/t.Echo/Unary")
later = channel.unary_unary("/t.Echo/Later")
bidi = channel.stream_stream("/t.Echo/Bidi")
for size in (0, 1, 16384, 65536, 2000000):
    assert unary(bytes(size), timeout=20) == bytes(size), size
futures = [later.future(str(i).encode(), timeout=20) for i in range(500)]
assert [f.result() for f in futures] == [str(i).encode() for i in range(500)]
sizes = [i * 331 for i in range(200)]
assert [len(m) for m in bidi((bytes(s) for s in sizes), timeout=20)] == sizes
def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("succeeded")
assert failure(lambda: channel.unary_unary("/t.Nope/X")(b"")) == (grpc.StatusCode.UNIMPLEMENTED, "unknown service t.Nope")
assert failure(lambda: unary(bytes(2097153)))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
assert failure(lambda: channel.unary_unary("/t.Never/Answers")(b"", timeout=0.05))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
call = channel.unary_unary("/t.Never/Answers").future(b"")
call.cancel()
health = channel.unary_unary("/grpc.health.v1.Health/Check")
assert health(b"") == bytes([8, 1])
assert unary(b"still here") == b"still here"
channel.close()
print("all good")
`;

test("grpcio (C core) calls every kind of method, fails and cancels as it should", async (t) => {
  if (!needs(t, python, ["-c", "import grpc"])) return;
  const { port } = await serve(t, {
    methods: [
      ...echoMethods,
      ...new HealthService().methods(),
      { kind: "unary", path: "/t.Never/Answers", handle: () => {} },
    ],
  });
  assert.match(await run(python, ["-c", pythonClient, String(port)]), /all good/);
});

test("h2load gets every one of 100,000 replies", async (t) => {
  if (!needs(t, "h2load", ["--version"])) return;
  const { port } = await serve(t);
  const folder = mkdtempSync(join(tmpdir(), "quorate-rpc-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const body = join(folder, "body");
  writeFileSync(body, prefixed(Buffer.from("some bytes")));
  for (const path of ["/t.Echo/Unary", "/t.Echo/Later"]) {
    const headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
    const url = `http://127.0.0.1:${port}${path}`;
    const output = await run("h2load", [
      "-n",
      "100000",
      "-c",
      "10",
      "-m",
      "100",
      "-d",
      body,
      ...headers,
      url,
    ]);
    assert.match(output, /100000 total, 100000 started, 100000 done, 100000 succeeded, 0 failed, 0 errored/);
  }
});
