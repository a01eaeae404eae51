import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, serve } from "../testing/pair.js";
import { prefixed, RawPeer, requestFields, uint32 } from "../testing/raw-peer.js";
import {
  clientPreface,
  ErrorCode,
  errorCodeName,
  Flag,
  FrameType,
  frame,
  settingsPayload,
} from "./frames.js";

const unary = "/t.Echo/Unary";
const block = (peer: RawPeer): Buffer => peer.block(requestFields(unary));
const start = (peer: RawPeer, id = 1): Buffer => frame(FrameType.HEADERS, Flag.END_HEADERS, id, block(peer));

/** What breaks the connection, and the code of RFC 9113 that GOAWAY must carry. */
const connectionFaults: [what: string, code: ErrorCode, bytes: (peer: RawPeer) => Buffer | Buffer[]][] = [
  ["DATA on stream 0", ErrorCode.PROTOCOL_ERROR, () => frame(FrameType.DATA, 0, 0, Buffer.alloc(1))],
  ["DATA on an idle stream", ErrorCode.PROTOCOL_ERROR, () => frame(FrameType.DATA, 0, 1, Buffer.alloc(1))],
  [
    "padding longer than the DATA frame",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [start(peer), frame(FrameType.DATA, Flag.PADDED, 1, Buffer.from([5, 0]))],
  ],
  ["HEADERS on stream 0", ErrorCode.PROTOCOL_ERROR, (peer) => start(peer, 0)],
  ["HEADERS on an even stream", ErrorCode.PROTOCOL_ERROR, (peer) => start(peer, 2)],
  [
    "a stream id lower than one before",
    ErrorCode.STREAM_CLOSED,
    (peer) => [peer.request(3, unary, Buffer.alloc(0)), start(peer, 1)],
  ],
  [
    "HEADERS on a stream that ended",
    ErrorCode.STREAM_CLOSED,
    (peer) => [peer.request(1, unary, Buffer.alloc(0)), start(peer, 1)],
  ],
  [
    "a frame between HEADERS and CONTINUATION",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [frame(FrameType.HEADERS, 0, 1, block(peer)), frame(FrameType.PING, 0, 0, Buffer.alloc(8))],
  ],
  [
    "CONTINUATION of another stream",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [frame(FrameType.HEADERS, 0, 1, block(peer)), frame(FrameType.CONTINUATION, 4, 3)],
  ],
  ["CONTINUATION without HEADERS", ErrorCode.PROTOCOL_ERROR, () => frame(FrameType.CONTINUATION, 4, 1)],
  [
    "a block that is not HPACK",
    ErrorCode.COMPRESSION_ERROR,
    () => frame(FrameType.HEADERS, Flag.END_HEADERS, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff])),
  ],
  ["RST_STREAM on stream 0", ErrorCode.PROTOCOL_ERROR, () => frame(FrameType.RST_STREAM, 0, 0, uint32(8))],
  [
    "RST_STREAM on an idle stream",
    ErrorCode.PROTOCOL_ERROR,
    () => frame(FrameType.RST_STREAM, 0, 1, uint32(8)),
  ],
  [
    "RST_STREAM of 3 bytes",
    ErrorCode.FRAME_SIZE_ERROR,
    () => frame(FrameType.RST_STREAM, 0, 1, Buffer.alloc(3)),
  ],
  ["SETTINGS on a stream", ErrorCode.PROTOCOL_ERROR, () => frame(FrameType.SETTINGS, 0, 1)],
  ["SETTINGS of 5 bytes", ErrorCode.FRAME_SIZE_ERROR, () => frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(5))],
  [
    "SETTINGS acknowledgement with payload",
    ErrorCode.FRAME_SIZE_ERROR,
    () => frame(FrameType.SETTINGS, Flag.ACK, 0, settingsPayload([[1, 1]])),
  ],
  [
    "ENABLE_PUSH 2",
    ErrorCode.PROTOCOL_ERROR,
    () => frame(FrameType.SETTINGS, 0, 0, settingsPayload([[2, 2]])),
  ],
  [
    "INITIAL_WINDOW_SIZE above 2^31-1",
    ErrorCode.FLOW_CONTROL_ERROR,
    () => frame(FrameType.SETTINGS, 0, 0, settingsPayload([[4, 0x80000000]])),
  ],
  [
    "MAX_FRAME_SIZE below 16384",
    ErrorCode.PROTOCOL_ERROR,
    () => frame(FrameType.SETTINGS, 0, 0, settingsPayload([[5, 16_383]])),
  ],
  ["PING on a stream", ErrorCode.PROTOCOL_ERROR, () => frame(FrameType.PING, 0, 1, Buffer.alloc(8))],
  ["PING of 7 bytes", ErrorCode.FRAME_SIZE_ERROR, () => frame(FrameType.PING, 0, 0, Buffer.alloc(7))],
  ["GOAWAY on a stream", ErrorCode.PROTOCOL_ERROR, () => frame(FrameType.GOAWAY, 0, 1, Buffer.alloc(8))],
  ["PUSH_PROMISE", ErrorCode.PROTOCOL_ERROR, () => frame(FrameType.PUSH_PROMISE, 4, 1, uint32(2))],
  [
    "WINDOW_UPDATE of 0 on the connection",
    ErrorCode.PROTOCOL_ERROR,
    () => frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(0)),
  ],
  [
    "WINDOW_UPDATE beyond 2^31-1 on the connection",
    ErrorCode.FLOW_CONTROL_ERROR,
    () => frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(0x7fffffff)),
  ],
  [
    "WINDOW_UPDATE on an idle stream",
    ErrorCode.PROTOCOL_ERROR,
    () => frame(FrameType.WINDOW_UPDATE, 0, 5, uint32(1)),
  ],
  [
    "a frame above MAX_FRAME_SIZE",
    ErrorCode.FRAME_SIZE_ERROR,
    (peer) => [start(peer), frame(FrameType.DATA, 0, 1, Buffer.alloc(16_385))],
  ],
];

