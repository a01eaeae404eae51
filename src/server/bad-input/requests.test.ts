// Bad requests against a real cluster: each is answered with exactly what etcd answers, on the leader
// and on a follower alike, and nothing a client sends on the client port wedges or bloats a node.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  PutRequestSchema,
  RangeRequestSchema,
  type RequestOpSchema,
  TxnRequestSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import { Status } from "../../rpc/call.js";
import { clientPreface, Flag, FrameType, frame } from "../../rpc/http2/frames.js";
import { prefixed, RawPeer, requestFields, uint32 } from "../../rpc/testing/raw-peer.js";
import type { NodeProcess } from "../harness/node-process.js";
import { callOnce, eventually, ProcessCluster } from "../harness/process-cluster.js";
import { assertWhole, bytes, encode, ending, get, put } from "./witness.js";

const KV = "/etcdserverpb.KV";
type Op = MessageInitShape<typeof RequestOpSchema>;
const putOp = (key: string): Op => ({
  request: { case: "requestPut", value: { key: bytes(key), value: bytes("v") } },
});
const deleteOp = (key: string, end: string): Op => ({
  request: { case: "requestDeleteRange", value: { key: bytes(key), rangeEnd: bytes(end) } },
});

/** Resident memory of a process in bytes. */
function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1]) * 1024;
}

/** A TCP connection that says what it is given and then only listens. */
async function speak(port: number, said: Uint8Array): Promise<{ socket: Socket; closed: Promise<string> }> {
  const socket = connect({ port, host: "127.0.0.1" });
  let heard = "";
  socket.on("data", (chunk: Buffer) => {
    heard += chunk.toString("latin1");
  });
  socket.on("error", () => {});
  const closed = new Promise<string>((resolve) => socket.once("close", () => resolve(heard)));
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  if (said.length > 0) socket.write(said);
  return { socket, closed };
}

