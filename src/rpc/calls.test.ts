import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { type CallEnd, type RawMethod, RpcError, type RpcObserver, Status } from "./call.js";
import { ErrorCode, Flag, FrameType, frame } from "./http2/frames.js";
import { callUnary, dial, eventually, serve } from "./testing/pair.js";
import { prefixed, RawPeer, requestFields, uint32 } from "./testing/raw-peer.js";

const silent = (path: string, seen: { cancelled: number; deadlineAt?: number | undefined }): RawMethod => ({
  kind: "unary",
  path,
  handle: (_, call) => {
    seen.deadlineAt = call.deadlineAt;
    call.onCancel(() => {
      seen.cancelled++;
      assert.equal(call.ended, true);
      call.respond(Buffer.from("too late"));
    });
  },
});

test("a call past its deadline ends in DEADLINE_EXCEEDED at the server, and its handler is told once", async (t) => {
  const seen = { cancelled: 0, deadlineAt: undefined as number | undefined };
  const { port, server } = await serve(t, { methods: [silent("/t.Never/Answers", seen)] });
  const peer = await RawPeer.open(port);
  peer.send(peer.request(1, "/t.Never/Answers", Buffer.alloc(0), ["grpc-timeout", "20m"]));
  await peer.ended(1);
  assert.equal(peer.headersOf(1)[0]?.["grpc-status"], String(Status.DEADLINE_EXCEEDED));
  assert.equal(seen.cancelled, 1);
  assert.ok(performance.now() >= seen.deadlineAt!);
  assert.equal(server.deadlines.size, 0);
  peer.socket.destroy();
});

test("the client gives up by itself when the server is silent, and tells it", async (t) => {
  const seen = { cancelled: 0 };
  const { port } = await serve(t, { methods: [silent("/t.Never/Answers", seen)] });
  const channel = await dial(t, port);
  const answer = await callUnary(channel, "/t.Never/Answers", Buffer.alloc(0), { timeoutMs: 20 });
  assert.equal(answer.code, Status.DEADLINE_EXCEEDED);
  await eventually(() => seen.cancelled === 1);
});

test("deadlines of calls that were answered are forgotten", async (t) => {
  const { port, server } = await serve(t);
  const channel = await dial(t, port);
  for (let index = 0; index < 20; index++) {
    const path = index % 2 === 0 ? "/t.Echo/Unary" : "/t.Echo/Later";
    assert.equal((await callUnary(channel, path, Buffer.alloc(1), { timeoutMs: 60_000 })).code, Status.OK);
  }
  assert.equal(server.deadlines.size, 0);
  assert.equal(channel.deadlines.size, 0);
});

test("RST_STREAM and a lost connection cancel what runs, once", async (t) => {
  const seen = { cancelled: 0 };
  const { port, server } = await serve(t, { methods: [silent("/t.Never/Answers", seen)] });
  const peer = await RawPeer.open(port);
  peer.send(
    peer.request(1, "/t.Never/Answers", Buffer.alloc(0)),
    peer.request(3, "/t.Never/Answers", Buffer.alloc(0)),
  );
  peer.send(frame(FrameType.RST_STREAM, 0, 1, uint32(ErrorCode.CANCEL)));
  await peer.roundTrip();
  assert.equal(seen.cancelled, 1);
  assert.equal(peer.find(FrameType.HEADERS, 1), undefined);
  peer.socket.destroy();
  await eventually(() => server.connections === 0);
  assert.equal(seen.cancelled, 2);
});

test("cancelling a client stream resets it and ends it once with CANCELLED", async (t) => {
  let cancelled = false;
  const open: RawMethod = {
    kind: "stream",
    path: "/t.Open/Ended",
    handle: (call) => call.onCancel(() => (cancelled = true)),
  };
  const { port } = await serve(t, { methods: [open] });
  const channel = await dial(t, port);
  const ends: CallEnd[] = [];
  const stream = channel.stream("/t.Open/Ended", {}, { message: () => {}, end: (end) => ends.push(end) });
  stream.write(Buffer.from("x"));
  stream.cancel();
  stream.cancel();
  assert.equal(stream.write(Buffer.from("y")), false);
  await eventually(() => cancelled);
  assert.deepEqual(
    ends.map((end) => end.code),
    [Status.CANCELLED],
  );
});

test("metadata, headers, trailers and status messages travel both ways", async (t) => {
  const mirror: RawMethod = {
    kind: "stream",
    path: "/t.Meta/Mirror",
    handle: (call) => {
      const own = call.metadata.filter(([name]) => name.startsWith("x-"));
      call.sendMetadata(own);
      call.onHalfClose(() => call.end(Status.ABORTED, "naïve 100% ✓\n", own));
    },
  };
  const { port } = await serve(t, { methods: [mirror] });
  const channel = await dial(t, port);
  const metadata = [
    ["x-text", "plain"],
    ["x-data-bin", Buffer.from([0, 255, 10])],
    ["x-text", "again"],
  ] as const;
  let headers: unknown;
  const end = await new Promise<CallEnd>((resolve) => {
    channel
      .stream(
        "/t.Meta/Mirror",
        { metadata },
        { message: () => {}, headers: (got) => (headers = got), end: resolve },
      )
      .halfClose();
  });
  assert.deepEqual(headers, metadata);
  assert.deepEqual(end, { code: Status.ABORTED, message: "naïve 100% ✓\n", trailers: metadata });
});

