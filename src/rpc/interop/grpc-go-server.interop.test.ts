// Our client against grpc-go's interoperability server (google.golang.org/grpc/interop/server): the
// cases of gRPC's interop test descriptions.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { TestService, UnimplementedService } from "../../gen/grpc/testing/test_pb.js";
import { type CallEnd, type Metadata, Status } from "../call.js";
import { RpcChannel } from "../client.js";
import { payloadCases } from "../testing/interop-cases.js";
import { freePort } from "../testing/pair.js";
import { needsProgram } from "../testing/programs.js";
import { type TypedClient, typedClient } from "../typed.js";

const program = "grpc-interop-server";
const skip = needsProgram(program);
async function* nothing(): AsyncGenerator<never> {}

describe("our client against grpc-go's server", { skip }, () => {
  let server: ChildProcess;
  let channel: RpcChannel;
  let client: TypedClient<typeof TestService>;

  before(async () => {
    const port = await freePort();
    server = spawn(program, [`--port=${port}`], { stdio: "ignore" });
    for (;;) {
      channel = new RpcChannel({ host: "127.0.0.1", port });
      const failure = await channel.connect().then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure === undefined) break;
      assert.equal(server.exitCode, null, `${program} has ended`);
    }
    client = typedClient(channel, TestService);
  });
  after(async () => {
    channel?.close();
    const gone = new Promise((resolve) => server.once("close", resolve));
    server.kill("SIGKILL");
    await gone;
  });

  /** Ends of raw calls, for metadata that the typed client does not show. */
  function emptyStream(metadata: Metadata): Promise<{ headers: Metadata; end: CallEnd }> {
    return new Promise((resolve) => {
      let headers: Metadata = [];
      const stream = channel.stream(
        "/grpc.testing.TestService/FullDuplexCall",
        { metadata },
        {
          message: () => {},
          headers: (received) => {
            headers = received;
          },
          end: (end) => resolve({ headers, end }),
        },
      );
      stream.halfClose();
    });
  }

  it("empty_unary", async () => {
    assert.deepEqual({ ...(await client.emptyCall({})) }, { $typeName: "grpc.testing.Empty" });
  });

  for (const [name, run] of payloadCases) it(name, () => run(client, {}));

  it("empty_stream", async () => {
    for await (const response of client.fullDuplexCall(nothing())) assert.fail(String(response));
  });

  it("timeout_on_sleeping_server", async () => {
    async function* requests() {
      yield {
        payload: { body: new Uint8Array(27_182) },
        responseParameters: [{ size: 1, intervalUs: 10_000_000 }],
      };
    }
    const responses = client.fullDuplexCall(requests(), { timeoutMs: 1 })[Symbol.asyncIterator]();
    await assert.rejects(responses.next(), { code: Status.DEADLINE_EXCEEDED });
  });

  it("cancel_after_begin", async () => {
    const end = await new Promise<CallEnd>((resolve) => {
      const stream = channel.stream(
        "/grpc.testing.TestService/StreamingInputCall",
        {},
        { message: () => assert.fail("a cancelled call was answered"), end: resolve },
      );
      stream.cancel();
    });
    assert.equal(end.code, Status.CANCELLED);
  });

  it("cancel_after_first_response", async () => {
    const controller = new AbortController();
    async function* requests() {
      yield { responseParameters: [{ size: 31_415 }], payload: { body: new Uint8Array(27_182) } };
      await new Promise<void>((resolve) => controller.signal.addEventListener("abort", () => resolve()));
    }
    const responses = client
      .fullDuplexCall(requests(), { signal: controller.signal })
      [Symbol.asyncIterator]();
    assert.equal((await responses.next()).value?.payload?.body.length, 31_415);
    controller.abort();
    await assert.rejects(responses.next(), { code: Status.CANCELLED });
  });

  it("custom_metadata", async () => {
    const trailing = Buffer.from([0xab, 0xab, 0xab]);
    const { headers, end } = await emptyStream([
      ["x-grpc-test-echo-initial", "test_initial_metadata_value"],
      ["x-grpc-test-echo-trailing-bin", trailing],
    ]);
    assert.equal(end.code, Status.OK);
    const initial = headers.find(([name]) => name === "x-grpc-test-echo-initial");
    assert.equal(initial?.[1], "test_initial_metadata_value");
    const echoed = end.trailers.find(([name]) => name === "x-grpc-test-echo-trailing-bin");
    assert.deepEqual(echoed?.[1], trailing);
  });

  for (const [name, message] of [
    ["status_code_and_message", "test status message"],
    ["special_status_message", "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"],
  ] as const) {
    it(name, async () => {
      const responseStatus = { code: Status.UNKNOWN, message };
      await assert.rejects(client.unaryCall({ responseStatus }), { code: Status.UNKNOWN, message });
      async function* requests() {
        yield { responseStatus };
      }
      const responses = client.fullDuplexCall(requests())[Symbol.asyncIterator]();
      await assert.rejects(responses.next(), { code: Status.UNKNOWN, message });
    });
  }

  it("unimplemented_method and unimplemented_service", async () => {
    await assert.rejects(client.unimplementedCall({}), { code: Status.UNIMPLEMENTED });
    const other = typedClient(channel, UnimplementedService);
    await assert.rejects(other.unimplementedCall({}), { code: Status.UNIMPLEMENTED });
  });

  it("goes on after all of that on the same connection", async () => {
    assert.ok(channel.ready);
    await client.emptyCall({});
  });
});
