import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { highOf, lowOf } from "../lease/lease-id.js";
import { encodeCheckpoint, encodeExpiry, encodeRenewal } from "../lease/messages.js";
import { encodeDeleteRange, encodePut, encodeTxn } from "../mvcc/codec.js";
import { deleteOf, putOf, txnOf } from "../mvcc/request-generators.js";
import { WireWriter } from "../protobuf/wire.js";
import { CommandKind, encodeCommand } from "./commands.js";
import type { ReplicatedState } from "./replicated-state.js";
import { applyNext, everything, type Node, openNode } from "./testing/state-under-test.js";

const grant = (id: bigint, ttl: number): Uint8Array =>
  encodeCommand(CommandKind.leaseGrant, new WireWriter(32).uint(1, ttl).int64(2, id).finish());
const revoke = (id: bigint): Uint8Array =>
  encodeCommand(CommandKind.leaseRevoke, new WireWriter(32).int64(1, id).finish());
const halves = (id: bigint): number[] => [highOf(id), lowOf(id)];
const expire = (id: bigint, version: number, epoch = 1): Uint8Array =>
  encodeCommand(CommandKind.leaseExpiry, encodeExpiry({ epoch, ids: halves(id), versions: [version] }));
const checkpoint = (id: bigint, version: number, remaining: number, epoch = 1): Uint8Array => {
  const request = { epoch, ids: halves(id), versions: [version], remaining: [remaining] };
  return encodeCommand(CommandKind.leaseCheckpoint, encodeCheckpoint(request));
};
const renew = (id: bigint): Uint8Array => encodeCommand(CommandKind.leaseRenewal, encodeRenewal(halves(id)));
const put = (key: string, lease: bigint, ignoreLease = false): Uint8Array =>
  encodeCommand(CommandKind.put, encodePut(putOf(key, "", { lease: ignoreLease ? 0n : lease, ignoreLease })));

interface Lease {
  ttl: number;
  remaining: number;
  version: number;
}

/** Leases and the leases of keys, as plainly as possible. */
class Model {
  readonly leases = new Map<bigint, Lease>();
  readonly keys = new Map<string, bigint>();

  end(id: bigint): void {
    this.leases.delete(id);
    for (const [key, lease] of this.keys) if (lease === id) this.keys.delete(key);
  }

  put(key: string, lease: bigint): void {
    if (lease === 0n || this.leases.has(lease)) this.keys.set(key, lease);
  }

  check(state: ReplicatedState): void {
    const { leases } = state;
    assert.deepEqual(
      leases.ids(),
      [...this.leases.keys()].sort((a, b) => (a < b ? -1 : 1)),
    );
    for (const [id, lease] of this.leases) {
      const slot = leases.findId(id);
      assert.deepEqual(
        { ttl: leases.ttl(slot), remaining: leases.remaining(slot), version: leases.version(slot) },
        lease,
      );
      const keys = [...this.keys].filter(([, of]) => of === id).map(([key]) => key);
      assert.deepEqual(
        leases.keys(slot).map((key) => key.toString()),
        keys.sort(),
      );
    }
  }
}

const id = fc.constantFrom(1n, 2n, -3n, 2n ** 62n);
const key = fc.constantFrom("a", "b", "c", "d", "e");
const age = fc.nat(2);
const steps = fc.array(
  fc.oneof(
    fc.record({ op: fc.constant("grant" as const), id, ttl: fc.integer({ min: 1, max: 9_000_000_000 }) }),
    fc.record({ op: fc.constant("revoke" as const), id }),
    fc.record({ op: fc.constant("expire" as const), id, age, epoch: fc.integer({ min: 1, max: 2 }) }),
    fc.record({
      op: fc.constant("checkpoint" as const),
      id,
      age,
      epoch: fc.integer({ min: 1, max: 2 }),
      remaining: fc.integer({ min: 1, max: 100 }),
    }),
    fc.record({ op: fc.constant("renew" as const), id }),
    {
      weight: 4,
      arbitrary: fc.record({ op: fc.constant("put" as const), key, id: fc.oneof(id, fc.constant(0n)) }),
    },
    fc.record({ op: fc.constant("keep" as const), key }),
    fc.record({ op: fc.constant("delete" as const), key, end: fc.constantFrom("", "d", "\0") }),
    fc.record({ op: fc.constant("txn" as const), key, other: key, id }),
    fc.record({ op: fc.constantFrom("kill" as const, "snapshot" as const, "compact" as const) }),
  ),
  { maxLength: 60 },
);

type Step = typeof steps extends fc.Arbitrary<(infer S)[]> ? S : never;

