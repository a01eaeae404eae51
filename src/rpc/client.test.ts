import assert from "node:assert/strict";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { type CallEnd, RpcError, Status } from "./call.js";
import { RpcChannel } from "./client.js";
import { clientPreface, ErrorCode, Flag, FrameType, frame, settingsPayload } from "./http2/frames.js";
import { callUnary, dial, eventually, serve } from "./testing/pair.js";
import { prefixed, RawPeer, uint32 } from "./testing/raw-peer.js";

/** A channel and the other end of its connection, in the test's hands; SETTINGS are exchanged. */
async function manual(
  t: TestContext,
  settings: [number, number][] = [],
): Promise<{ channel: RpcChannel; peer: RawPeer }> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const accepted = new Promise<Socket>((resolve) => listener.once("connection", resolve));
  const channel = new RpcChannel({ host: "127.0.0.1", port: (listener.address() as AddressInfo).port });
  const connected = channel.connect();
  const socket = await accepted;
  const preface = await new Promise<Buffer>((resolve) => {
    socket.once("data", (chunk: Buffer) => {
      socket.pause();
      resolve(chunk);
    });
  });
  assert.deepEqual(preface.subarray(0, clientPreface.length), clientPreface);
  socket.unshift(preface.subarray(clientPreface.length));
  const peer = RawPeer.over(socket);
  socket.resume();
  peer.send(frame(FrameType.SETTINGS, 0, 0, settingsPayload(settings)));
  await connected;
  t.after(() => {
    channel.close();
    socket.destroy();
    listener.close();
  });
  return { channel, peer };
}

const okHeaders: [string, string][] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
const ended = Flag.END_HEADERS | Flag.END_STREAM;

function reply(peer: RawPeer, id: number, message: Uint8Array): Buffer {
  return Buffer.concat([
    peer.headers(id, okHeaders),
    peer.data(id, prefixed(message)),
    peer.headers(id, [["grpc-status", "0"]], ended),
  ]);
}

test("calls without a connection fail with UNAVAILABLE, and connecting to nobody rejects", async (t) => {
  const { port, server } = await serve(t);
  server.close();
  const channel = new RpcChannel({ host: "127.0.0.1", port });
  assert.equal((await callUnary(channel, "/t.Echo/Unary", Buffer.alloc(0))).code, Status.UNAVAILABLE);
  await assert.rejects(
    channel.connect(),
    (error) => error instanceof RpcError && error.code === Status.UNAVAILABLE,
  );
  assert.equal(channel.ready, false);
});

test("a server that never speaks HTTP/2 makes connect() reject in time", async (t) => {
  const sockets: Socket[] = [];
  const listener = createServer((socket) => void sockets.push(socket.on("error", () => {})));
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const { port } = listener.address() as AddressInfo;
  const channel = new RpcChannel({ host: "127.0.0.1", port, limits: { handshakeTimeoutMs: 50 } });
  await assert.rejects(channel.connect(), /SETTINGS_TIMEOUT/);
});

test("running calls end with UNAVAILABLE when the connection is lost; it can be made again", async (t) => {
  const { port, server } = await serve(t, {
    methods: [
      { kind: "unary", path: "/t.Cut/Off", handle: (_, call) => void call },
      { kind: "unary", path: "/t.Echo/Unary", handle: (message, call) => call.respond(message) },
    ],
  });
  const sockets: Socket[] = [];
  const { connect } = await import("node:net");
  const channel = await dial(t, port, {
    dial: () => {
      const socket = connect(port, "127.0.0.1");
      sockets.push(socket);
      return socket;
    },
  });
  const closed = new Promise<string>((resolve) => channel.onClose(resolve));
  const running = callUnary(channel, "/t.Cut/Off", Buffer.alloc(0));
  await eventually(() => server.connections === 1);
  sockets[0]!.destroy();
  assert.equal((await running).code, Status.UNAVAILABLE);
  await closed;
  assert.equal(channel.ready, false);
  await channel.connect();
  assert.equal((await callUnary(channel, "/t.Echo/Unary", Buffer.from("a"))).code, Status.OK);
});

