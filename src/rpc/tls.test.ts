import assert from "node:assert/strict";
import { createServer } from "node:http";
import { request } from "node:https";
import { connect as connectPlain } from "node:net";
import { type TestContext, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { type CallEnd, Status } from "./call.js";
import { RpcChannel } from "./client.js";
import { Authority } from "./testing/certificates.js";
import { callUnary, dial, eventually, serve } from "./testing/pair.js";

const authority = new Authority();
const stranger = new Authority("somebody else");
const loopback = { dns: ["localhost"], addresses: ["127.0.0.1"] };
const server = authority.issue("server", loopback);
const trusting = { authorities: authority.cert };

/** What the connection attempt of this channel is refused for. */
async function refusal(
  t: TestContext,
  port: number,
  tls: ConstructorParameters<typeof RpcChannel>[0]["tls"] | undefined,
): Promise<string> {
  const channel = new RpcChannel({ host: "127.0.0.1", port, ...(tls === undefined ? {} : { tls }) });
  t.after(() => channel.close());
  const error = await channel.connect().then(
    () => assert.fail("the connection was made"),
    (reason: Error & { code?: number }) => reason,
  );
  assert.equal(error.code, Status.UNAVAILABLE);
  return error.message;
}

/** A TLS connection that offers these protocols, when its handshake is done. */
async function handshake(t: TestContext, port: number, protocols: string[]): Promise<TLSSocket> {
  const socket = connectTls({ host: "127.0.0.1", port, ca: authority.cert, ALPNProtocols: protocols });
  t.after(() => socket.destroy());
  await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  return socket;
}

test("unary calls and streams of all sizes go through TLS", async (t) => {
  const { port } = await serve(t, { tls: server });
  const channel = await dial(t, port, { tls: trusting });
  for (const size of [0, 1, 16_384, 100_000, 2_000_000]) {
    const message = Buffer.alloc(size, size % 251);
    const { code, bytes } = await callUnary(channel, "/t.Echo/Unary", message);
    assert.equal(code, Status.OK);
    assert.ok(message.equals(bytes!), `${size} bytes`);
  }
  const lengths: number[] = [];
  const end = await new Promise<CallEnd>((resolve) => {
    const events = { message: (message: Uint8Array) => lengths.push(message.length), end: resolve };
    const stream = channel.stream("/t.Echo/Bidi", {}, events);
    for (let index = 0; index < 200; index++) stream.write(Buffer.alloc(index * 331));
    stream.halfClose();
  });
  assert.equal(end.code, Status.OK);
  assert.deepEqual(
    lengths,
    Array.from({ length: 200 }, (_, index) => index * 331),
  );
});

test("grpc-js calls through TLS", async (t) => {
  const { port } = await serve(t, { tls: server });
  const client = new Client(`localhost:${port}`, credentials.createSsl(Buffer.from(authority.cert)));
  t.after(() => client.close());
  const identity = (value: Buffer): Buffer => value;
  const message = Buffer.alloc(100_000, "tls");
  const reply = await new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest("/t.Echo/Unary", identity, identity, message, new Metadata(), (error, value) => {
      if (error !== null) reject(error);
      else resolve(value ?? Buffer.alloc(0));
    });
  });
  assert.ok(reply.equals(message));
});

test("the client refuses a server it has no reason to trust, and one of another name", async (t) => {
  const { port } = await serve(t, { tls: server });
  assert.match(await refusal(t, port, {}), /certificate/);
  assert.match(await refusal(t, port, { authorities: stranger.cert }), /certificate/);
  assert.match(await refusal(t, port, { ...trusting, serverName: "example.org" }), /example\.org/);
});

test("a server that wants certificates serves those who have one of its authority, and tells why not others", async (t) => {
  const refused: string[] = [];
  const { port } = await serve(t, {
    tls: { ...server, clientAuthorities: authority.cert },
    onHandshakeRefused: (_, reason) => refused.push(reason),
  });
  const channel = await dial(t, port, { tls: { ...trusting, ...authority.issue("client") } });
  assert.equal((await callUnary(channel, "/t.Echo/Unary", Buffer.alloc(1))).code, Status.OK);
  assert.deepEqual(refused, []);
  await refusal(t, port, trusting);
  await eventually(() => refused.length === 1);
  await refusal(t, port, { ...trusting, ...stranger.issue("client") });
  await eventually(() => refused.length === 2);
  assert.match(refused[0]!, /certificate/i);
  assert.match(refused[1]!, /UNABLE_TO|SELF_SIGNED|certificate/i);
});

test("plain text on a TLS port is refused, and the next connection is served", async (t) => {
  const refused: string[] = [];
  const peers: string[] = [];
  const { port } = await serve(t, {
    tls: server,
    onHandshakeRefused: (peer, reason) => {
      peers.push(peer);
      refused.push(reason);
    },
  });
  await refusal(t, port, undefined);
  const socket = connectPlain({ host: "127.0.0.1", port });
  socket.on("error", () => {}).resume();
  socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  await new Promise((resolve) => socket.once("close", resolve));
  await eventually(() => refused.length === 2);
  assert.match(peers[0]!, /^127\.0\.0\.1:[1-9]\d*$/);
  const channel = await dial(t, port, { tls: trusting });
  assert.equal((await callUnary(channel, "/t.Echo/Unary", Buffer.alloc(1))).code, Status.OK);
});

test("HTTP/1.1 over TLS goes to the HTTP server", async (t) => {
  const http1 = createServer((_, response) => response.end("hello"));
  const { port } = await serve(t, { tls: server, http1 });
  const status = await new Promise<number | undefined>((resolve, reject) => {
    request({ host: "127.0.0.1", port, ca: authority.cert, agent: false }, (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode));
    })
      .once("error", reject)
      .end();
  });
  assert.equal(status, 200);
});

test("who agreed on one protocol and speaks another is cut off", async (t) => {
  const { port } = await serve(t, { tls: server, http1: createServer() });
  for (const [agreed, bytes] of [
    ["h2", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"],
    ["http/1.1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ] as const) {
    const socket = await handshake(t, port, [agreed]);
    assert.equal(socket.alpnProtocol, agreed);
    socket.on("error", () => {});
    socket.resume();
    socket.write(bytes);
    await new Promise((resolve) => socket.once("close", resolve));
  }
});

test("new certificates count for new connections, old connections go on", async (t) => {
  const serving = await serve(t, { tls: server });
  const before = await dial(t, serving.port, { tls: trusting });
  serving.server.updateTls(stranger.issue("server", loopback));
  assert.match(await refusal(t, serving.port, trusting), /certificate/);
  await dial(t, serving.port, { tls: { authorities: stranger.cert } });
  assert.equal((await callUnary(before, "/t.Echo/Unary", Buffer.alloc(1))).code, Status.OK);
  const mismatch = { cert: server.cert, key: stranger.issue("server").key };
  assert.throws(() => serving.server.updateTls(mismatch));
  await dial(t, serving.port, { tls: { authorities: stranger.cert } });
});

test("a handshake that never comes is given up", async (t) => {
  const refused: string[] = [];
  const { port } = await serve(t, {
    tls: server,
    limits: { handshakeTimeoutMs: 50 },
    onHandshakeRefused: (_, reason) => refused.push(reason),
  });
  const socket = connectPlain({ host: "127.0.0.1", port });
  socket.on("error", () => {}).resume();
  await new Promise((resolve) => socket.once("close", resolve));
  await eventually(() => refused.length === 1);
});
