import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import fc from "fast-check";
import { type CallEnd, type RawMethod, Status, type StreamCall } from "./call.js";
import type { HeaderField } from "./hpack/decoder.js";
import { callUnary, dial, echoMethods, eventually, serve } from "./testing/pair.js";
import { prefixed, RawPeer, requestFields } from "./testing/raw-peer.js";

const encoded: HeaderField = ["grpc-encoding", "gzip"];
const accepting: HeaderField = ["grpc-accept-encoding", "identity,deflate, gzip"];
const text = Buffer.alloc(5000, "etcd and quorate ");

interface RawReply {
  readonly headers: Record<string, string>;
  readonly trailers: Record<string, string>;
  readonly flag: number | undefined;
  readonly message: Buffer;
}

/** What a raw unary request with these header fields and this body is answered. */
async function ask(
  t: TestContext,
  port: number,
  fields: readonly HeaderField[],
  body: Uint8Array,
  path = "/t.Echo/Unary",
): Promise<RawReply> {
  const peer = await RawPeer.open(port);
  t.after(() => peer.socket.destroy());
  peer.send(peer.headers(1, requestFields(path, ...fields)), peer.data(1, body, true));
  await peer.ended(1);
  const [headers, trailers] = peer.headersOf(1);
  const data = peer.dataOf(1);
  return {
    headers: headers ?? {},
    trailers: trailers ?? headers ?? {},
    flag: data[0],
    message: data.subarray(5),
  };
}

test("a compressed request is unpacked and answered compressed", async (t) => {
  const { port } = await serve(t);
  const reply = await ask(t, port, [encoded, accepting], prefixed(gzipSync(text), 1));
  assert.equal(reply.headers["grpc-encoding"], "gzip");
  assert.equal(reply.flag, 1);
  assert.ok(reply.message.length < 500);
  assert.deepEqual(gunzipSync(reply.message), text);
});

test("messages below the threshold are not compressed, whatever was announced", async (t) => {
  const { port } = await serve(t, { limits: { compressFromBytes: text.length + 1 } });
  const reply = await ask(t, port, [encoded, accepting], prefixed(text));
  assert.equal(reply.flag, 0);
  assert.deepEqual(reply.message, text);
});

test("what does not shrink is sent as it is", async (t) => {
  const { port } = await serve(t);
  const packed = gzipSync(Buffer.from(Array.from({ length: 2000 }, () => Math.floor(Math.random() * 256))));
  const reply = await ask(t, port, [encoded, accepting], prefixed(packed));
  assert.equal(reply.flag, 0);
  assert.deepEqual(reply.message, packed);
});

test("who accepts gzip and does not use it gets no gzip, as from grpc-go", async (t) => {
  const { port } = await serve(t);
  const reply = await ask(t, port, [accepting], prefixed(text));
  assert.equal(reply.headers["grpc-encoding"], undefined);
  assert.equal(reply.flag, 0);
});

test("who uses gzip and accepts only others gets no gzip", async (t) => {
  const { port } = await serve(t);
  const fields: HeaderField[] = [encoded, ["grpc-accept-encoding", "snappy"]];
  const reply = await ask(t, port, fields, prefixed(gzipSync(text), 1));
  assert.equal(reply.flag, 0);
  assert.deepEqual(reply.message, text);
});

test("a handler switches compression on and off, but not for who does not accept it", async (t) => {
  const choose: RawMethod = {
    kind: "unary",
    path: "/t.Choose/Unary",
    handle: (message, call) => {
      call.compression?.compress(call.metadata.some(([name]) => name === "pack"));
      call.respond(message);
    },
  };
  const { port } = await serve(t, { methods: [choose] });
  const flag = async (...fields: HeaderField[]): Promise<number | undefined> =>
    (await ask(t, port, fields, prefixed(text), choose.path)).flag;
  assert.equal(await flag(accepting, ["pack", "1"]), 1);
  assert.equal(await flag(["pack", "1"]), 0);
  assert.equal(await flag(encoded, accepting), 0);
});

test("an unknown encoding is UNIMPLEMENTED and the caller learns which are known", async (t) => {
  const { port } = await serve(t);
  const { headers } = await ask(t, port, [["grpc-encoding", "zstd"]], prefixed(text));
  assert.equal(headers["grpc-status"], String(Status.UNIMPLEMENTED));
  assert.equal(headers["grpc-message"], 'grpc: Decompressor is not installed for grpc-encoding "zstd"');
  assert.equal(headers["grpc-accept-encoding"], "gzip");
  const identity = await ask(t, port, [["grpc-encoding", "identity"]], prefixed(text));
  assert.deepEqual(identity.message, text);
});