test("calls beyond the server's stream limit wait their turn in order", async (t) => {
  const { channel, peer } = await manual(t, [[3, 2]]);
  const answers: Promise<{ code: Status; bytes: Uint8Array | undefined }>[] = [];
  for (let index = 0; index < 5; index++) answers.push(callUnary(channel, "/t.X/Y", Buffer.from([index])));
  await peer.ended(3);
  await peer.roundTrip();
  assert.equal(peer.find(FrameType.HEADERS, 5), undefined);
  for (let index = 0; index < 5; index++) {
    const id = 2 * index + 1;
    await peer.ended(id);
    assert.deepEqual(peer.dataOf(id), prefixed(Buffer.from([index])));
    peer.send(reply(peer, id, Buffer.from([index])));
    const answer = await answers[index]!;
    assert.deepEqual([answer.code, ...answer.bytes!], [Status.OK, index]);
  }
});

test("a call that waits can run out of time or be cancelled without ever being sent", async (t) => {
  const { channel, peer } = await manual(t, [[3, 0]]);
  const late = await callUnary(channel, "/t.X/Y", Buffer.alloc(0), { timeoutMs: 15 });
  assert.equal(late.code, Status.DEADLINE_EXCEEDED);
  const end = await new Promise<CallEnd>((resolve) => {
    channel.stream("/t.X/Y", {}, { message: () => {}, end: resolve }).cancel();
  });
  assert.equal(end.code, Status.CANCELLED);
  peer.send(frame(FrameType.SETTINGS, 0, 0, settingsPayload([[3, 10]])));
  await peer.roundTrip();
  assert.equal(peer.find(FrameType.HEADERS, 1), undefined);
});

test("GOAWAY fails what the server will not handle, lets the rest finish, then closes", async (t) => {
  const { channel, peer } = await manual(t);
  const first = callUnary(channel, "/t.X/Y", Buffer.alloc(0));
  const second = callUnary(channel, "/t.X/Y", Buffer.alloc(0));
  await peer.ended(3);
  const closed = new Promise<string>((resolve) => channel.onClose(resolve));
  peer.send(frame(FrameType.GOAWAY, 0, 0, Buffer.concat([uint32(1, 0), Buffer.from("bye")])));
  const lost = await second;
  assert.deepEqual([lost.code, /GOAWAY NO_ERROR: bye/.test(lost.message)], [Status.UNAVAILABLE, true]);
  assert.equal(channel.ready, false);
  peer.send(reply(peer, 1, Buffer.from("done")));
  assert.equal((await first).code, Status.OK);
  assert.match(await closed, /GOAWAY/);
});

const resets: [code: ErrorCode, status: Status][] = [
  [ErrorCode.REFUSED_STREAM, Status.UNAVAILABLE],
  [ErrorCode.CANCEL, Status.CANCELLED],
  [ErrorCode.ENHANCE_YOUR_CALM, Status.RESOURCE_EXHAUSTED],
  [ErrorCode.PROTOCOL_ERROR, Status.INTERNAL],
];

test("a reset by the server ends the call with the status gRPC maps it to", async (t) => {
  const { channel, peer } = await manual(t);
  let id = 1;
  for (const [code, status] of resets) {
    const answer = callUnary(channel, "/t.X/Y", Buffer.alloc(0));
    await peer.ended(id);
    peer.send(frame(FrameType.RST_STREAM, 0, id, uint32(code)));
    assert.equal((await answer).code, status);
    id += 2;
  }
});

test("a server that resets a call because of its deadline does not make it look cancelled", async (t) => {
  const { channel, peer } = await manual(t);
  const deadline = performance.now() + 5;
  const answer = callUnary(channel, "/t.X/Y", Buffer.alloc(0), { timeoutMs: 5 });
  await peer.ended(1);
  // Before our own timer, which may be up to 10 ms late, has its turn.
  while (performance.now() < deadline);
  peer.send(frame(FrameType.RST_STREAM, 0, 1, uint32(ErrorCode.CANCEL)));
  assert.equal((await answer).code, Status.DEADLINE_EXCEEDED);
});

