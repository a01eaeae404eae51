// A server on a free loopback port, and channels to it, that go away with the test that made them.

import { createServer } from "node:net";
import type { TestContext } from "node:test";
import { type CallEnd, type CallOptions, type Channel, type RawMethod, Status } from "../call.js";
import { RpcChannel } from "../client.js";
import { RpcServer, type RpcServerOptions } from "../server.js";

/** Echoes: /t.Echo/Unary, /t.Echo/Later (answers in another turn) and /t.Echo/Bidi. */
export const echoMethods: readonly RawMethod[] = [
  { kind: "unary", path: "/t.Echo/Unary", handle: (message, call) => call.respond(message) },
  {
    kind: "unary",
    path: "/t.Echo/Later",
    handle: (message, call) => {
      const copy = Buffer.from(message);
      setImmediate(() => call.respond(copy));
    },
  },
  {
    kind: "stream",
    path: "/t.Echo/Bidi",
    handle: (call) => {
      call.onMessage((message) => {
        if (!call.write(message)) call.pause(true);
      });
      call.onDrain(() => call.pause(false));
      call.onHalfClose(() => call.end(Status.OK));
    },
  },
];

export async function serve(
  t: TestContext,
  options: Partial<RpcServerOptions> = {},
): Promise<{ server: RpcServer; port: number }> {
  const server = new RpcServer({ methods: echoMethods, ...options });
  const { port } = await server.listen("127.0.0.1", 0);
  t.after(() => server.close());
  return { server, port };
}

export async function dial(
  t: TestContext,
  port: number,
  options: Partial<ConstructorParameters<typeof RpcChannel>[0]> = {},
): Promise<RpcChannel> {
  const channel = new RpcChannel({ host: "127.0.0.1", port, ...options });
  t.after(() => channel.close());
  await channel.connect();
  return channel;
}

export interface Answer extends CallEnd {
  readonly bytes: Uint8Array | undefined;
}

export function callUnary(
  channel: Channel,
  path: string,
  message: Uint8Array,
  options: CallOptions = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    channel.unary(path, message, options, (end, bytes) => resolve({ ...end, bytes }));
  });
}

/** A port nobody listens on at this moment, for a server that cannot choose one itself. */
export async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  if (address === null || typeof address === "string") throw new Error("listening on no TCP address");
  return address.port;
}

/** Lets the event loop turn until the condition holds. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}