for (const [what, code, bytes] of connectionFaults) {
  test(`${what} ends the connection with ${errorCodeName(code)}`, async (t) => {
    const reasons: string[] = [];
    const { port, server } = await serve(t, {
      onConnectionError: (error) => reasons.push(errorCodeName(error.code)),
    });
    const peer = await RawPeer.open(port);
    const parts = bytes(peer);
    peer.send(...(Array.isArray(parts) ? parts : [parts]));
    await peer.closing();
    assert.equal(peer.find(FrameType.GOAWAY)?.payload.readUInt32BE(4), code);
    await eventually(() => server.connections === 0);
    assert.deepEqual(reasons, [errorCodeName(code)]);
  });
}

/** What breaks one stream: RST_STREAM with this code, and the connection goes on. */
const streamFaults: [what: string, code: ErrorCode, bytes: (peer: RawPeer) => Buffer[]][] = [
  [
    "DATA behind END_STREAM",
    ErrorCode.STREAM_CLOSED,
    (peer) => [
      peer.headers(1, requestFields("/t.Echo/Later")),
      peer.data(1, prefixed(Buffer.alloc(0)), true),
      peer.data(1, Buffer.alloc(1)),
    ],
  ],
  [
    "a stream that depends on itself",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [
      frame(
        FrameType.HEADERS,
        Flag.END_HEADERS | Flag.PRIORITY,
        1,
        Buffer.concat([uint32(1), Buffer.from([0]), block(peer)]),
      ),
    ],
  ],
  [
    "WINDOW_UPDATE of 0 on a stream",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [start(peer), frame(FrameType.WINDOW_UPDATE, 0, 1, uint32(0))],
  ],
  [
    "WINDOW_UPDATE beyond 2^31-1 on a stream",
    ErrorCode.FLOW_CONTROL_ERROR,
    (peer) => [start(peer), frame(FrameType.WINDOW_UPDATE, 0, 1, uint32(0x7fffffff))],
  ],
  [
    "trailers without END_STREAM",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [start(peer), peer.headers(1, [["x-trailer", "1"]])],
  ],
  [
    "a pseudo-header in trailers",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [start(peer), peer.headers(1, [[":path", "/x"]], Flag.END_HEADERS | Flag.END_STREAM)],
  ],
  [
    "a body shorter than content-length",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [peer.request(1, unary, Buffer.from("abc"), ["content-length", "9"])],
  ],
  [
    "a body longer than content-length",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [peer.request(1, unary, Buffer.from("abc"), ["content-length", "7"])],
  ],
  [
    "an upper-case header name",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [peer.headers(1, requestFields(unary, ["X", "1"]))],
  ],
  [
    "a connection header",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [peer.headers(1, requestFields(unary, ["connection", "x"]))],
  ],
  [
    "te other than trailers",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [peer.headers(1, requestFields(unary, ["te", "gzip"]))],
  ],
  [
    "a pseudo-header behind others",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [peer.headers(1, requestFields(unary, [":authority", "x"]))],
  ],
  [
    "no :path",
    ErrorCode.PROTOCOL_ERROR,
    (peer) => [
      peer.headers(1, [
        [":method", "POST"],
        [":scheme", "http"],
      ]),
    ],
  ],
];