const oddAnswers: [what: string, status: Status, send: (peer: RawPeer, id: number) => Buffer][] = [
  ["HTTP 503", Status.UNAVAILABLE, (peer, id) => peer.headers(id, [[":status", "503"]], ended)],
  ["HTTP 404 that goes on", Status.UNIMPLEMENTED, (peer, id) => peer.headers(id, [[":status", "404"]])],
  [
    "another content-type",
    Status.UNKNOWN,
    (peer, id) =>
      peer.headers(id, [
        [":status", "200"],
        ["content-type", "text/html"],
      ]),
  ],
  [
    "trailers only",
    Status.NOT_FOUND,
    (peer, id) => peer.headers(id, [...okHeaders, ["grpc-status", "5"]], ended),
  ],
  [
    "an unknown status",
    Status.UNKNOWN,
    (peer, id) => peer.headers(id, [...okHeaders, ["grpc-status", "99"]], ended),
  ],
  [
    "trailers without status",
    Status.INTERNAL,
    (peer, id) => Buffer.concat([peer.headers(id, okHeaders), peer.headers(id, [["x", "y"]], ended)]),
  ],
  [
    "END_STREAM on DATA",
    Status.INTERNAL,
    (peer, id) =>
      Buffer.concat([peer.headers(id, okHeaders), peer.data(id, prefixed(Buffer.alloc(1)), true)]),
  ],
  [
    "OK without a message",
    Status.INTERNAL,
    (peer, id) =>
      Buffer.concat([peer.headers(id, okHeaders), peer.headers(id, [["grpc-status", "0"]], ended)]),
  ],
  [
    "informational headers first",
    Status.OK,
    (peer, id) => Buffer.concat([peer.headers(id, [[":status", "103"]]), reply(peer, id, Buffer.alloc(1))]),
  ],
  ["DATA before HEADERS", Status.UNAVAILABLE, (peer, id) => peer.data(id, Buffer.alloc(3))],
  ["no :status", Status.UNAVAILABLE, (peer, id) => peer.headers(id, [["grpc-status", "0"]], ended)],
];

test("answers that are not as gRPC wants them end the call, not the connection", async (t) => {
  const { channel, peer } = await manual(t);
  let id = 1;
  for (const [what, status, send] of oddAnswers) {
    const answer = callUnary(channel, "/t.X/Y", Buffer.alloc(0));
    await peer.ended(id);
    peer.send(send(peer, id));
    assert.equal((await answer).code, status, what);
    id += 2;
  }
  assert.equal(channel.ready, true);
});

test("a paused client stream holds the server back", async (t) => {
  const message = Buffer.alloc(10_000);
  let written = 0;
  const { port } = await serve(t, {
    methods: [
      {
        kind: "stream",
        path: "/t.Fire/Hose",
        handle: (call) => {
          const write = (): void => {
            while (written < 1000) {
              written++;
              if (!call.write(message)) return;
            }
            call.end(Status.OK);
          };
          call.onDrain(write);
          write();
        },
      },
    ],
  });
  const channel = await dial(t, port, { limits: { streamWindowBytes: 100_000 } });
  let got = 0;
  let end: CallEnd | undefined;
  const stream = channel.stream(
    "/t.Fire/Hose",
    {},
    {
      message: () => {
        if (++got === 3) stream.pause(true);
      },
      end: (how) => (end = how),
    },
  );
  await eventually(() => got === 3);
  // Nothing more may arrive, however often the loop turns.
  for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate);
  assert.equal(got, 3);
  assert.ok(written < 200, `${written} written`);
  stream.pause(false);
  await eventually(() => end !== undefined);
  assert.deepEqual([end!.code, got], [Status.OK, 1000]);
});
