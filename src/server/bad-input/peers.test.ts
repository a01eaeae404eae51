// What a stranger, a foreigner or a broken node can say on the peer port. Who does not belong to the
// cluster is turned away with the reason; who does belong and talks nonsense loses its stream, and no
// node stops, diverges or takes nonsense into the log. What only a leader may say (entries, commit
// indexes, snapshots) is believed of a member: the peer port is to be kept to members.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import type { RaftMessage } from "../../consensus/raft/messages.js";
import { WireWriter } from "../../protobuf/wire.js";
import { encodeBatch } from "../../replication/batch.js";
import {
  decodeExchange,
  type Exchanged,
  encodeExchange,
  type Hello,
  protocolVersion,
} from "../../replication/peers/exchange-codec.js";
import { exchangePath } from "../../replication/peers/peer-link.js";
import { controlPath } from "../../replication/peers/peer-network.js";
import { raftCodec } from "../../replication/peers/raft-codec.js";
import { encodePiece } from "../../replication/peers/snapshot-codec.js";
import { snapshotPath } from "../../replication/peers/snapshot-transfer.js";
import type { CallEnd } from "../../rpc/call.js";
import { RpcChannel } from "../../rpc/client.js";
import { prefixed, RawPeer, requestFields } from "../../rpc/testing/raw-peer.js";
import { CommandKind, encodeCommand } from "../../state/commands.js";
import type { NodeProcess } from "../harness/node-process.js";
import { eventually, ProcessCluster } from "../harness/process-cluster.js";
import { assertWhole, get, put } from "./witness.js";

const encode = (exchanged: Exchanged<RaftMessage>): Uint8Array => encodeExchange(exchanged, raftCodec);

