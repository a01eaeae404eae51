import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { MemberSchema } from "../gen/etcdserverpb/rpc_pb.js";
import { encodeCompaction, encodeDeleteRange, encodePut } from "../mvcc/codec.js";
import type { KeyEvent, RangeResult, RequestOp, TxnRequest } from "../mvcc/messages.js";
import { NaiveStore } from "../mvcc/naive-store.js";
import { deleteOf, putOf } from "../mvcc/request-generators.js";
import { CommandKind, encodeCommand } from "./commands.js";
import type { StateHash } from "./hash.js";
import {
  applyNext,
  commandOf,
  commands,
  everything,
  expected,
  hashOf,
  members,
  membership,
  openNode,
  plain,
  steps,
} from "./testing/state-under-test.js";

test("the state answers as the naive store does, with values on disk or in memory, through kills", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 60 }), async (sequence) => {
      const model = new NaiveStore();
      const events: KeyEvent[][] = [[], []];
      const onRevision = (revision: number, changes: readonly KeyEvent[]): void => {
        events[revision] = changes.map(({ type, kv }) => ({ type, kv }));
      };
      const log: Uint8Array[] = [];
      let node = await openNode();
      node.state.onRevision = onRevision;
      for (const step of sequence) {
        const command = commandOf(step);
        if (step.op === "write") node.buffer.writeSome(step.count);
        else if (step.op === "kill") {
          node.state.abandon();
          node = await openNode(node.store.copy());
          node.state.onRevision = onRevision;
          for (const lost of log.slice(node.state.applied.id.index - 1))
            await applyNext(node.state, lost, false);
        } else if (step.op === "range") {
          assert.deepEqual(plain(await node.state.range(step.request)), plain(expected(model, step)));
        } else if (command !== undefined) {
          log.push(command);
          assert.deepEqual(plain(await applyNext(node.state, command)), plain(expected(model, step)));
        }
        assert.equal(node.state.currentRevision, model.current);
        assert.equal(node.state.compactedRevision, model.compacted);
      }
      assert.deepEqual(plain(events), plain(model.events));
      for (let revision = Math.max(1, model.compacted); revision <= model.current; revision++) {
        const range = { ...everything, revision };
        assert.deepEqual(plain(await node.state.range(range)), plain(model.range(range)));
      }
    }),
    { numRuns: 300 },
  );
});

test("equal commands make equal rows byte for byte, whether or not results are wanted", async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (log) => {
      const asked = await openNode(undefined, { cacheBytes: 1 << 20 });
      const silent = await openNode();
      for (const command of log) {
        await applyNext(asked.state, command, true);
        asked.buffer.writeSome(1);
        await applyNext(silent.state, command, false);
      }
      assert.equal(await hashOf(asked.state), await hashOf(silent.state));
      for (const { state } of [asked, silent]) {
        await state.settled();
        await state.flush();
      }
      assert.deepEqual(asked.store.dump(), silent.store.dump());
      assert.equal(await hashOf(asked.state), await hashOf(silent.state));
    }),
    { numRuns: 60 },
  );
});

/** Keys that come and go, and compactions close behind. */
const churn = fc
  .array(fc.record({ key: fc.constantFrom("a", "b"), what: fc.nat(9), back: fc.nat(2) }), { maxLength: 40 })
  .map((changes) => {
    const alive = new Set<string>();
    let revision = 1;
    return changes.map(({ key, what, back }) => {
      const compaction = encodeCompaction({ revision: Math.max(0, revision - back), physical: false });
      if (what === 0) return encodeCommand(CommandKind.compaction, compaction);
      if (what > 3 || !alive.has(key)) {
        revision++;
        alive.add(key);
        return encodeCommand(CommandKind.put, encodePut(putOf(key, "v")));
      }
      revision++;
      alive.delete(key);
      return encodeCommand(CommandKind.deleteRange, encodeDeleteRange(deleteOf(key)));
    });
  });