for (const [what, code, bytes] of streamFaults) {
  test(`${what} resets the stream with ${errorCodeName(code)} and spares the others`, async (t) => {
    const { port } = await serve(t);
    const peer = await RawPeer.open(port);
    peer.send(...bytes(peer));
    const reset = await peer.until(() => peer.find(FrameType.RST_STREAM, 1));
    assert.equal(reset.payload.readUInt32BE(0), code);
    peer.send(peer.request(101, unary, Buffer.from("still here")));
    await peer.ended(101);
    assert.deepEqual(peer.dataOf(101), prefixed(Buffer.from("still here")));
    assert.equal(peer.find(FrameType.GOAWAY), undefined);
  });
}

test("padding, priority, unknown frames and CONTINUATION are accepted in a request", async (t) => {
  const { port } = await serve(t);
  const peer = await RawPeer.open(port);
  const whole = block(peer);
  peer.send(
    frame(0xbe, 0xff, 77, Buffer.from("unknown")),
    frame(FrameType.PRIORITY, 0, 9, Buffer.concat([uint32(3), Buffer.from([1])])),
    frame(
      FrameType.HEADERS,
      Flag.PADDED | Flag.PRIORITY,
      1,
      Buffer.concat([Buffer.from([2]), uint32(0), Buffer.from([1]), whole.subarray(0, 3), Buffer.alloc(2)]),
    ),
    frame(FrameType.CONTINUATION, 0, 1, whole.subarray(3, 3)),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, whole.subarray(3)),
    frame(
      FrameType.DATA,
      Flag.PADDED | Flag.END_STREAM,
      1,
      Buffer.concat([Buffer.from([4]), prefixed(Buffer.from("padded")), Buffer.alloc(4)]),
    ),
  );
  await peer.ended(1);
  assert.deepEqual(peer.dataOf(1), prefixed(Buffer.from("padded")));
  peer.socket.destroy();
});

test("frames that were under way when the server reset their stream are ignored", async (t) => {
  const { port } = await serve(t);
  const peer = await RawPeer.open(port);
  peer.send(start(peer), frame(FrameType.WINDOW_UPDATE, 0, 1, uint32(0)));
  await peer.until(() => peer.find(FrameType.RST_STREAM, 1));
  peer.send(
    peer.data(1, Buffer.alloc(10)),
    frame(FrameType.WINDOW_UPDATE, 0, 1, uint32(5)),
    peer.headers(1, [["x", "y"]], Flag.END_HEADERS | Flag.END_STREAM),
  );
  await peer.roundTrip();
  assert.equal(peer.find(FrameType.GOAWAY), undefined);
  assert.equal(peer.frames.filter((seen) => seen.type === FrameType.RST_STREAM).length, 1);
  peer.socket.destroy();
});

