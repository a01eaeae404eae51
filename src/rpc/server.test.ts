import assert from "node:assert/strict";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { type CallEnd, type Channel, type RawMethod, Status } from "./call.js";
import { RpcChannel } from "./client.js";
import type { RpcLimits } from "./limits.js";
import { RpcServer } from "./server.js";

const echo: RawMethod[] = [
  { kind: "unary", path: "/t.Echo/Unary", handle: (message, call) => call.respond(message) },
  {
    kind: "stream",
    path: "/t.Echo/Bidi",
    handle: (call) => {
      call.onMessage((message) => void call.write(message));
      call.onHalfClose(() => call.end(Status.OK));
    },
  },
];

async function pair(
  t: TestContext,
  methods: RawMethod[],
  limits: Partial<RpcLimits> = {},
  clientLimits: Partial<RpcLimits> = limits,
): Promise<{ server: RpcServer; channel: RpcChannel; port: number }> {
  const server = new RpcServer({ methods, limits });
  const { host, port } = await server.listen("127.0.0.1", 0);
  const channel = new RpcChannel({ host, port, limits: clientLimits });
  await channel.connect();
  t.after(() => {
    channel.close();
    server.close();
  });
  return { server, channel, port };
}

interface Answer extends CallEnd {
  readonly bytes: Uint8Array | undefined;
}

function call(channel: Channel, path: string, message: Uint8Array, options = {}): Promise<Answer> {
  return new Promise((resolve) => {
    channel.unary(path, message, options, (end, bytes) => resolve({ ...end, bytes }));
  });
}

test("a unary call answers with the bytes of its handler", async (t) => {
  const { channel } = await pair(t, echo);
  const answer = await call(channel, "/t.Echo/Unary", Buffer.from("hello"));
  assert.equal(answer.code, Status.OK);
  assert.equal(Buffer.from(answer.bytes!).toString(), "hello");
});

test("unknown services and methods are told apart with grpc-go's texts", async (t) => {
  const { channel } = await pair(t, echo);
  const method = await call(channel, "/t.Echo/Nope", Buffer.alloc(0));
  assert.deepEqual(
    [method.code, method.message],
    [Status.UNIMPLEMENTED, "unknown method Nope for service t.Echo"],
  );
  const service = await call(channel, "/t.Nope/Unary", Buffer.alloc(0));
  assert.deepEqual([service.code, service.message], [Status.UNIMPLEMENTED, "unknown service t.Nope"]);
});

test("a message above the limit ends in RESOURCE_EXHAUSTED and the connection goes on", async (t) => {
  const { channel } = await pair(t, echo, { receiveMessageBytes: 1000 }, {});
  const long = await call(channel, "/t.Echo/Unary", Buffer.alloc(1001));
  assert.deepEqual(
    [long.code, long.message],
    [Status.RESOURCE_EXHAUSTED, "grpc: received message larger than max (1001 vs. 1000)"],
  );
  assert.equal((await call(channel, "/t.Echo/Unary", Buffer.alloc(1000))).code, Status.OK);
});

test("messages of a stream arrive whole and in order whatever the windows", async (t) => {
  const { channel } = await pair(t, echo, { streamWindowBytes: 7 });
  const sizes = [0, 1, 6, 7, 8, 100, 20_000, 3];
  const got: number[] = [];
  const end = await new Promise<CallEnd>((resolve) => {
    const stream = channel.stream("/t.Echo/Bidi", {}, { message: (m) => got.push(m.length), end: resolve });
    for (const size of sizes) stream.write(Buffer.alloc(size, size));
    stream.halfClose();
  });
  assert.equal(end.code, Status.OK);
  assert.deepEqual(got, sizes);
});

test("drain lets running calls finish, takes no new ones and closes the connection", async (t) => {
  let finish: (() => void) | undefined;
  const slow: RawMethod = {
    kind: "unary",
    path: "/t.Slow/Call",
    handle: (_, call) => {
      finish = () => call.respond(Buffer.from("late"));
    },
  };
  const { server, channel } = await pair(t, [slow]);
  const running = call(channel, "/t.Slow/Call", Buffer.alloc(0));
  while (finish === undefined) await new Promise(setImmediate);
  const drained = server.drain(5000);
  while (channel.ready) await new Promise(setImmediate);
  assert.equal((await call(channel, "/t.Slow/Call", Buffer.alloc(0))).code, Status.UNAVAILABLE);
  finish();
  assert.equal((await running).code, Status.OK);
  await drained;
  assert.equal(server.connections, 0);
});

test("garbage on the port is answered by closing the connection", async (t) => {
  const { port, channel } = await pair(t, echo);
  const socket = connect(port, "127.0.0.1");
  socket.write(Buffer.from([0xff, 0x00, 0x12, 0x16, 0x03, 0x01]));
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("close", resolve));
  assert.equal((await call(channel, "/t.Echo/Unary", Buffer.alloc(1))).code, Status.OK);
});
