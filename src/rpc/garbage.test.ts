import assert from "node:assert/strict";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { Status } from "./call.js";
import { RpcChannel } from "./client.js";
import { clientPreface, FrameType, frame } from "./http2/frames.js";
import { callUnary, dial, eventually, serve } from "./testing/pair.js";
import { prefixed, RawPeer, requestFields } from "./testing/raw-peer.js";

/** Frames that are sometimes right and mostly not, with payloads that look like something. */
const anyFrame = fc.oneof(
  fc
    .record({
      type: fc.integer({ min: 0, max: 10 }),
      flags: fc.constantFrom(0, 1, 4, 5, 8, 9, 0x20, 0x2d, 0xff),
      id: fc.constantFrom(0, 1, 2, 3, 5, 7, 0x7fffffff),
      payload: fc.uint8Array({ maxLength: 40 }),
    })
    .map(({ type, flags, id, payload }) => frame(type, flags, id, payload)),
  fc.constantFrom(1, 3, 5, 7, 9).map((id) => frame(FrameType.DATA, 1, id, prefixed(Buffer.from("body")))),
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
);

test("whatever frames a client sends, the server stays up and lets go of the connection", async (t) => {
  const defects: unknown[] = [];
  const errors: string[] = [];
  const { port, server } = await serve(t, {
    onHandlerError: (error) => defects.push(error),
    onConnectionError: (_, __, reason) => errors.push(reason),
  });
  const good = await dial(t, port);
  await fc.assert(
    fc.asyncProperty(fc.array(anyFrame, { maxLength: 12 }), fc.boolean(), async (frames, opened) => {
      const peer = await RawPeer.bare(port);
      peer.send(clientPreface, frame(FrameType.SETTINGS, 0, 0));
      if (opened) {
        peer.send(
          peer.headers(1, requestFields("/t.Echo/Bidi")),
          peer.headers(3, requestFields("/t.Echo/Later")),
        );
      }
      for (const bytes of frames) peer.send(bytes);
      peer.socket.end();
      await peer.closing();
      await eventually(() => server.connections === 1);
    }),
    { numRuns: 150 },
  );
  assert.equal((await callUnary(good, "/t.Echo/Unary", Buffer.from("x"))).code, Status.OK);
  assert.deepEqual(defects, []);
  assert.deepEqual(
    errors.filter((reason) => reason.startsWith("INTERNAL_ERROR")),
    [],
  );
  assert.ok(errors.length > 50, "the frames are bad enough");
  assert.equal(server.deadlines.size, 0);
});

test("whatever frames a server sends, every call ends once and the channel closes", async (t) => {
  const sockets: Socket[] = [];
  let answer: Buffer[] = [];
  const listener = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write(frame(FrameType.SETTINGS, 0, 0));
      socket.once("data", () => {
        for (const bytes of answer) socket.write(bytes);
        socket.end();
      });
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const { port } = listener.address() as AddressInfo;
  await fc.assert(
    fc.asyncProperty(fc.array(anyFrame, { maxLength: 12 }), async (frames) => {
      answer = frames;
      const channel = new RpcChannel({ host: "127.0.0.1", port });
      let closed = "";
      channel.onClose((reason) => {
        closed = reason;
      });
      await channel.connect();
      const calls = Array.from({ length: 3 }, () => callUnary(channel, "/t.X/Y", Buffer.from("abc")));
      for (const { code } of await Promise.all(calls)) assert.notEqual(code, undefined);
      await eventually(() => closed !== "");
      assert.doesNotMatch(closed, /INTERNAL_ERROR/);
      channel.close();
    }),
    { numRuns: 150 },
  );
});