test("a request for more streams than allowed is refused, and others go on", async (t) => {
  const { port } = await serve(t, { limits: { concurrentStreams: 2 } });
  const peer = await RawPeer.open(port);
  peer.send(start(peer, 1), start(peer, 3), start(peer, 5));
  const reset = await peer.until(() => peer.find(FrameType.RST_STREAM, 5));
  assert.equal(reset.payload.readUInt32BE(0), ErrorCode.REFUSED_STREAM);
  peer.send(peer.data(1, prefixed(Buffer.from("x")), true));
  await peer.ended(1);
  peer.send(peer.request(7, unary, Buffer.from("y")));
  await peer.ended(7);
  assert.deepEqual(peer.dataOf(7), prefixed(Buffer.from("y")));
  peer.socket.destroy();
});

test("floods of cheap frames end in ENHANCE_YOUR_CALM", async (t) => {
  const flood = {
    resets: 20,
    pings: 20,
    settings: 20,
    priorities: 20,
    emptyData: 20,
    windowUpdates: 20,
    continuations: 20,
  };
  const { port } = await serve(t, { limits: { flood } });
  const repeat = (make: (index: number) => Buffer): Buffer[] =>
    Array.from({ length: 25 }, (_, index) => make(index));
  const floods: ((peer: RawPeer) => Buffer[])[] = [
    () => repeat(() => frame(FrameType.PING, 0, 0, Buffer.alloc(8))),
    () => repeat(() => frame(FrameType.SETTINGS, 0, 0)),
    () => repeat(() => frame(FrameType.PRIORITY, 0, 3, Buffer.alloc(5))),
    () => repeat(() => frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(1))),
    (peer) => [start(peer), ...repeat(() => peer.data(1, Buffer.alloc(0)))],
    (peer) =>
      repeat((index) =>
        Buffer.concat([start(peer, 2 * index + 1), frame(FrameType.RST_STREAM, 0, 2 * index + 1, uint32(8))]),
      ),
    (peer) => [
      frame(FrameType.HEADERS, 0, 1, block(peer)),
      ...repeat(() => frame(FrameType.CONTINUATION, 0, 1)),
    ],
  ];
  for (const make of floods) {
    const peer = await RawPeer.open(port);
    peer.send(...make(peer));
    await peer.closing();
    assert.equal(peer.find(FrameType.GOAWAY)?.payload.readUInt32BE(4), ErrorCode.ENHANCE_YOUR_CALM);
  }
});

test("a header block larger than the limit ends the connection before it is complete", async (t) => {
  const { port } = await serve(t, { limits: { headerListBytes: 20_000 } });
  const peer = await RawPeer.open(port);
  peer.send(
    frame(FrameType.HEADERS, 0, 1, block(peer)),
    frame(FrameType.CONTINUATION, 0, 1, Buffer.alloc(16_000)),
    frame(FrameType.CONTINUATION, 0, 1, Buffer.alloc(16_000)),
  );
  await peer.closing();
  assert.equal(peer.find(FrameType.GOAWAY)?.payload.readUInt32BE(4), ErrorCode.ENHANCE_YOUR_CALM);
});

