// The compressed cases against grpc-go, which counts what really arrived compressed. Messages of less
// than 1 KiB are not: of the eight payload sizes per streaming case, 8 and 9 bytes are.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { promisify } from "node:util";
import { TestService } from "../../gen/grpc/testing/test_pb.js";
import { payloadCases } from "../testing/interop-cases.js";
import { dial, serve } from "../testing/pair.js";
import { needsProgram } from "../testing/programs.js";
import { testServiceMethods } from "../testing/test-service.js";
import { typedClient } from "../typed.js";

const program = "grpc-interop-gzip-peer";
const skip = needsProgram(program);

test("grpc-go in gzip calls our server and is answered in gzip", { skip }, async (t) => {
  const { port } = await serve(t, { methods: testServiceMethods() });
  const { stdout } = await promisify(execFile)(program, [`--call=127.0.0.1:${port}`], { timeout: 30_000 });
  assert.equal(stdout, "7 of 11 compressed\n");
});

test("our client in gzip calls grpc-go and understands its answers", { skip }, async (t) => {
  const server = spawn(program, [], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => server.kill("SIGKILL"));
  const lines = createInterface(server.stdout)[Symbol.asyncIterator]();
  const port = Number((await lines.next()).value);
  const client = typedClient(await dial(t, port), TestService);
  for (const [, run] of payloadCases) await run(client, { compress: true });
  const gone = once(server, "close");
  server.stdin.end();
  assert.equal((await lines.next()).value, "7 of 10 compressed");
  await gone;
});
