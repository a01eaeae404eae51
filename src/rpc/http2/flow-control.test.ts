import assert from "node:assert/strict";
import { test } from "node:test";
import { type RawMethod, Status, type StreamCall } from "../call.js";
import { callUnary, dial, echoMethods, eventually, serve } from "../testing/pair.js";
import { prefixed, RawPeer, requestFields, uint32 } from "../testing/raw-peer.js";
import { ErrorCode, FrameType, frame, settingsPayload } from "./frames.js";

const windowSetting = (bytes: number): [number, number] => [4, bytes];

test("a reply waits for the stream's window and leaves in what each update allows", async (t) => {
  const { port } = await serve(t);
  const peer = await RawPeer.open(port, [windowSetting(0)]);
  peer.send(peer.request(1, "/t.Echo/Unary", Buffer.from("0123456789")));
  await peer.roundTrip();
  assert.equal(peer.dataOf(1).length, 0);
  const whole = prefixed(Buffer.from("0123456789"));
  for (const [update, total] of [
    [3, 3],
    [4, 7],
    [1, 8],
  ] as const) {
    peer.send(frame(FrameType.WINDOW_UPDATE, 0, 1, uint32(update)));
    await peer.roundTrip();
    assert.deepEqual(peer.dataOf(1), whole.subarray(0, total));
  }
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 1, uint32(100)));
  await peer.ended(1);
  assert.deepEqual(peer.dataOf(1), whole);
  peer.socket.destroy();
});

test("a larger INITIAL_WINDOW_SIZE frees streams that wait, a smaller one can make a window negative", async (t) => {
  const { port } = await serve(t);
  const peer = await RawPeer.open(port, [windowSetting(4)]);
  peer.send(peer.request(1, "/t.Echo/Unary", Buffer.from("0123456789")));
  await peer.roundTrip();
  assert.equal(peer.dataOf(1).length, 4);
  peer.send(frame(FrameType.SETTINGS, 0, 0, settingsPayload([windowSetting(1)])));
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 1, uint32(3)));
  await peer.roundTrip();
  assert.equal(peer.dataOf(1).length, 4, "window is 0 again, not positive");
  peer.send(frame(FrameType.SETTINGS, 0, 0, settingsPayload([windowSetting(100)])));
  await peer.ended(1);
  assert.deepEqual(peer.dataOf(1), prefixed(Buffer.from("0123456789")));
  peer.socket.destroy();
});

test("the connection's window holds all streams, and they take turns when it opens", async (t) => {
  const { port } = await serve(t);
  const peer = await RawPeer.open(port, [windowSetting(0x7fffffff)]);
  const message = Buffer.alloc(60_000, 1);
  for (const id of [1, 3, 5]) peer.send(peer.request(id, "/t.Echo/Unary", message));
  await peer.roundTrip();
  const sent = (): number => [1, 3, 5].reduce((sum, id) => sum + peer.dataOf(id).length, 0);
  assert.equal(sent(), 65_535);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(40_000)));
  await peer.roundTrip();
  assert.equal(sent(), 105_535);
  assert.ok(peer.dataOf(3).length > 0 && peer.dataOf(5).length > 0, "no stream waits for another's message");
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(0x7fff0000)));
  for (const id of [1, 3, 5]) {
    await peer.ended(id);
    assert.deepEqual(peer.dataOf(id), prefixed(message));
  }
  peer.socket.destroy();
});

test("DATA beyond the stream's window resets the stream, beyond the connection's ends it", async (t) => {
  const hold: RawMethod = { kind: "stream", path: "/t.Hold/All", handle: (call) => call.pause(true) };
  const { port } = await serve(t, {
    methods: [hold],
    limits: { streamWindowBytes: 65_535, connectionWindowBytes: 65_535 * 2 },
  });
  const peer = await RawPeer.open(port);
  const fill = (id: number): Buffer =>
    Buffer.concat([0, 1, 2, 3].map(() => peer.data(id, Buffer.alloc(16_383))));
  peer.send(peer.headers(1, requestFields("/t.Hold/All")), fill(1), peer.data(1, Buffer.alloc(100)));
  const reset = await peer.until(() => peer.find(FrameType.RST_STREAM, 1));
  assert.equal(reset.payload.readUInt32BE(0), ErrorCode.FLOW_CONTROL_ERROR);
  for (const id of [3, 5, 7]) peer.send(peer.headers(id, requestFields("/t.Hold/All")), fill(id));
  await peer.closing();
  assert.equal(peer.find(FrameType.GOAWAY)?.payload.readUInt32BE(4), ErrorCode.FLOW_CONTROL_ERROR);
});