test("a header list larger than the limit is answered with 431 and the connection goes on", async (t) => {
  const { port } = await serve(t, { limits: { headerListBytes: 1024 } });
  const peer = await RawPeer.open(port);
  // Indexed fields expand: few bytes on the wire, a long list.
  const fields = requestFields(
    unary,
    ...Array.from({ length: 40 }, () => ["user-agent", "u".repeat(30)] as const),
  );
  peer.send(peer.headers(1, fields, Flag.END_HEADERS | Flag.END_STREAM));
  await peer.ended(1);
  peer.send(peer.request(3, unary, Buffer.from("ok")));
  await peer.ended(3);
  assert.equal(peer.headersOf(1)[0]?.[":status"], "431");
  assert.equal(peer.headersOf(1)[0]?.["grpc-status"], "8");
  assert.deepEqual(peer.dataOf(3), prefixed(Buffer.from("ok")));
  peer.socket.destroy();
});

test("a peer that lowers the HPACK table is told so before the next block", async (t) => {
  const { port } = await serve(t);
  const peer = await RawPeer.open(port);
  for (const id of [1, 3, 5]) {
    peer.send(peer.request(id, unary, Buffer.alloc(0)));
    await peer.ended(id);
  }
  peer.send(frame(FrameType.SETTINGS, 0, 0, settingsPayload([[1, 0]])));
  peer.send(peer.request(7, unary, Buffer.alloc(0)), peer.request(9, unary, Buffer.alloc(0)));
  await peer.ended(9);
  const seen = peer.frames.find((one) => one.type === FrameType.HEADERS && one.id === 7);
  assert.equal(seen!.payload[0], 0x20, "the block begins with a size update to 0");
  assert.deepEqual(peer.headersOf(9), [
    { ":status": "200", "content-type": "application/grpc" },
    { "grpc-status": "0" },
  ]);
  peer.socket.destroy();
});

test("a request in pieces of any size gets the same answer", async (t) => {
  const { port } = await serve(t);
  for (const size of [1, 2, 3, 7, 20, 50]) {
    const peer = await RawPeer.bare(port);
    const bytes = Buffer.concat([
      clientPreface,
      frame(FrameType.SETTINGS, 0, 0),
      peer.request(1, unary, Buffer.from("in pieces")),
      peer.request(3, "/t.Echo/Nope", Buffer.alloc(3)),
      peer.request(5, "/t.Echo/Later", Buffer.from("later")),
    ]);
    for (let at = 0; at < bytes.length; at += size) {
      peer.send(bytes.subarray(at, at + size));
      await new Promise(setImmediate);
    }
    for (const id of [1, 3, 5]) await peer.ended(id);
    assert.deepEqual(peer.dataOf(1), prefixed(Buffer.from("in pieces")));
    assert.deepEqual(peer.dataOf(5), prefixed(Buffer.from("later")));
    assert.equal(peer.headersOf(3)[0]?.["grpc-status"], "12");
    peer.socket.destroy();
  }
});

test("a connection without SETTINGS in time is closed", async (t) => {
  const { port } = await serve(t, { limits: { handshakeTimeoutMs: 50 } });
  const silent = await RawPeer.bare(port);
  const half = await RawPeer.bare(port);
  half.send(clientPreface);
  await Promise.all([silent.closing(), half.closing()]);
  assert.equal(half.find(FrameType.GOAWAY)?.payload.readUInt32BE(4), ErrorCode.SETTINGS_TIMEOUT);
});

test("a peer that does not answer keepalive pings is cut, one that does is kept", async (t) => {
  const { port, server } = await serve(t, { limits: { keepaliveIntervalMs: 1, keepaliveTimeoutMs: 1 } });
  const dead = await RawPeer.open(port);
  const alive = await RawPeer.open(port);
  alive.socket.on("data", () => {
    const ping = alive.frames.findLast((seen) => seen.type === FrameType.PING && seen.flags === 0);
    if (ping !== undefined) alive.send(frame(FrameType.PING, Flag.ACK, 0, ping.payload));
  });
  await dead.closing();
  assert.notEqual(alive.find(FrameType.PING), undefined);
  assert.equal(server.connections, 1);
  alive.socket.destroy();
});
