import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { WireWriter } from "../../protobuf/wire.js";
import type { RawMethod } from "../../rpc/call.js";
import { RpcChannel } from "../../rpc/client.js";
import { RpcServer } from "../../rpc/server.js";
import { encodeHello } from "./exchange-codec.js";
import { exchangePath, PeerLink } from "./peer-link.js";

const hello = encodeHello({
  clusterId: 1,
  node: 2,
  engine: "raft",
  protocolVersion: 1,
  incarnation: 3,
  memberAsOf: 1,
});

/** Accepts every stream and says hello. */
const exchange: RawMethod = {
  kind: "stream",
  path: exchangePath,
  handle: (call) => {
    call.onMessage(() => call.write(new WireWriter(64).bytes(1, hello).finish()));
  },
};

/** A peer behind a wire that can go silent without closing. */
async function peerBehindWire(t: TestContext): Promise<{ port: number; silence(): void }> {
  const server = new RpcServer({ methods: [exchange] });
  const { port: target } = await server.listen("127.0.0.1", 0);
  const sockets: Socket[] = [];
  const wire = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on("error", () => {});
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => wire.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    wire.close();
    server.close();
  });
  const address = wire.address();
  if (address === null || typeof address === "string") throw new Error("listening on a port");
  return {
    port: address.port,
    silence: () => {
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
  };
}

test("a link whose peer falls silent is down within an election timeout, though TCP still holds it", async (t) => {
  const wire = await peerBehindWire(t);
  let up: () => void = () => {};
  const connected = new Promise<void>((resolve) => {
    up = resolve;
  });
  let measured: (milliseconds: number) => void = () => {};
  const roundTrip = new Promise<number>((resolve) => {
    measured = resolve;
  });
  let down: (reason: string) => void = () => {};
  const broken = new Promise<string>((resolve) => {
    down = resolve;
  });
  const link = new PeerLink({
    peer: 2,
    introduction: () => hello,
    open: () => new RpcChannel({ host: "127.0.0.1", port: wire.port }),
    check: () => {},
    up: () => up(),
    down: (reason) => down(reason),
    removed: () => {},
    sent: () => {},
    silenceMs: 200,
    roundTrip: (milliseconds) => measured(milliseconds),
  });
  t.after(() => link.close());
  await connected;
  assert.ok((await roundTrip) >= 0);
  assert.equal(link.isUp, true);
  wire.silence();
  assert.equal(await broken, "nothing came back for 200 ms");
  assert.equal(link.isUp, false);
});