test("a kill at every point loses a suffix that the log brings back, to the same state and hash", async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(churn, commands), fc.nat(20), async (log, turns) => {
      const whole = await openNode();
      for (const command of log) await applyNext(whole.state, command);
      const wanted = await hashOf(whole.state);
      for (let kept = 0; kept <= log.length + turns; kept++) {
        const node = await openNode(undefined, { sweepRows: 1 });
        node.buffer.held = true;
        for (const command of log) {
          await applyNext(node.state, command);
          // Now and then the removal gets ahead of the next entry.
          if (command[0] === CommandKind.compaction)
            for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        }
        node.state.abandon();
        node.buffer.writeSome(kept);
        const again = await openNode(node.store.copy());
        const { index } = again.state.applied.id;
        assert.ok(index <= kept + 1);
        for (const command of log.slice(index - 1)) await applyNext(again.state, command);
        assert.equal(await hashOf(again.state), wanted);
      }
    }),
    { numRuns: 25 },
  );
});

test("a deleted key stays deleted when a kill interrupts the removal of its revisions", async () => {
  const put = (key: string): Uint8Array => encodeCommand(CommandKind.put, encodePut(putOf(key)));
  const log = [put("a"), put("a"), put("a")];
  log.push(encodeCommand(CommandKind.deleteRange, encodeDeleteRange(deleteOf("a"))));
  log.push(put("b"));
  log.push(encodeCommand(CommandKind.compaction, encodeCompaction({ revision: 6, physical: true })));
  const sizes = new Set<number>();
  for (let kept = log.length; kept < log.length + 6; kept++) {
    const node = await openNode(undefined, { sweepRows: 1 });
    node.buffer.held = true;
    for (const command of log) await applyNext(node.state, command);
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    node.state.abandon();
    node.buffer.writeSome(kept);
    sizes.add(node.store.dump().length);
    const again = await openNode(node.store.copy());
    assert.equal(again.state.applied.id.index, log.length + 1);
    const { kvs } = (await again.state.range(everything)) as RangeResult;
    assert.deepEqual(plain(kvs.map((kv) => kv.key)), ["b"]);
  }
  // The kills did fall between the removal of one row and the next.
  assert.ok(sizes.size >= 4);
});

test("the hash does not tell whether a compaction's removal is finished, and tells everything else", async () => {
  const pauses: (() => void)[] = [];
  const stalled = await openNode(undefined, { pause: () => new Promise<void>((go) => pauses.push(go)) });
  const free = await openNode();
  const put = (key: string, value: string): Uint8Array =>
    encodeCommand(CommandKind.put, encodePut(putOf(key, value)));
  const log = [put("a", "1"), put("a", "2"), put("b", "1")];
  log.push(encodeCommand(CommandKind.deleteRange, encodeDeleteRange(deleteOf("b"))));
  log.push(put("c", "1"));
  log.push(encodeCommand(CommandKind.compaction, encodeCompaction({ revision: 6, physical: true })));
  for (const command of log) {
    await applyNext(stalled.state, command);
    await applyNext(free.state, command);
  }
  await free.state.settled();
  await free.state.flush();
  await stalled.state.flush();
  assert.ok(free.store.dump().length < stalled.store.dump().length);
  const same = await hashOf(stalled.state);
  assert.equal(same, await hashOf(free.state));
  await applyNext(free.state, put("c", "1"));
  assert.notEqual(same, await hashOf(free.state));
  assert.equal(pauses.length, 1);
});

/** The transaction without anything that writes. */
function readOnly(txn: TxnRequest): TxnRequest {
  const reads = (ops: readonly RequestOp[]): RequestOp[] =>
    ops.flatMap((op): RequestOp[] => {
      if (op.kind === "range") return [op];
      return op.kind === "txn" ? [{ kind: "txn", request: readOnly(op.request) }] : [];
    });
  return { compare: txn.compare, success: reads(txn.success), failure: reads(txn.failure) };
}