describe("bad requests", { timeout: 300_000 }, () => {
  let cluster: ProcessCluster;
  let leader: NodeProcess;
  let follower: NodeProcess;
  /** Begun first and looked at last: they take the server's whole patience. */
  let silent: { socket: Socket; closed: Promise<string>; name: string }[];

  before(async () => {
    cluster = await ProcessCluster.start();
    leader = await cluster.ready();
    follower = cluster.nodes.find((node) => node !== leader)!;
    await put(leader, "kept", "since the beginning");
    silent = [];
    for (const port of [leader.plan.clientPort, leader.plan.peerPort, follower.plan.clientPort]) {
      for (const [name, said] of [
        ["a connection that says nothing", Buffer.alloc(0)],
        ["half a preface", clientPreface.subarray(0, 10)],
        ["a preface and no SETTINGS", clientPreface],
      ] as const)
        silent.push({ ...(await speak(port, said)), name });
    }
    const slowHttp = await speak(leader.plan.clientPort, Buffer.from("GET /health HTTP/1.1\r\nhost: x\r\n"));
    silent.push({ ...slowHttp, name: "half an HTTP/1.1 request" });
  });
  after(() => cluster?.destroy());

  it("answers each with etcd's code and text, on the leader and on a follower", async () => {
    const revision = await put(leader, "revision", "1");
    await put(leader, "revision", "2");
    await callOnce(leader.plan.clientPort, `${KV}/Compact`, encode(CompactionRequestSchema, { revision }));
    const key = bytes("k");
    const puts = (count: number): Op[] => Array.from({ length: count }, (_, at) => putOp(`op/${at}`));
    const expectations: [what: string, method: string, Uint8Array, code: number, text: string][] = [
      ["a put without a key", "Put", encode(PutRequestSchema, {}), 3, "etcdserver: key is not provided"],
      [
        "a range without a key",
        "Range",
        encode(RangeRequestSchema, {}),
        3,
        "etcdserver: key is not provided",
      ],
      [
        "a delete without a key",
        "DeleteRange",
        encode(DeleteRangeRequestSchema, { rangeEnd: bytes("z") }),
        3,
        "etcdserver: key is not provided",
      ],
      [
        "a request above the limit",
        "Put",
        encode(PutRequestSchema, { key, value: Buffer.alloc(1_572_864) }),
        3,
        "etcdserver: request is too large",
      ],
      [
        "a request far above the limit",
        "Put",
        encode(PutRequestSchema, { key, value: Buffer.alloc(2_097_152) }),
        8,
        "grpc: received message larger than max (2097160 vs. 2097152)",
      ],
      [
        "129 operations",
        "Txn",
        encode(TxnRequestSchema, { success: puts(129) }),
        3,
        "etcdserver: too many operations in txn request",
      ],
      [
        "the same key put twice",
        "Txn",
        encode(TxnRequestSchema, { success: [putOp("d"), putOp("d")] }),
        3,
        "etcdserver: duplicate key given in txn request",
      ],
      [
        "a key put and deleted by a range",
        "Txn",
        encode(TxnRequestSchema, { failure: [putOp("d"), deleteOp("a", "z")] }),
        3,
        "etcdserver: duplicate key given in txn request",
      ],
      [
        "a future revision",
        "Range",
        encode(RangeRequestSchema, { key, revision: 1n << 62n }),
        11,
        "etcdserver: mvcc: required revision is a future revision",
      ],
      [
        "a compacted revision",
        "Range",
        encode(RangeRequestSchema, { key, revision: revision - 1n }),
        11,
        "etcdserver: mvcc: required revision has been compacted",
      ],
      [
        "a compaction done already",
        "Compact",
        encode(CompactionRequestSchema, { revision }),
        11,
        "etcdserver: mvcc: required revision has been compacted",
      ],
      [
        "a compaction of the future",
        "Compact",
        encode(CompactionRequestSchema, { revision: 1n << 62n }),
        11,
        "etcdserver: mvcc: required revision is a future revision",
      ],
      [
        "an unknown lease",
        "Put",
        encode(PutRequestSchema, { key, lease: 4711n }),
        5,
        "etcdserver: requested lease not found",
      ],
      [
        "a value besides ignore_value",
        "Put",
        encode(PutRequestSchema, { key, value: key, ignoreValue: true }),
        3,
        "etcdserver: value is provided",
      ],
    ];
    for (const node of [leader, follower]) {
      for (const [what, method, request, code, text] of expectations) {
        const end = await ending(node.plan.clientPort, `${KV}/${method}`, request);
        assert.deepEqual([end.code, end.message], [code, text], `${what}, ${node.plan.name}`);
      }
      const malformed = await ending(node.plan.clientPort, `${KV}/Put`, Uint8Array.of(0x0a, 0x7f, 0x01));
      assert.equal(malformed.code, Status.INTERNAL);
      assert.match(malformed.message, /^grpc: error unmarshalling request: proto: ./);
      const noService = await ending(node.plan.clientPort, "/no.Such/Method", new Uint8Array(0));
      assert.deepEqual([noService.code, noService.message], [12, "unknown service no.Such"]);
      const noMethod = await ending(node.plan.clientPort, `${KV}/Nothing`, new Uint8Array(0));
      assert.deepEqual(
        [noMethod.code, noMethod.message],
        [12, "unknown method Nothing for service etcdserverpb.KV"],
      );
    }
    await assertWhole(cluster);
  });

  it("forgets a request whose stream is reset half-way, and an answer that nobody waits for", async () => {
    for (const node of [leader, follower]) {
      const peer = await RawPeer.open(node.plan.clientPort);
      const whole = prefixed(encode(PutRequestSchema, { key: bytes("half"), value: randomBytes(1000) }));
      const cancel = uint32(8);
      for (let id = 1; id < 200; id += 2) {
        peer.send(peer.headers(id, requestFields(`${KV}/Put`)));
        peer.send(peer.data(id, whole.subarray(0, id * 5)));
        peer.send(frame(FrameType.RST_STREAM, 0, id, cancel));
      }
      await peer.roundTrip();
      assert.equal(await get(node, "half"), undefined, "a request cut short was done");
      // Reset behind the whole request: done or not, but never answered and never in the way.
      for (let id = 201; id < 400; id += 2) {
        peer.send(peer.request(id, `${KV}/Put`, encode(PutRequestSchema, { key: bytes("reset") })));
        peer.send(frame(FrameType.RST_STREAM, 0, id, cancel));
      }
      await peer.roundTrip();
      assert.ok(!peer.closed);
      peer.socket.destroy();
    }
    await assertWhole(cluster);
  });

  it("keeps its memory and serves others while clients ask for large ranges and never read", async (t) => {
    const value = randomBytes(1_000_000);
    for (let at = 0; at < 20; at++) await put(leader, `large/${at}`, value);
    const request = encode(RangeRequestSchema, { key: bytes("large/"), rangeEnd: bytes("large0") });
    const before = residentBytes(follower.pid);
    const readers: RawPeer[] = [];
    t.after(() => {
      for (const peer of readers) peer.socket.destroy();
    });
    for (let reader = 0; reader < 8; reader++) {
      // An enormous window, so that only the socket holds the answers back.
      const peer = await RawPeer.open(follower.plan.clientPort, [[4, 0x7fffffff]]);
      peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(0x7fff0000)));
      peer.socket.pause();
      for (let id = 1; id < 200; id += 2) peer.send(peer.request(id, `${KV}/Range`, request));
      readers.push(peer);
    }
    let highest = before;
    const until = performance.now() + 4000;
    while (performance.now() < until) {
      await eventually("a put", 20_000, () => put(follower, "meanwhile", "served"));
      assert.equal(await get(follower, "meanwhile"), "served");
      highest = Math.max(highest, residentBytes(follower.pid));
    }
    // 800 answers of 20 MB were asked for.
    assert.ok(highest - before < 1.5e9, `grew by ${Math.round((highest - before) / 1e6)} MB`);
    await assertWhole(cluster);
  });

  it("closes on garbage at once, on either port, and says so over HTTP where HTTP was spoken", async () => {
    const hello = Buffer.from("16030100c8010000c40303", "hex");
    const garbage: [what: string, said: Buffer, answer: RegExp][] = [
      ["a TLS ClientHello", Buffer.concat([hello, randomBytes(190)]), /^$/],
      ["random bytes", Buffer.concat([Buffer.from([0xfe]), randomBytes(5000)]), /^$/],
      ["zeros", Buffer.alloc(5000), /^$/],
      ["an SSH client", Buffer.from("SSH-2.0-OpenSSH_9.2\r\n"), /^$/],
      ["a broken HTTP/1.1 request", Buffer.from("GET / HTTQ/9.9\r\n\r\n"), /^HTTP\/1\.1 (400|505) /],
      [
        "an HTTP/1.1 request of endless headers",
        Buffer.from(`GET / HTTP/1.1\r\nx: ${"y".repeat(70_000)}`),
        /^HTTP\/1\.1 (431|505) /,
      ],
      [
        "a giant frame",
        Buffer.concat([
          clientPreface,
          frame(FrameType.SETTINGS, 0, 0),
          Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]),
        ]),
        /frame/i,
      ],
    ];
    for (const node of [leader, follower]) {
      for (const port of [node.plan.clientPort, node.plan.peerPort]) {
        for (const [what, said, answer] of garbage) {
          const { closed, socket } = await speak(port, said);
          const where = `${what} on the ${port === node.plan.clientPort ? "client" : "peer"} port`;
          const timer = setTimeout(() => socket.destroy(), 20_000);
          const begun = performance.now();
          const heard = await closed;
          clearTimeout(timer);
          assert.ok(performance.now() - begun < 20_000, `${where}: still open`);
          assert.match(heard, answer, where);
        }
      }
    }
    await assertWhole(cluster);
  });

  it("answers nonsense over HTTP/1.1 without a word of its own innards", async () => {
    const port = leader.plan.clientPort;
    for (const [request, status] of [
      ["GET // HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404],
      ["GET http://[ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400],
      ["GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404],
      ["POST /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", 405],
    ] as const) {
      const { closed } = await speak(port, Buffer.from(request));
      assert.match(await closed, new RegExp(`^HTTP/1\\.1 ${status} `), request);
    }
    await assertWhole(cluster);
  });

  it("stands whatever sequence of frames a client sends", async () => {
    const anyFrame = fc.oneof(
      fc
        .record({
          type: fc.integer({ min: 0, max: 11 }),
          flags: fc.constantFrom(0, 1, 4, 5, 8, 9, 0x20, 0x2d, 0xff),
          id: fc.constantFrom(0, 1, 2, 3, 5, 7, 0x7fffffff),
          payload: fc.uint8Array({ maxLength: 60 }),
        })
        .map(({ type, flags, id, payload }) => frame(type, flags, id, payload)),
      fc
        .tuple(fc.constantFrom(1, 3, 5, 7), fc.uint8Array({ maxLength: 100 }))
        .map(([id, body]) => frame(FrameType.DATA, Flag.END_STREAM, id, prefixed(body))),
    );
    const paths = ["KV/Range", "KV/Put", "KV/Txn", "KV/DeleteRange", "KV/Compact", "Maintenance/Status"];
    const port = follower.plan.clientPort;
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyFrame, { maxLength: 15 }),
        fc.subarray(paths, { maxLength: 4 }),
        async (frames, opened) => {
          const peer = await RawPeer.open(port);
          opened.forEach((path, at) => {
            peer.send(peer.headers(at * 2 + 1, requestFields(`/etcdserverpb.${path}`)));
          });
          for (const one of frames) peer.send(one);
          peer.socket.end();
          await peer.closing();
        },
      ),
      { numRuns: 150 },
    );
    await assertWhole(cluster);
  });

  it("gives up on connections that never come to the point", async () => {
    for (const { name, closed, socket } of silent) {
      const timer = setTimeout(() => socket.destroy(new Error("late")), 45_000);
      let late = false;
      socket.once("error", (error) => {
        late = error.message === "late";
      });
      await closed;
      clearTimeout(timer);
      assert.ok(!late, name);
    }
    assert.equal(await get(follower, "kept"), "since the beginning");
    await eventually("all whole", 20_000, async () => {
      await assertWhole(cluster);
      return true;
    });
  });
});