describe("the peer port", { timeout: 300_000 }, () => {
  let cluster: ProcessCluster;
  let leader: NodeProcess;
  let follower: NodeProcess;
  /** As the follower that is not `follower` would introduce itself. */
  let member: Hello;
  let term = 0;
  let commit = 0;

  before(async () => {
    cluster = await ProcessCluster.start();
    leader = await cluster.ready();
    follower = cluster.nodes.find((node) => node !== leader)!;
    const third = cluster.nodes.find((node) => node !== leader && node !== follower)!;
    const { header } = await cluster.status(third);
    member = {
      clusterId: Number(header!.clusterId),
      node: Number(header!.memberId),
      engine: "raft",
      protocolVersion,
      incarnation: 4711,
      memberAsOf: 0,
    };
    await put(leader, "kept", "since the beginning");
    const status = await cluster.status(leader);
    term = Number(status.raftTerm);
    commit = Number(status.raftIndex);
  });
  after(() => cluster?.destroy());

  /** Says all that on one stream; resolves with how it ended, or undefined when it goes on. */
  async function say(
    node: NodeProcess,
    path: string,
    messages: readonly Uint8Array[],
    waitMs = 20_000,
  ): Promise<CallEnd | undefined> {
    const channel = new RpcChannel({ host: "127.0.0.1", port: node.plan.peerPort });
    await channel.connect();
    try {
      return await new Promise((resolve) => {
        const timer = setTimeout(() => resolve(undefined), waitMs);
        const stream = channel.stream(
          path,
          {},
          {
            message: () => {},
            end: (end) => {
              clearTimeout(timer);
              resolve(end);
            },
          },
        );
        for (const message of messages) stream.write(message);
        stream.halfClose();
      });
    } finally {
      channel.close();
    }
  }

  async function assertTurnedAway(
    path: string,
    messages: readonly Uint8Array[],
    code: number,
    text: RegExp,
  ): Promise<void> {
    for (const node of [leader, follower]) {
      const end = await say(node, path, messages);
      assert.equal(end?.code, code, end?.message);
      assert.match(end.message, text);
    }
  }

  const hello = (change: Partial<Hello> = {}): Uint8Array =>
    encode({ kind: "hello", hello: { ...member, ...change } });

  it("turns away whoever does not belong here, and says why", async () => {
    const foreign = { clusterId: member.clusterId + 1 };
    await assertTurnedAway(
      exchangePath,
      [hello(foreign)],
      9,
      /^cluster ID mismatch: this node is of cluster [0-9a-f]+, the caller of [0-9a-f]+$/,
    );
    await assertTurnedAway(
      exchangePath,
      [hello({ engine: "zab" })],
      9,
      /^this cluster runs raft, the caller zab$/,
    );
    await assertTurnedAway(
      exchangePath,
      [hello({ protocolVersion: 0 })],
      9,
      /^this node needs peer protocol 1 at least/,
    );
    await assertTurnedAway(exchangePath, [hello({ node: 0 })], 3, /^a Hello names its node$/);
    await assertTurnedAway(exchangePath, [hello(), hello()], 3, /^second Hello$/);
    const barrier = encode({ kind: "readBarrier", group: 0, id: 1 });
    await assertTurnedAway(exchangePath, [barrier], 3, /^the first message must be a Hello$/);
    const { header } = await cluster.status(follower);
    const itself = await say(follower, exchangePath, [hello({ node: Number(header!.memberId) })]);
    assert.equal(itself?.message, "a node must not call itself");
    const meta = {
      id: { index: 1_000_000, epoch: term },
      membership: { voters: [member.node], outgoing: [], learners: [], learnersNext: [], autoLeave: false },
      membershipIndex: 1,
    };
    const header1 = { group: 0, sender: { ...member, ...foreign }, epoch: term, meta };
    await assertTurnedAway(
      snapshotPath,
      [encodePiece({ kind: "header", header: header1 })],
      9,
      /^cluster ID mismatch/,
    );
    await assertWhole(cluster);
  });

  it("ends the stream of a member that talks nonsense, and takes nothing of it into the log", async () => {
    const origin = { node: member.node, incarnation: member.incarnation, sequence: 1 };
    const batch = (commands: Uint8Array[]): Uint8Array =>
      encode({ kind: "forwarded", group: 0, epoch: term, batches: [encodeBatch(origin, commands)] });
    const strange = encode({
      kind: "forwarded",
      group: 0,
      epoch: term,
      batches: [encodeBatch({ ...origin, node: member.node + 1 }, [])],
    });
    const nonsense: [message: Uint8Array, text: RegExp][] = [
      [Uint8Array.of(0x0a, 0x7f, 0x01), /./],
      [new WireWriter(16).bytes(2, Uint8Array.of(0xff, 0xff), true).finish(), /./],
      [batch([Uint8Array.of(99, 1, 2, 3)]), /^a forwarded command is not understood$/],
      [
        batch([encodeCommand(CommandKind.put, Uint8Array.of(0x0a, 0x7f))]),
        /^a forwarded command is not understood$/,
      ],
      [batch([encodeCommand(CommandKind.txn, randomBytes(100))]), /^a forwarded command is not understood$/],
      [strange, /^a forwarded batch is not its sender's own$/],
      [encode({ kind: "forwarded", group: 0, epoch: term, batches: [Uint8Array.of(1)] }), /./],
    ];
    for (const [message, text] of nonsense) await assertTurnedAway(exchangePath, [hello(), message], 3, text);
    await assertTurnedAway(controlPath, [randomBytes(50)], 3, /./);
    await assertTurnedAway(snapshotPath, [Uint8Array.of(0x12, 0x00)], 3, /^snapshot without a header$/);
    await assertWhole(cluster);
  });

  it("refuses a message beyond its limit without taking it in", async () => {
    const peer = await RawPeer.open(leader.plan.peerPort);
    peer.send(peer.headers(1, requestFields(exchangePath)));
    const announced = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]);
    peer.send(peer.data(1, prefixed(hello())), peer.data(1, announced));
    await peer.ended(1);
    const trailers = peer.headersOf(1).at(-1)!;
    assert.equal(trailers["grpc-status"], "8");
    peer.socket.destroy();
    await assertWhole(cluster);
  });

  it("ignores terms that no election can have reached", async () => {
    for (const message of [
      { kind: "voteReply", term: Number.MAX_SAFE_INTEGER, pre: false, granted: false },
      { kind: "heartbeatReply", term: 2 ** 50, readPosition: 0 },
      {
        kind: "vote",
        term: Number.MAX_SAFE_INTEGER,
        pre: false,
        lastIndex: 2 ** 50,
        lastTerm: 1,
        transfer: true,
      },
    ] satisfies RaftMessage[])
      for (const node of [leader, follower])
        await say(node, exchangePath, [hello(), encode({ kind: "consensus", group: 0, message })]);
    await assertWhole(cluster);
    assert.ok(Number((await cluster.status(leader)).raftTerm) < term + 100);
  });

  it("stands any mutation of what its members say", async () => {
    const small = fc.integer({ min: 0, max: 60 });
    const near = (center: number): fc.Arbitrary<number> =>
      fc.oneof(fc.integer({ min: Math.max(0, center - 3), max: center + 3 }), fc.maxSafeNat());
    const message: fc.Arbitrary<RaftMessage> = fc.oneof(
      fc.record({
        kind: fc.constant("voteReply" as const),
        term: near(term),
        pre: fc.boolean(),
        granted: fc.boolean(),
      }),
      fc.record({
        kind: fc.constant("vote" as const),
        term: near(term),
        pre: fc.boolean(),
        lastIndex: near(commit),
        lastTerm: near(term),
        transfer: fc.boolean(),
      }),
      fc.record({
        kind: fc.constant("appendReply" as const),
        term: near(term),
        rejected: fc.boolean(),
        index: near(commit),
        hintIndex: near(commit),
        hintTerm: near(term),
      }),
      fc.record({ kind: fc.constant("heartbeatReply" as const), term: near(term), readPosition: near(5) }),
    );
    const exchanged: fc.Arbitrary<Exchanged<RaftMessage>> = fc.oneof(
      message.map((one) => ({ kind: "consensus" as const, group: 0, message: one })),
      fc.record({ kind: fc.constant("readBarrier" as const), group: fc.constantFrom(0, 1), id: near(1) }),
      fc.record({
        kind: fc.constant("refused" as const),
        group: fc.constant(0),
        epoch: near(term),
        sequences: fc.array(near(10), { maxLength: 5 }),
        reason: fc.string({ maxLength: 5 }),
      }),
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 3 }).map((commands) => ({
        kind: "forwarded" as const,
        group: 0,
        epoch: term,
        batches: [encodeBatch({ node: member.node, incarnation: 1, sequence: 1 }, commands)],
      })),
    );
    const mutated = fc
      .tuple(exchanged, fc.array(fc.tuple(small, fc.integer({ min: 0, max: 255 })), { maxLength: 3 }))
      .map(([one, changes]) => {
        const bytes = Uint8Array.from(encode(one));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        return bytes;
      })
      .filter(isNoLeadersWord);
    await fc.assert(
      fc.asyncProperty(fc.array(mutated, { maxLength: 8 }), fc.boolean(), async (messages, toLeader) => {
        await say(toLeader ? leader : follower, exchangePath, [hello(), ...messages]);
      }),
      { numRuns: 200 },
    );
    await eventually("all whole", 30_000, async () => {
      await assertWhole(cluster);
      return true;
    });
    assert.equal(await get(follower, "kept"), "since the beginning");
  });
});

/** False of what a member is believed when it leads, or says it does. */
function isNoLeadersWord(bytes: Uint8Array): boolean {
  try {
    const exchanged = decodeExchange(bytes, raftCodec);
    if (exchanged?.kind === "readIndex") return false;
    if (exchanged?.kind !== "consensus") return true;
    const { kind } = exchanged.message;
    return kind !== "append" && kind !== "heartbeat";
  } catch {
    // It does not decode: the more welcome.
    return true;
  }
}