test("slow reads see the state they began with, whatever is applied and compacted meanwhile", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 60 }), fc.nat(12), async (sequence, slowness) => {
      const model = new NaiveStore();
      const node = await openNode();
      node.store.slowness = slowness;
      const reads: Promise<void>[] = [];
      const expectLater = async (pending: unknown, wanted: unknown): Promise<void> => {
        assert.deepEqual(plain(await pending), plain(wanted));
      };
      for (const step of sequence) {
        const command = commandOf(step);
        if (step.op === "range")
          reads.push(expectLater(node.state.range(step.request), model.range(step.request)));
        if (step.op === "txn") {
          const request = readOnly(step.request);
          reads.push(expectLater(node.state.readTxn(request), model.txn(request)));
        }
        if (command !== undefined)
          assert.deepEqual(plain(await applyNext(node.state, command)), plain(expected(model, step)));
        if (step.op !== "range") node.buffer.writeSome(1000);
        if (step.op === "write") await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(reads);
    }),
    { numRuns: 150 },
  );
});

test("a hash taken under writes and compactions is that of the entry it names", async () => {
  await fc.assert(
    fc.asyncProperty(commands, fc.nat(2), async (log, slowness) => {
      const busy = await openNode();
      busy.store.slowness = slowness;
      busy.store.chunkRows = 2;
      const hashes: Promise<StateHash>[] = [];
      for (const [at, command] of log.entries()) {
        await applyNext(busy.state, command);
        if (at % 5 === 4) hashes.push(busy.state.hashState());
      }
      const calm = await openNode();
      for (const { hash, id } of await Promise.all(hashes)) {
        while (calm.state.applied.id.index < id.index)
          await applyNext(calm.state, log[calm.state.applied.id.index - 1]!);
        assert.equal(await hashOf(calm.state), hash);
      }
    }),
    { numRuns: 60 },
  );
});

test("members follow the membership and publish their names", async () => {
  const node = await openNode();
  const { state } = node;
  const member = (fields: object): Uint8Array => toBinary(MemberSchema, create(MemberSchema, fields));
  const change = (next: Partial<typeof membership>, context: Uint8Array): void => {
    const id = { index: state.applied.id.index + 1, epoch: 2 };
    state.applyMembership({ ...membership, ...next }, context, id);
    state.endEntry(id);
    assert.equal(state.applied.membershipIndex, id.index);
  };
  change({ learners: [9] } as never, member({ ID: 9n, peerURLs: ["http://127.0.0.1:9"], isLearner: true }));
  assert.deepEqual(state.members()[3], {
    id: 9,
    name: "",
    peerUrls: ["http://127.0.0.1:9"],
    clientUrls: [],
    isLearner: true,
  });
  const attributes = member({ ID: 9n, name: "nine", clientURLs: ["http://127.0.0.1:90"] });
  await applyNext(state, encodeCommand(CommandKind.memberAttributes, attributes));
  await applyNext(state, encodeCommand(CommandKind.memberAttributes, member({ ID: 55n, name: "nobody" })));
  change({ voters: [1, 2, 3, 9] } as never, Buffer.alloc(0));
  change({ voters: [1, 3, 9] } as never, Buffer.alloc(0));
  const wanted = [
    members[0],
    members[2],
    {
      id: 9,
      name: "nine",
      peerUrls: ["http://127.0.0.1:9"],
      clientUrls: ["http://127.0.0.1:90"],
      isLearner: false,
    },
  ];
  assert.deepEqual(state.members(), wanted);
  await state.flush();
  const again = await openNode(node.store.copy());
  assert.deepEqual(again.state.members(), wanted);
  assert.deepEqual(again.state.applied, state.applied);
});

test("a new cluster begins at entry 1, so that whoever joins later needs a snapshot", async () => {
  const { state, store } = await openNode();
  assert.deepEqual(state.applied, { id: { index: 1, epoch: 1 }, membership, membershipIndex: 1 });
  assert.equal(state.currentRevision, 1);
  assert.equal((await openNode(store.copy())).state.applied.id.index, 1);
  const joiner = await openNode(undefined, { bootstrap: undefined });
  assert.equal(joiner.state.applied.id.index, 0);
  assert.equal(joiner.state.applied.membership.voters.length, 0);
});
