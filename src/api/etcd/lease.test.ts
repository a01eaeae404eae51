// The lease service on the real rpc server and the real state of a single node.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  LeaseGrantRequestSchema,
  LeaseGrantResponseSchema,
  LeaseKeepAliveRequestSchema,
  type LeaseKeepAliveResponse,
  LeaseKeepAliveResponseSchema,
  LeaseLeasesRequestSchema,
  LeaseLeasesResponseSchema,
  LeaseRevokeRequestSchema,
  LeaseRevokeResponseSchema,
  LeaseTimeToLiveRequestSchema,
  LeaseTimeToLiveResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import { type CallEnd, type ClientStream, Status } from "../../rpc/call.js";
import { RpcChannel } from "../../rpc/client.js";
import { CommandKind, encodeCommand } from "../../state/commands.js";
import { type ApiError, errors } from "../errors.js";
import { FakeCaller, FakeContext } from "../testing/fakes.js";
import { type SingleNode, startSingleNode } from "../testing/single-node.js";
import { leaseMethods } from "./lease.js";

const methods = {
  "Lease/LeaseGrant": [LeaseGrantRequestSchema, LeaseGrantResponseSchema],
  "Lease/LeaseRevoke": [LeaseRevokeRequestSchema, LeaseRevokeResponseSchema],
  "Lease/LeaseTimeToLive": [LeaseTimeToLiveRequestSchema, LeaseTimeToLiveResponseSchema],
  "Lease/LeaseLeases": [LeaseLeasesRequestSchema, LeaseLeasesResponseSchema],
  "KV/Put": [PutRequestSchema, PutResponseSchema],
} as const;
type Name = keyof typeof methods;

let node: SingleNode;
let channel: RpcChannel;

before(async () => {
  node = await startSingleNode();
  const [host, port] = node.address.split(":") as [string, string];
  channel = new RpcChannel({ host, port: Number(port) });
  await channel.connect();
});
after(async () => {
  channel.close();
  await node.stop();
  assert.deepEqual(node.surprises, []);
});

function unary<N extends Name>(
  name: N,
  request: MessageInitShape<(typeof methods)[N][0]>,
): Promise<{ end: CallEnd; response: MessageShape<(typeof methods)[N][1]> }> {
  const [input, output] = methods[name] as readonly [DescMessage, DescMessage];
  const bytes = toBinary(input, create(input, request as Record<string, unknown>));
  return new Promise((resolve) =>
    channel.unary(`/etcdserverpb.${name}`, bytes, { timeoutMs: 5000 }, (end, message) => {
      const response = fromBinary(output, message === undefined ? new Uint8Array(0) : Buffer.from(message));
      resolve({ end, response: response as MessageShape<(typeof methods)[N][1]> });
    }),
  );
}

async function call<N extends Name>(
  name: N,
  request: MessageInitShape<(typeof methods)[N][0]>,
): Promise<MessageShape<(typeof methods)[N][1]>> {
  const { end, response } = await unary(name, request);
  assert.equal(end.code, Status.OK, end.message);
  return response;
}

async function assertRefused<N extends Name>(
  name: N,
  request: MessageInitShape<(typeof methods)[N][0]>,
  error: ApiError,
): Promise<void> {
  const { end } = await unary(name, request);
  assert.deepEqual([end.code, end.message], [error.status, error.text]);
}

/** A keep-alive stream whose answers are awaited one by one. */
class KeepAlive {
  private readonly answers: LeaseKeepAliveResponse[] = [];
  private readonly waiting: ((answer: LeaseKeepAliveResponse) => void)[] = [];
  private readonly stream: ClientStream;
  readonly ended: Promise<CallEnd>;

  constructor() {
    let end: (end: CallEnd) => void = () => {};
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.stream = channel.stream(
      "/etcdserverpb.Lease/LeaseKeepAlive",
      {},
      {
        message: (message) => {
          const answer = fromBinary(LeaseKeepAliveResponseSchema, Buffer.from(message));
          const waiting = this.waiting.shift();
          if (waiting === undefined) this.answers.push(answer);
          else waiting(answer);
        },
        end,
      },
    );
  }

  send(ID: bigint): void {
    this.raw(toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID })));
  }
  raw(bytes: Uint8Array): void {
    this.stream.write(bytes);
  }
  next(): Promise<LeaseKeepAliveResponse> {
    const answer = this.answers.shift();
    if (answer !== undefined) return Promise.resolve(answer);
    return new Promise((resolve) => this.waiting.push(resolve));
  }
  async renew(ID: bigint): Promise<bigint> {
    this.send(ID);
    const answer = await this.next();
    assert.equal(answer.ID, ID);
    return answer.TTL;
  }
  finish(): Promise<CallEnd> {
    this.stream.halfClose();
    return this.ended;
  }
}