test("metadata too long for one frame travels in CONTINUATION", async (t) => {
  const size: RawMethod = {
    kind: "unary",
    path: "/t.Meta/Size",
    handle: (_, call) =>
      call.end(Status.ABORTED, String(call.metadata.find(([name]) => name === "x-long")?.[1].length)),
  };
  const { port } = await serve(t, { methods: [size] });
  const channel = await dial(t, port);
  const metadata = [["x-long", "v".repeat(40_000)]] as const;
  const answer = await callUnary(channel, "/t.Meta/Size", Buffer.alloc(0), { metadata });
  assert.deepEqual([answer.code, answer.message], [Status.ABORTED, "40000"]);
});

test("a handler that throws answers its status, or UNKNOWN and a report", async (t) => {
  const reports: string[] = [];
  const throwing: RawMethod[] = [
    {
      kind: "unary",
      path: "/t.Throw/Status",
      handle: () => {
        throw new RpcError(Status.NOT_FOUND, "no such thing");
      },
    },
    {
      kind: "stream",
      path: "/t.Throw/Defect",
      handle: (call) =>
        call.onMessage(() => {
          throw new TypeError("oops");
        }),
    },
  ];
  const { port } = await serve(t, {
    methods: throwing,
    onHandlerError: (error, path) => reports.push(`${path} ${String(error)}`),
  });
  const channel = await dial(t, port);
  const status = await callUnary(channel, "/t.Throw/Status", Buffer.alloc(0));
  assert.deepEqual([status.code, status.message], [Status.NOT_FOUND, "no such thing"]);
  assert.deepEqual(reports, []);
  const defect = await callUnary(channel, "/t.Throw/Defect", Buffer.alloc(0));
  assert.deepEqual([defect.code, defect.message], [Status.UNKNOWN, "oops"]);
  assert.deepEqual(reports, ["/t.Throw/Defect TypeError: oops"]);
});

const refusals: [what: string, http: string, status: Status, message: RegExp, fields: [string, string][]][] =
  [
    ["GET", "405", Status.INTERNAL, /:method "GET" which should be POST/, [[":method", "GET"]]],
    [
      "a path without a slash",
      "200",
      Status.UNIMPLEMENTED,
      /^malformed method name: "nonsense"$/,
      [[":path", "nonsense"]],
    ],
    [
      "a malformed timeout",
      "400",
      Status.INTERNAL,
      /^malformed grpc-timeout: "1x"$/,
      [["grpc-timeout", "1x"]],
    ],
    ["binary metadata that is not base64", "400", Status.INTERNAL, /x-bin/, [["x-bin", "***"]]],
  ];

for (const [what, http, status, message, fields] of refusals) {
  test(`${what} is answered with trailers only: HTTP ${http}, status ${status}`, async (t) => {
    const { port } = await serve(t);
    const peer = await RawPeer.open(port);
    const merged = new Map([...requestFields("/t.Echo/Unary"), ...fields]);
    peer.send(peer.headers(1, [...merged], Flag.END_HEADERS | Flag.END_STREAM));
    const last = await peer.ended(1);
    assert.equal(last.type, FrameType.HEADERS);
    const [headers] = peer.headersOf(1);
    assert.equal(headers?.[":status"], http);
    assert.equal(headers?.["grpc-status"], String(status));
    assert.match(decodeURIComponent(headers?.["grpc-message"] ?? ""), message);
    peer.socket.destroy();
  });
}

const malformed: [what: string, status: Status, body: Buffer][] = [
  ["no message", Status.INTERNAL, Buffer.alloc(0)],
  ["two messages", Status.INTERNAL, Buffer.concat([prefixed(Buffer.from("a")), prefixed(Buffer.from("b"))])],
  ["half a message", Status.INTERNAL, prefixed(Buffer.from("abcdef")).subarray(0, 8)],
  ["a compressed message without encoding", Status.INTERNAL, prefixed(Buffer.from("abc"), 1)],
];

for (const [what, status, body] of malformed) {
  test(`a unary request with ${what} ends in status ${status} without being called`, async (t) => {
    let called = false;
    const method: RawMethod = { kind: "unary", path: "/t.Not/Called", handle: () => void (called = true) };
    const { port } = await serve(t, { methods: [method] });
    const peer = await RawPeer.open(port);
    peer.send(peer.headers(1, requestFields("/t.Not/Called")), peer.data(1, body, true));
    await peer.ended(1);
    assert.equal(peer.headersOf(1)[0]?.["grpc-status"], String(status));
    assert.equal(called, false);
    peer.socket.destroy();
  });
}