test("a message compressed without announcement, damaged, or too long when unpacked ends the call", async (t) => {
  const { port } = await serve(t);
  const status = async (fields: HeaderField[], body: Buffer): Promise<string | undefined> =>
    (await ask(t, port, fields, body)).trailers["grpc-status"];
  assert.equal(await status([], prefixed(gzipSync(text), 1)), String(Status.INTERNAL));
  assert.equal(await status([encoded], prefixed(text, 1)), String(Status.INTERNAL));
  const bomb = prefixed(gzipSync(Buffer.alloc(50_000_000)), 1);
  assert.equal(await status([encoded], bomb), String(Status.RESOURCE_EXHAUSTED));
});

test("messages of any size and mix arrive in order both ways, compressed or not", async (t) => {
  const { port } = await serve(t);
  const channel = await dial(t, port, { limits: { compressFromBytes: 500 } });
  const sizes = fc.array(fc.oneof(fc.nat(100), fc.nat(20_000), fc.nat(120_000)), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(sizes, fc.boolean(), async (lengths, compress) => {
      const sent = lengths.map((length, index) => Buffer.alloc(length, `${index} of ${lengths.length}, `));
      const received: Buffer[] = [];
      const end = await new Promise<CallEnd>((resolve) => {
        const stream = channel.stream(
          "/t.Echo/Bidi",
          { compress },
          { message: (message) => received.push(Buffer.from(message)), end: resolve },
        );
        for (const message of sent) stream.write(message);
        stream.halfClose();
      });
      assert.equal(end.code, Status.OK, end.message);
      assert.ok(
        received.length === sent.length && received.every((message, index) => message.equals(sent[index]!)),
      );
    }),
    { numRuns: 40 },
  );
});

test("unary calls of the client travel compressed, small and large", async (t) => {
  const { port } = await serve(t);
  const channel = await dial(t, port);
  for (const size of [0, 1023, 1024, 16_384, 16_385, 1_000_000, 2_000_000]) {
    const message = Buffer.alloc(size, "0123456789");
    const { code, bytes } = await callUnary(channel, "/t.Echo/Unary", message, { compress: true });
    assert.equal(code, Status.OK);
    assert.ok(message.equals(bytes!), `${size} bytes`);
  }
});

test("a reader that pauses while a message is unpacked gets it, and the rest, when it resumes", async (t) => {
  let call: StreamCall | undefined;
  const seen: number[] = [];
  let halfClosed = false;
  const pausing: RawMethod = {
    kind: "stream",
    path: "/t.Pausing/Stream",
    handle: (opened) => {
      call = opened;
      opened.onMessage((message) => {
        seen.push(message.length);
        opened.pause(true);
      });
      opened.onHalfClose(() => {
        halfClosed = true;
        opened.end(Status.OK);
      });
    },
  };
  const { port } = await serve(t, { methods: [pausing] });
  const channel = await dial(t, port);
  const ended = new Promise<CallEnd>((end) => {
    const stream = channel.stream(pausing.path, { compress: true }, { message: () => {}, end });
    stream.write(Buffer.alloc(300_000));
    stream.write(Buffer.alloc(10));
    stream.halfClose();
  });
  await eventually(() => seen.length === 1);
  assert.equal(halfClosed, false);
  // Resumes and pauses again at once, then in its own time.
  call?.pause(false);
  await eventually(() => seen.length === 2);
  call?.pause(false);
  assert.equal((await ended).code, Status.OK);
  assert.deepEqual(seen, [300_000, 10]);
});

test("compressed messages that are never finished are held up to the connection's bound, not beyond", async (t) => {
  const { port } = await serve(t, { limits: { connectionHeldBytes: 4_000_000 } });
  const peer = await RawPeer.open(port);
  t.after(() => peer.socket.destroy());
  const large = prefixed(gzipSync(Buffer.alloc(1_000_000)), 1);
  const ids = Array.from({ length: 20 }, (_, index) => 2 * index + 1);
  for (const id of ids) {
    peer.send(peer.headers(id, requestFields("/t.Echo/Unary", encoded)), peer.data(id, large));
  }
  const refused = (): number =>
    ids.filter((id) => peer.headersOf(id)[0]?.["grpc-status"] === String(Status.RESOURCE_EXHAUSTED)).length;
  await peer.until(() => refused() === ids.length - 4, "all but four were refused");
});

test("grpc-js in gzip calls our server", async (t) => {
  const { port } = await serve(t, { methods: echoMethods });
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.default_compression_algorithm": 2,
  });
  t.after(() => client.close());
  const identity = (value: Buffer): Buffer => value;
  for (const size of [10, 5000, 200_000]) {
    const message = Buffer.alloc(size, "abc");
    const reply = await new Promise<Buffer>((resolve, reject) => {
      client.makeUnaryRequest(
        "/t.Echo/Unary",
        identity,
        identity,
        message,
        new Metadata(),
        (error, value) => {
          if (error !== null) reject(error);
          else resolve(value ?? Buffer.alloc(0));
        },
      );
    });
    assert.ok(reply.equals(message), `${size} bytes`);
  }
});
