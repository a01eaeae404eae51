import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { HeaderField } from "./hpack/decoder.js";
import { ErrorCode, Flag, FrameType, frame, Setting } from "./http2/frames.js";
import { serve } from "./testing/pair.js";
import { RawPeer, requestFields, uint32 } from "./testing/raw-peer.js";

const ended = Flag.END_HEADERS | Flag.END_STREAM;

function fields(method: string, ...more: HeaderField[]): HeaderField[] {
  return [[":method", method], [":scheme", "http"], [":path", "/"], [":authority", "test"], ...more];
}

async function connected(
  t: TestContext,
  settings: readonly (readonly [number, number])[] = [],
): Promise<RawPeer> {
  const { port } = await serve(t);
  const peer = await RawPeer.open(port, settings);
  t.after(() => peer.socket.destroy());
  return peer;
}

test("a request that is not gRPC gets 415 and a line of text that says so", async (t) => {
  const peer = await connected(t);
  peer.send(peer.headers(1, fields("GET"), ended));
  await peer.ended(1);
  const [headers] = peer.headersOf(1);
  assert.equal(headers?.[":status"], "415");
  assert.match(headers["content-type"]!, /^text\/plain/);
  assert.equal(headers["grpc-status"], "3");
  const body = peer.dataOf(1).toString();
  assert.equal(body, 'invalid gRPC request content-type ""\n');
  assert.equal(headers["content-length"], String(body.length));
});

test("HEAD gets the same headers and no body", async (t) => {
  const peer = await connected(t);
  peer.send(peer.headers(1, fields("HEAD"), ended));
  await peer.ended(1);
  assert.equal(peer.headersOf(1)[0]?.[":status"], "415");
  assert.equal(peer.dataOf(1).length, 0);
});

test("the answer comes behind the end of the request, with its body and trailers", async (t) => {
  const peer = await connected(t);
  peer.send(
    peer.headers(1, requestFields("/", ["content-length", "6"]).with(4, ["content-type", "text/html"])),
  );
  peer.send(peer.data(1, Buffer.from("abc")));
  await peer.roundTrip();
  assert.deepEqual(peer.headersOf(1), []);
  peer.send(peer.data(1, Buffer.from("def")), peer.headers(1, [["x-check", "1"]], ended));
  await peer.ended(1);
  assert.equal(peer.headersOf(1)[0]?.[":status"], "415");
  assert.equal(peer.find(FrameType.RST_STREAM, 1), undefined);
});

test("a body longer or shorter than content-length is PROTOCOL_ERROR (RFC 9113 section 8.1.1)", async (t) => {
  const peer = await connected(t);
  peer.send(peer.headers(1, fields("POST", ["content-length", "2"])), peer.data(1, Buffer.from("abc"), true));
  peer.send(peer.headers(3, fields("POST", ["content-length", "9"])), peer.data(3, Buffer.from("abc"), true));
  for (const id of [1, 3]) {
    const last = await peer.ended(id);
    assert.equal(last.type, FrameType.RST_STREAM);
    assert.equal(last.payload.readUInt32BE(0), ErrorCode.PROTOCOL_ERROR);
  }
});

test("a body without end is not read for ever", async (t) => {
  const peer = await connected(t);
  peer.send(peer.headers(1, fields("POST")));
  const piece = peer.data(1, Buffer.alloc(65_536));
  for (let sent = 0; sent < 20; sent++) {
    peer.send(piece);
    await peer.roundTrip();
  }
  await peer.ended(1);
  assert.equal(peer.headersOf(1)[0]?.[":status"], "415");
  const reset = await peer.until(() => peer.find(FrameType.RST_STREAM, 1));
  assert.equal(reset.payload.readUInt32BE(0), ErrorCode.NO_ERROR);
});

test("the text obeys the window: a byte at a time, then the rest", async (t) => {
  const peer = await connected(t, [[Setting.INITIAL_WINDOW_SIZE, 1]]);
  peer.send(peer.headers(1, fields("GET"), ended));
  await peer.until(() => peer.dataOf(1).length === 1);
  await peer.roundTrip();
  assert.equal(peer.dataOf(1).length, 1);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 1, uint32(1000)));
  await peer.ended(1);
  assert.equal(peer.dataOf(1).toString(), 'invalid gRPC request content-type ""\n');
});

test("requests never finished count as streams", async (t) => {
  const { port } = await serve(t, { limits: { concurrentStreams: 3 } });
  const peer = await RawPeer.open(port);
  t.after(() => peer.socket.destroy());
  for (const id of [1, 3, 5, 7]) peer.send(peer.headers(id, fields("POST")));
  const last = await peer.ended(7);
  assert.equal(last.payload.readUInt32BE(0), ErrorCode.REFUSED_STREAM);
});
