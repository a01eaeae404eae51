import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  Client,
  credentials,
  status as GrpcStatus,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { type CallEnd, Status } from "./call.js";
import { callUnary, dial, echoMethods, serve } from "./testing/pair.js";

const identity = (value: Buffer): Buffer => value;

function definition(path: string, streaming: boolean): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream: streaming,
    responseStream: streaming,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}

async function grpcJsClient(t: TestContext, port: number): Promise<Client> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
  });
  t.after(() => client.close());
  return client;
}

function unary(client: Client, path: string, message: Buffer, deadlineMs?: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    client.makeUnaryRequest(path, identity, identity, message, new Metadata(), options, (error, value) => {
      if (error !== null) reject(error);
      else resolve(value ?? Buffer.alloc(0));
    });
  });
}

test("grpc-js calls our server: small and large unary calls, many at once", async (t) => {
  const { port } = await serve(t);
  const client = await grpcJsClient(t, port);
  for (const size of [0, 1, 1000, 16_384, 100_000, 2_000_000]) {
    const message = Buffer.alloc(size, size % 251);
    assert.ok((await unary(client, "/t.Echo/Unary", message)).equals(message), `${size} bytes`);
  }
  const many = await Promise.all(
    Array.from({ length: 500 }, (_, index) => unary(client, "/t.Echo/Later", Buffer.from(String(index)))),
  );
  assert.deepEqual(
    many.map(String),
    Array.from({ length: 500 }, (_, index) => String(index)),
  );
});

test("grpc-js sees our statuses, messages and limits", async (t) => {
  const { port } = await serve(t, {
    methods: [
      ...echoMethods,
      { kind: "unary", path: "/t.Fail/Status", handle: (_, call) => call.end(Status.DATA_LOSS, "ünlucky %") },
      { kind: "unary", path: "/t.Fail/Never", handle: () => {} },
    ],
  });
  const client = await grpcJsClient(t, port);
  const failure = async (
    path: string,
    message = Buffer.alloc(0),
    deadlineMs?: number,
  ): Promise<[number, string]> => {
    const error = await unary(client, path, message, deadlineMs).then(
      () => assert.fail("succeeded"),
      (reason: ServiceError) => reason,
    );
    return [error.code, error.details];
  };
  assert.deepEqual(await failure("/t.Fail/Status"), [GrpcStatus.DATA_LOSS, "ünlucky %"]);
  assert.deepEqual(await failure("/t.Nope/X"), [GrpcStatus.UNIMPLEMENTED, "unknown service t.Nope"]);
  assert.deepEqual(await failure("/t.Echo/Unary", Buffer.alloc(2_097_153)), [
    GrpcStatus.RESOURCE_EXHAUSTED,
    "grpc: received message larger than max (2097153 vs. 2097152)",
  ]);
  assert.equal((await failure("/t.Fail/Never", Buffer.alloc(0), 50))[0], GrpcStatus.DEADLINE_EXCEEDED);
});

test("grpc-js streams through our server in both directions", async (t) => {
  const { port } = await serve(t);
  const client = await grpcJsClient(t, port);
  const call = client.makeBidiStreamRequest("/t.Echo/Bidi", identity, identity);
  const got: number[] = [];
  const done = new Promise<void>((resolve, reject) => {
    call.on("data", (message: Buffer) => got.push(message.length));
    call.on("end", resolve);
    call.on("error", reject);
  });
  const sizes = Array.from({ length: 200 }, (_, index) => index * 331);
  for (const size of sizes) {
    if (!call.write(Buffer.alloc(size))) await new Promise((resolve) => call.once("drain", resolve));
  }
  call.end();
  await done;
  assert.deepEqual(got, sizes);
});

async function grpcJsServer(t: TestContext): Promise<number> {
  const server = new Server({ "grpc.max_receive_message_length": -1 });
  server.addService(
    { unary: definition("/t.Echo/Unary", false), bidi: definition("/t.Echo/Bidi", true) },
    {
      unary: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
        if (call.metadata.get("x-fail").length === 0) done(null, call.request);
        else done({ code: GrpcStatus.ABORTED, details: "as asked" });
      },
      bidi: (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on("data", (message: Buffer) => void call.write(message));
        call.on("end", () => call.end());
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.after(() => server.forceShutdown());
  return port;
}

test("our client calls a grpc-js server: unary of many sizes, errors, many at once", async (t) => {
  const channel = await dial(t, await grpcJsServer(t));
  for (const size of [0, 1, 16_384, 65_535, 1_000_000]) {
    const answer = await callUnary(channel, "/t.Echo/Unary", Buffer.alloc(size, 7), { timeoutMs: 10_000 });
    assert.deepEqual([answer.code, answer.bytes?.length], [Status.OK, size]);
  }
  const failed = await callUnary(channel, "/t.Echo/Unary", Buffer.alloc(1), { metadata: [["x-fail", "1"]] });
  assert.deepEqual([failed.code, failed.message], [Status.ABORTED, "as asked"]);
  assert.equal((await callUnary(channel, "/t.Echo/Nope", Buffer.alloc(0))).code, Status.UNIMPLEMENTED);
  const many = await Promise.all(
    Array.from({ length: 500 }, (_, index) =>
      callUnary(channel, "/t.Echo/Unary", Buffer.from(String(index))),
    ),
  );
  assert.deepEqual(
    many.map((answer) => Buffer.from(answer.bytes ?? []).toString()),
    Array.from({ length: 500 }, (_, index) => String(index)),
  );
});

test("our client streams through a grpc-js server", async (t) => {
  const channel = await dial(t, await grpcJsServer(t));
  const got: number[] = [];
  const sizes = Array.from({ length: 100 }, (_, index) => index * 997);
  const end = await new Promise<CallEnd>((resolve) => {
    const stream = channel.stream(
      "/t.Echo/Bidi",
      {},
      { message: (one) => got.push(one.length), end: resolve },
    );
    for (const size of sizes) stream.write(Buffer.alloc(size));
    stream.halfClose();
  });
  assert.equal(end.code, Status.OK);
  assert.deepEqual(got, sizes);
});