test("a paused handler gets nothing more and the peer no window, until it resumes", async (t) => {
  let call: StreamCall | undefined;
  const got: number[] = [];
  const slow: RawMethod = {
    kind: "stream",
    path: "/t.Slow/Reader",
    handle: (opened) => {
      call = opened;
      opened.onMessage((message) => {
        got.push(message.length);
        opened.pause(true);
      });
      opened.onHalfClose(() => opened.end(Status.OK));
    },
  };
  const { port } = await serve(t, { methods: [slow], limits: { streamWindowBytes: 65_535 } });
  const peer = await RawPeer.open(port);
  peer.send(peer.headers(1, requestFields("/t.Slow/Reader")));
  for (let index = 0; index < 6; index++) peer.send(peer.data(1, prefixed(Buffer.alloc(10_000 + index))));
  await peer.roundTrip();
  assert.deepEqual(got, [10_000]);
  assert.equal(peer.find(FrameType.WINDOW_UPDATE, 1), undefined);
  for (let index = 1; index < 6; index++) {
    call!.pause(false);
    assert.deepEqual(got.length, index + 1);
  }
  call!.pause(false);
  await peer.until(() => peer.find(FrameType.WINDOW_UPDATE, 1));
  peer.send(peer.data(1, Buffer.alloc(0), true));
  await peer.ended(1);
  assert.deepEqual(got, [10_000, 10_001, 10_002, 10_003, 10_004, 10_005]);
  peer.socket.destroy();
});

test("a client that stops reading costs bounded memory, and a writer learns it by false and onDrain", async (t) => {
  let buffered = 0;
  let most = 0;
  let stopped = false;
  let call: StreamCall | undefined;
  const message = Buffer.alloc(64 * 1024);
  const write = (): void => {
    while (call!.write(message)) most = Math.max(most, call!.bufferedBytes);
    buffered = call!.bufferedBytes;
    stopped = true;
  };
  const firehose: RawMethod = {
    kind: "stream",
    path: "/t.Fire/Hose",
    handle: (opened) => {
      call = opened;
      opened.onDrain(() => {
        stopped = false;
        if (drains++ < 20) write();
        else opened.end(Status.OK);
      });
      write();
    },
  };
  let drains = 0;
  const limits = { streamHighWaterBytes: 128 * 1024, socketHighWaterBytes: 256 * 1024 };
  const { port, server } = await serve(t, { methods: [firehose, ...echoMethods], limits });
  const peer = await RawPeer.open(port, [windowSetting(0x7fffffff)]);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(0x7fff0000)));
  await peer.roundTrip();
  peer.socket.pause();
  peer.send(peer.headers(1, requestFields("/t.Fire/Hose")));
  await eventually(() => stopped);
  // Windows are wide open, so it is the socket that refused; what waits is the stream's limit and one message.
  assert.ok(buffered <= limits.streamHighWaterBytes + message.length + 5, `${buffered} bytes wait`);
  assert.ok(most <= limits.streamHighWaterBytes);
  const other = await dial(t, port);
  assert.equal((await callUnary(other, "/t.Echo/Unary", Buffer.from("others"))).code, Status.OK);
  peer.socket.resume();
  await peer.ended(1);
  assert.equal(drains, 21);
  assert.equal(server.connections, 2);
  peer.socket.destroy();
});

test("requests are not read while their answers cannot be written", async (t) => {
  let handled = 0;
  const answer = Buffer.alloc(16_000);
  const big: RawMethod = {
    kind: "unary",
    path: "/t.Big/Answer",
    handle: (_, call) => {
      handled++;
      call.respond(answer);
    },
  };
  const { port } = await serve(t, {
    methods: [big],
    limits: { socketHighWaterBytes: 64 * 1024, connectionHeldBytes: 1024 * 1024 },
  });
  const peer = await RawPeer.open(port, [windowSetting(0x7fffffff)]);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(0x7fff0000)));
  await peer.roundTrip();
  peer.socket.pause();
  const requests = 5000;
  for (let index = 0; index < requests; index++)
    peer.send(peer.request(2 * index + 1, "/t.Big/Answer", Buffer.alloc(0)));
  // Kernel buffers take some; then calls are held up to the limit and the rest refused or unread.
  let before = -1;
  for (let quiet = 0; quiet < 50; quiet = handled === before ? quiet + 1 : 0) {
    before = handled;
    await new Promise(setImmediate);
  }
  assert.ok(handled < requests, "not every call was let in");
  assert.ok(handled * answer.length < 32 * 1024 * 1024);
  peer.socket.resume();
  await peer.ended(2 * requests - 1);
  peer.socket.destroy();
});