describe("the lease service", () => {
  it("grants the wanted ID or a positive one of its own, and lifts short times to the minimum (31)", async () => {
    const chosen = await call("Lease/LeaseGrant", { TTL: 100n });
    assert.ok(chosen.ID > 0n);
    assert.equal(chosen.TTL, 100n);
    assert.equal(chosen.header?.revision, BigInt(node.state.currentRevision));
    for (const TTL of [0n, -5n, 1n]) assert.equal((await call("Lease/LeaseGrant", { TTL })).TTL, 2n);
    const wanted = await call("Lease/LeaseGrant", { TTL: 9_000_000_000n, ID: -77n });
    assert.equal(wanted.ID, -77n);
    await assertRefused("Lease/LeaseGrant", { TTL: 5n, ID: -77n }, errors.leaseExists);
    await assertRefused("Lease/LeaseGrant", { TTL: 9_000_000_001n, ID: -77n }, errors.leaseTtlTooLarge);
  });

  it("tries another ID when one that it chose itself is taken", async () => {
    const context = new FakeContext();
    const outcomes = [
      { kind: "refused", reason: "leaseExists" },
      { kind: "leaseGrant", revision: 9 },
    ];
    context.proposer.onPropose = () => outcomes.shift();
    const caller = new FakeCaller(leaseMethods(context));
    const request = toBinary(LeaseGrantRequestSchema, create(LeaseGrantRequestSchema, { TTL: 60n }));
    const answer = await caller.unary("/etcdserverpb.Lease/LeaseGrant", request);
    assert.equal(fromBinary(LeaseGrantResponseSchema, answer.response!).ID, 2n);
    const proposed = create(LeaseGrantRequestSchema, { TTL: 60n, ID: 1n });
    assert.deepEqual(
      Buffer.from(context.proposer.proposals[0]!.command),
      encodeCommand(CommandKind.leaseGrant, toBinary(LeaseGrantRequestSchema, proposed)),
    );
  });

  it("revokes once, and tells keys and time of a lease (33, 34)", async () => {
    const { ID } = await call("Lease/LeaseGrant", { TTL: 500n });
    const key = (name: string): Uint8Array => Buffer.from(name);
    for (const name of ["b", "a"]) await call("KV/Put", { key: key(name), lease: ID });
    const told = await call("Lease/LeaseTimeToLive", { ID, keys: true });
    assert.deepEqual(
      told.keys.map((name) => Buffer.from(name).toString()),
      ["a", "b"],
    );
    assert.equal(told.grantedTTL, 500n);
    assert.ok(told.TTL >= 490n && told.TTL <= 500n);
    assert.deepEqual((await call("Lease/LeaseTimeToLive", { ID })).keys, []);
    const before = BigInt(node.state.currentRevision);
    assert.equal((await call("Lease/LeaseRevoke", { ID })).header?.revision, before + 1n);
    await assertRefused("Lease/LeaseRevoke", { ID }, errors.leaseNotFound);
    const gone = await call("Lease/LeaseTimeToLive", { ID, keys: true });
    assert.deepEqual([gone.ID, gone.TTL, gone.grantedTTL], [ID, -1n, 0n]);
    assert.ok(gone.header !== undefined && gone.header.memberId === 101n);
    await assertRefused("KV/Put", { key: key("a"), lease: ID }, errors.leaseNotFound);
  });

  it("lists leases, those that run out first at the front", async () => {
    const long = await call("Lease/LeaseGrant", { TTL: 5000n });
    const short = await call("Lease/LeaseGrant", { TTL: 4000n });
    const ids = (await call("Lease/LeaseLeases", {})).leases.map(({ ID }) => ID);
    assert.ok(ids.indexOf(short.ID) < ids.indexOf(long.ID) && ids.includes(short.ID));
  });

  it("renews on a stream that unknown leases leave open (32)", async () => {
    const stream = new KeepAlive();
    for (const ID of [2n ** 62n + 5n, -1n, -(2n ** 63n), 127n, 128n]) {
      await call("Lease/LeaseGrant", { TTL: 300n, ID });
      assert.equal(await stream.renew(ID), 300n);
    }
    assert.equal(await stream.renew(4711n), 0n);
    assert.equal(await stream.renew(0n), 0n);
    assert.equal(await stream.renew(128n), 300n);
    stream.send(127n);
    const { header } = await stream.next();
    assert.deepEqual(
      [header?.memberId, header?.revision, header?.raftTerm],
      [101n, BigInt(node.state.currentRevision), 2n],
    );
    assert.equal((await stream.finish()).code, Status.OK);
  });

  it("answers what it was asked before the client finished", async () => {
    const stream = new KeepAlive();
    for (const ID of [4712n, 127n, 4713n]) stream.send(ID);
    const end = await stream.finish();
    assert.equal(end.code, Status.OK);
    const ttls = new Map<bigint, bigint>();
    for (let count = 0; count < 3; count++) {
      const { ID, TTL } = await stream.next();
      ttls.set(ID, TTL);
    }
    assert.deepEqual([...ttls].sort(), [
      [127n, 300n],
      [4712n, 0n],
      [4713n, 0n],
    ]);
  });

  it("ends a stream that sends something else", async () => {
    const stream = new KeepAlive();
    stream.raw(Uint8Array.of(8));
    assert.equal((await stream.ended).code, errors.malformedRequest.status);
  });

  it("a lease that runs out takes its keys along", async () => {
    const { ID } = await call("Lease/LeaseGrant", { TTL: 2n });
    await call("KV/Put", { key: Buffer.from("short"), lease: ID });
    const stream = new KeepAlive();
    assert.equal(await stream.renew(ID), 2n);
    const granted = performance.now();
    while (node.state.leases.exists(ID)) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(performance.now() - granted >= 1950);
    assert.equal(await stream.renew(ID), 0n);
    await stream.finish();
  });

  it("a learner refuses everything (66)", async () => {
    const context = new FakeContext();
    context.role = { role: "learner", leader: 102, epoch: 7 };
    const caller = new FakeCaller(leaseMethods(context));
    for (const name of ["LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "LeaseLeases"]) {
      const { code, message } = await caller.unary(`/etcdserverpb.Lease/${name}`, new Uint8Array(0));
      assert.deepEqual(
        [code, message],
        [errors.notSupportedForLearner.status, errors.notSupportedForLearner.text],
      );
    }
  });

  it("grants nothing when the store is full (15)", async () => {
    const context = new FakeContext();
    context.spaceExceeded = true;
    const caller = new FakeCaller(leaseMethods(context));
    const { message } = await caller.unary("/etcdserverpb.Lease/LeaseGrant", new Uint8Array(0));
    assert.equal(message, errors.noSpace.text);
  });
});