test("an answer before the request is complete is followed by RST_STREAM NO_ERROR", async (t) => {
  const { port } = await serve(t);
  const peer = await RawPeer.open(port);
  peer.send(peer.headers(1, requestFields("/t.Echo/Nope")));
  const reset = await peer.until(() => peer.find(FrameType.RST_STREAM, 1));
  assert.equal(reset.payload.readUInt32BE(0), ErrorCode.NO_ERROR);
  assert.equal(peer.headersOf(1)[0]?.["grpc-status"], "12");
  peer.socket.destroy();
});

test("HTTP/1.1 on the same port goes to the HTTP server, also when it arrives in pieces", async (t) => {
  const http1 = createServer((request, response) => response.end(`hello ${request.url}`));
  const { port } = await serve(t, { http1 });
  const answer = await fetch(`http://127.0.0.1:${port}/health`);
  assert.equal(await answer.text(), "hello /health");
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let text = "";
  socket.on("data", (chunk) => (text += String(chunk)));
  for (const byte of "PUT /p HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n") {
    socket.write(byte);
    await new Promise(setImmediate);
  }
  await new Promise((resolve) => socket.once("close", resolve));
  assert.match(text, /hello \/p$/);
  http1.closeAllConnections();
});

test("without an HTTP server HTTP/1.1 is answered with 505", async (t) => {
  const { port } = await serve(t);
  assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 505);
});

test("a connection that ends or breaks off in its first bytes leaves nothing behind", async (t) => {
  const { port, server } = await serve(t);
  for (const bytes of ["", "PRI", "PRI * HTTP/2.0\r\n\r\nXX", "\0\0\0", "GET"]) {
    const peer = await RawPeer.bare(port);
    if (bytes !== "") peer.send(Buffer.from(bytes));
    peer.socket.end();
    await peer.closing();
  }
  assert.equal(server.connections, 0);
  const channel = await dial(t, port);
  assert.equal((await callUnary(channel, "/t.Echo/Unary", Buffer.alloc(1))).code, Status.OK);
});

test("the observer hears of every call once, and of the bytes", async (t) => {
  const heard: string[] = [];
  const bytes = { received: 0, sent: 0 };
  const observer: RpcObserver = {
    started: (path, kind) => heard.push(`started ${path} ${kind}`),
    handled: (path, kind, code, seconds) => {
      assert.ok(seconds >= 0 && seconds < 60);
      heard.push(`handled ${path} ${kind} ${code}`);
    },
    received: (count) => void (bytes.received += count),
    sent: (count) => void (bytes.sent += count),
  };
  const seen = { cancelled: 0 };
  const { port } = await serve(t, {
    observer,
    methods: [
      silent("/t.Never/Answers", seen),
      { kind: "unary", path: "/t.Echo/Unary", handle: (message, call) => call.respond(message) },
    ],
  });
  const peer = await RawPeer.open(port);
  peer.send(
    peer.request(1, "/t.Echo/Unary", Buffer.alloc(100)),
    peer.request(3, "/t.Never/Answers", Buffer.alloc(0)),
  );
  peer.send(frame(FrameType.RST_STREAM, 0, 3, uint32(ErrorCode.CANCEL)));
  await peer.roundTrip();
  assert.deepEqual(heard, [
    "started /t.Echo/Unary unary",
    "handled /t.Echo/Unary unary 0",
    "started /t.Never/Answers unary",
    "handled /t.Never/Answers unary 1",
  ]);
  assert.ok(bytes.received > 200 && bytes.sent > 100);
  peer.socket.destroy();
});

test("methods added while running are served on connections that asked for them before", async (t) => {
  const { port, server } = await serve(t);
  const channel = await dial(t, port);
  assert.equal((await callUnary(channel, "/t.New/Method", Buffer.alloc(0))).code, Status.UNIMPLEMENTED);
  server.addMethods([
    { kind: "unary", path: "/t.New/Method", handle: (message, call) => call.respond(message) },
  ]);
  assert.equal((await callUnary(channel, "/t.New/Method", Buffer.alloc(0))).code, Status.OK);
  assert.throws(
    () => server.addMethods([{ kind: "unary", path: "/t.New/Method", handle: () => {} }]),
    /already served/,
  );
  assert.throws(() => server.addMethods([{ kind: "unary", path: "Method", handle: () => {} }]), /malformed/);
});

test("trailers that cannot be sent are the handler's defect: reported, and the call still ends", async (t) => {
  const reports: string[] = [];
  const bad: RawMethod = {
    kind: "unary",
    path: "/t.Bad/Trailers",
    handle: () => {
      throw new RpcError(Status.ABORTED, "x", [["Bad Name", "v"]]);
    },
  };
  const { port } = await serve(t, { methods: [bad], onHandlerError: (error) => reports.push(String(error)) });
  const answer = await callUnary(await dial(t, port), "/t.Bad/Trailers", Buffer.alloc(0));
  assert.equal(answer.code, Status.UNKNOWN);
  assert.match(reports.join(), /invalid metadata name/);
});
