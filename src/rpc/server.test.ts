import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { type CallEnd, type RawMethod, Status } from "./call.js";
import type { RpcChannel } from "./client.js";
import { ErrorCode, Flag, FrameType, frame } from "./http2/frames.js";
import type { RpcLimits } from "./limits.js";
import type { RpcServer } from "./server.js";
import { callUnary, dial, eventually, serve } from "./testing/pair.js";
import { RawPeer, requestFields } from "./testing/raw-peer.js";

async function pair(
  t: TestContext,
  limits: Partial<RpcLimits> = {},
  clientLimits: Partial<RpcLimits> = limits,
): Promise<{ server: RpcServer; channel: RpcChannel; port: number }> {
  const { server, port } = await serve(t, { limits });
  return { server, port, channel: await dial(t, port, { limits: clientLimits }) };
}

test("a unary call answers with the bytes of its handler", async (t) => {
  const { channel } = await pair(t);
  const answer = await callUnary(channel, "/t.Echo/Unary", Buffer.from("hello"));
  assert.equal(answer.code, Status.OK);
  assert.equal(Buffer.from(answer.bytes!).toString(), "hello");
});

test("unknown services and methods are told apart with grpc-go's texts", async (t) => {
  const { channel } = await pair(t);
  const method = await callUnary(channel, "/t.Echo/Nope", Buffer.alloc(0));
  assert.deepEqual(
    [method.code, method.message],
    [Status.UNIMPLEMENTED, "unknown method Nope for service t.Echo"],
  );
  const service = await callUnary(channel, "/t.Nope/Unary", Buffer.alloc(0));
  assert.deepEqual([service.code, service.message], [Status.UNIMPLEMENTED, "unknown service t.Nope"]);
});

test("a message above the limit ends in RESOURCE_EXHAUSTED and the connection goes on", async (t) => {
  const { channel } = await pair(t, { receiveMessageBytes: 1000 }, {});
  const long = await callUnary(channel, "/t.Echo/Unary", Buffer.alloc(1001));
  assert.deepEqual(
    [long.code, long.message],
    [Status.RESOURCE_EXHAUSTED, "grpc: received message larger than max (1001 vs. 1000)"],
  );
  assert.equal((await callUnary(channel, "/t.Echo/Unary", Buffer.alloc(1000))).code, Status.OK);
});

test("messages of a stream arrive whole and in order whatever the windows", async (t) => {
  const { channel } = await pair(t, { streamWindowBytes: 7 });
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
  const { server, port } = await serve(t, { methods: [slow] });
  const channel = await dial(t, port);
  const running = callUnary(channel, "/t.Slow/Call", Buffer.alloc(0));
  await eventually(() => finish !== undefined);
  const drained = server.drain(5000);
  await eventually(() => !channel.ready);
  assert.equal((await callUnary(channel, "/t.Slow/Call", Buffer.alloc(0))).code, Status.UNAVAILABLE);
  finish!();
  assert.equal((await running).code, Status.OK);
  await drained;
  assert.equal(server.connections, 0);
});

test("garbage on the port is answered by closing the connection", async (t) => {
  const { port, channel } = await pair(t);
  const socket = connect(port, "127.0.0.1");
  socket.write(Buffer.from([0xff, 0x00, 0x12, 0x16, 0x03, 0x01]));
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("close", resolve));
  assert.equal((await callUnary(channel, "/t.Echo/Unary", Buffer.alloc(1))).code, Status.OK);
});

test("drain names the last stream after a round trip, refuses later ones and cuts what exceeds its time", async (t) => {
  const cancelled: string[] = [];
  const never: RawMethod = {
    kind: "unary",
    path: "/t.Never/Answers",
    handle: (_, call) => call.onCancel(() => cancelled.push(call.path)),
  };
  const { server, port } = await serve(t, { methods: [never] });
  const peer = await RawPeer.open(port);
  peer.send(peer.request(1, "/t.Never/Answers", Buffer.alloc(0)));
  await peer.roundTrip();
  const drained = server.drain(50);
  const ping = await peer.until(() =>
    peer.frames.find((seen) => seen.type === FrameType.PING && seen.flags === 0),
  );
  assert.equal(peer.find(FrameType.GOAWAY)?.payload.readUInt32BE(0), 0x7fffffff);
  // Sent before the announcement was seen: still accepted.
  peer.send(peer.request(3, "/t.Never/Answers", Buffer.alloc(0)));
  peer.send(frame(FrameType.PING, Flag.ACK, 0, ping.payload));
  peer.send(peer.headers(5, requestFields("/t.Never/Answers")));
  const reset = await peer.until(() => peer.find(FrameType.RST_STREAM, 5));
  assert.equal(reset.payload.readUInt32BE(0), ErrorCode.REFUSED_STREAM);
  const last = peer.frames.filter((seen) => seen.type === FrameType.GOAWAY)[1];
  assert.equal(last?.payload.readUInt32BE(0), 3);
  await drained;
  await peer.closing();
  assert.deepEqual(cancelled, ["/t.Never/Answers", "/t.Never/Answers"]);
});

test("drain lets an HTTP/1.1 request finish", async (t) => {
  let answer: (() => void) | undefined;
  const http1 = createServer((_, response) => {
    answer = () => response.end("done");
  });
  const { server, port } = await serve(t, { http1 });
  const body = fetch(`http://127.0.0.1:${port}/`).then((response) => response.text());
  await eventually(() => answer !== undefined);
  const drained = server.drain(5000);
  answer!();
  assert.equal(await body, "done");
  await drained;
});