/** Applies the step to the model and returns the commands that do the same. */
function step(model: Model, one: Step, index: number): Uint8Array[] {
  switch (one.op) {
    case "grant":
      if (!model.leases.has(one.id))
        model.leases.set(one.id, { ttl: one.ttl, remaining: one.ttl, version: index });
      return [grant(one.id, one.ttl)];
    case "revoke":
      model.end(one.id);
      return [revoke(one.id)];
    case "expire": {
      const version = (model.leases.get(one.id)?.version ?? 5) - one.age;
      if (one.age === 0 && one.epoch === 1) model.end(one.id);
      return [expire(one.id, version, one.epoch)];
    }
    case "checkpoint": {
      const lease = model.leases.get(one.id);
      const version = (lease?.version ?? 5) - one.age;
      if (lease !== undefined && one.age === 0 && one.epoch === 1)
        lease.remaining = Math.min(one.remaining, lease.ttl);
      return [checkpoint(one.id, version, one.remaining, one.epoch)];
    }
    case "renew": {
      const lease = model.leases.get(one.id);
      if (lease !== undefined) Object.assign(lease, { remaining: lease.ttl, version: index });
      return [renew(one.id)];
    }
    case "put":
      model.put(one.key, one.id);
      return [put(one.key, one.id)];
    case "keep":
      return [put(one.key, 0n, true)];
    case "delete":
      for (const present of [...model.keys.keys()]) {
        const inRange =
          one.end === ""
            ? present === one.key
            : present >= one.key && (one.end === "\0" || present < one.end);
        if (inRange) model.keys.delete(present);
      }
      return [encodeCommand(CommandKind.deleteRange, encodeDeleteRange(deleteOf(one.key, one.end)))];
    case "txn":
      if (model.leases.has(one.id)) {
        model.keys.delete(one.key);
        model.put(one.other, one.id);
      }
      return [
        encodeCommand(
          CommandKind.txn,
          encodeTxn(
            txnOf(
              [],
              [
                ...(one.key === one.other
                  ? []
                  : [{ kind: "deleteRange" as const, request: deleteOf(one.key) }]),
                { kind: "put" as const, request: putOf(one.other, "", { lease: one.id }) },
              ],
            ),
          ),
        ),
      ];
    case "kill":
    case "snapshot":
    case "compact":
      return [];
    default:
      return one satisfies never;
  }
}

async function transferred(source: Node): Promise<Node> {
  const target = await openNode(undefined, { bootstrap: undefined });
  const { meta, chunks } = await source.state.snapshot();
  const sink = await target.state.receiveSnapshot(meta);
  for await (const chunk of chunks) await sink.write(chunk);
  await sink.finish();
  await sink.install();
  return target;
}

describe("leases in the replicated state", () => {
  it("are what a plain model says, through restarts, snapshots and compactions", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const model = new Model();
        let node = await openNode();
        for (const one of all) {
          if (one.op === "kill") {
            node.state.abandon();
            await node.buffer.flush();
            node = await openNode(node.store.copy());
          } else if (one.op === "snapshot") {
            const target = await transferred(node);
            assert.equal(await target.state.hash(), await node.state.hash());
            node.state.abandon();
            node = target;
          } else if (one.op === "compact") {
            const revision = new WireWriter(16).uint(1, node.state.currentRevision).bool(2, true).finish();
            await applyNext(node.state, encodeCommand(CommandKind.compaction, revision));
            await node.state.settled();
          } else {
            for (const command of step(model, one, node.state.applied.id.index + 1))
              await applyNext(node.state, command);
          }
          model.check(node.state);
        }
        node.state.abandon();
      }),
      { numRuns: 150 },
    );
  });

  it("an expiry does nothing to a lease that was renewed or granted anew since it was decided", async () => {
    const { state } = await openNode();
    await applyNext(state, grant(1n, 5));
    const decided = state.leases.version(state.leases.findId(1n));
    await applyNext(state, renew(1n));
    await applyNext(state, expire(1n, decided));
    assert.ok(state.leases.exists(1n));
    const again = state.leases.version(state.leases.findId(1n));
    await applyNext(state, revoke(1n));
    await applyNext(state, grant(1n, 5));
    await applyNext(state, expire(1n, again));
    assert.ok(state.leases.exists(1n));
    await applyNext(state, expire(1n, state.leases.version(state.leases.findId(1n))));
    assert.equal(state.leases.exists(1n), false);
  });

  it("what a leader decided does nothing in an entry of another leader", async () => {
    const { state } = await openNode();
    await applyNext(state, grant(1n, 50));
    const slot = state.leases.findId(1n);
    await applyNext(state, checkpoint(1n, state.leases.version(slot), 10, 2));
    assert.equal(state.leases.remaining(slot), 50);
    await applyNext(state, expire(1n, state.leases.version(slot), 2));
    assert.ok(state.leases.exists(1n));
  });

  it("a grant makes no revision, the end of a lease one if it had keys (H2)", async () => {
    const { state } = await openNode();
    await applyNext(state, grant(1n, 5));
    await applyNext(state, grant(2n, 5));
    assert.equal(state.currentRevision, 1);
    for (const name of ["c", "a", "b"]) await applyNext(state, put(name, 1n));
    assert.deepEqual(await applyNext(state, revoke(1n)), { kind: "leaseRevoke", revision: 5 });
    assert.deepEqual(await applyNext(state, revoke(2n)), { kind: "leaseRevoke", revision: 5 });
    assert.deepEqual(await applyNext(state, revoke(2n)), { kind: "refused", reason: "leaseNotFound" });
    assert.deepEqual(await applyNext(state, grant(3n, 5)), { kind: "leaseGrant", revision: 5 });
    assert.deepEqual(await applyNext(state, grant(3n, 5)), { kind: "refused", reason: "leaseExists" });
    const found = await state.range(everything);
    assert.ok(found.kind === "range" && found.count === 0);
  });
});
