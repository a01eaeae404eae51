// grpc-go's interoperability client (google.golang.org/grpc/interop/client) against our server.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { serve } from "../testing/pair.js";
import { needsProgram } from "../testing/programs.js";
import { testServiceMethods } from "../testing/test-service.js";

const program = "grpc-interop-client";
const skip = needsProgram(program);
const run = promisify(execFile);

for (const testCase of [
  "empty_unary",
  "large_unary",
  "client_streaming",
  "server_streaming",
  "ping_pong",
  "empty_stream",
  "timeout_on_sleeping_server",
  "cancel_after_begin",
  "cancel_after_first_response",
  "custom_metadata",
  "status_code_and_message",
  "special_status_message",
  "unimplemented_method",
  "unimplemented_service",
]) {
  test(`grpc-go's client passes ${testCase} against our server`, { skip }, async (t) => {
    const { port } = await serve(t, { methods: testServiceMethods() });
    const args = ["--server_host=127.0.0.1", `--server_port=${port}`, `--test_case=${testCase}`];
    const env = { ...process.env, GRPC_GO_LOG_SEVERITY_LEVEL: "info" };
    // When the case fails the client exits with a status other than 0, which rejects.
    const { stderr } = await run(program, args, { env, timeout: 30_000 });
    assert.match(stderr, /INFO: .* done$/m, stderr);
  });
}
