import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { MemberSchema } from "../gen/etcdserverpb/rpc_pb.js";
import { encodeCompaction, encodeDeleteRange, encodePut, encodeTxn } from "../mvcc/codec.js";
import { ManualBuffer, MemoryStore } from "../mvcc/memory-storage.js";
import type {
  DeleteRangeRequest,
  KeyEvent,
  PutRequest,
  RangeRequest,
  RangeResult,
  TxnRequest,
} from "../mvcc/messages.js";
import { NaiveStore } from "../mvcc/naive-store.js";
import { deleteOf, deletes, putOf, puts, rangeOf, ranges, txns } from "../mvcc/request-generators.js";
import { CommandKind, encodeCommand } from "./commands.js";
import { ReplicatedState, type StateOptions } from "./replicated-state.js";
import { CorruptSnapshot } from "./snapshot-format.js";

const membership = { voters: [1, 2, 3], outgoing: [], learners: [], learnersNext: [], autoLeave: false };
const members = membership.voters.map((id) => ({
  id,
  name: `n${id}`,
  peerUrls: [`http://127.0.0.1:${id}`],
  clientUrls: [],
  isLearner: false,
}));

interface Node {
  readonly state: ReplicatedState;
  readonly store: MemoryStore;
  readonly buffer: ManualBuffer;
}

type Overrides = { [Name in keyof StateOptions]?: StateOptions[Name] | undefined };

async function openNode(store = new MemoryStore(), options: Overrides = {}): Promise<Node> {
  let buffer: ManualBuffer | undefined;
  const state = await ReplicatedState.open({
    store,
    group: 7,
    createBuffer: (index) => (buffer = new ManualBuffer(store, index)),
    bootstrap: { membership, members },
    cacheBytes: 1,
    onFatal: (error) => {
      throw error;
    },
    ...options,
  } as StateOptions);
  return { state, store, buffer: buffer! };
}

type Step =
  | { readonly op: "put"; readonly request: PutRequest }
  | { readonly op: "deleteRange"; readonly request: DeleteRangeRequest }
  | { readonly op: "txn"; readonly request: TxnRequest }
  | { readonly op: "compaction"; readonly request: { readonly revision: number; readonly physical: boolean } }
  | { readonly op: "range"; readonly request: RangeRequest }
  | { readonly op: "write"; readonly count: number }
  | { readonly op: "kill" };

const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: puts.map((request): Step => ({ op: "put", request })) },
  { weight: 3, arbitrary: deletes.map((request): Step => ({ op: "deleteRange", request })) },
  { weight: 6, arbitrary: txns.map((request): Step => ({ op: "txn", request })) },
  { weight: 4, arbitrary: ranges.map((request): Step => ({ op: "range", request })) },
  {
    weight: 1,
    arbitrary: fc
      .record({ revision: fc.integer({ min: -1, max: 30 }), physical: fc.boolean() })
      .map((request): Step => ({ op: "compaction", request })),
  },
  { weight: 2, arbitrary: fc.nat(6).map((count): Step => ({ op: "write", count })) },
  { weight: 1, arbitrary: fc.constant<Step>({ op: "kill" }) },
);

function commandOf(step: Step): Uint8Array | undefined {
  switch (step.op) {
    case "put":
      return encodeCommand(CommandKind.put, encodePut(step.request));
    case "deleteRange":
      return encodeCommand(CommandKind.deleteRange, encodeDeleteRange(step.request));
    case "txn":
      return encodeCommand(CommandKind.txn, encodeTxn(step.request));
    case "compaction":
      return encodeCommand(CommandKind.compaction, encodeCompaction(step.request));
    default:
      return undefined;
  }
}

async function applyNext(state: ReplicatedState, command: Uint8Array, wantResult = true): Promise<unknown> {
  const id = { index: state.applied.id.index + 1, epoch: 1 };
  await state.prepare(command, wantResult);
  const result = state.apply(command, id, wantResult, undefined);
  state.endEntry(id);
  return result;
}

function expected(model: NaiveStore, step: Step): unknown {
  switch (step.op) {
    case "put":
      return model.put(step.request);
    case "deleteRange":
      return model.deleteRange(step.request);
    case "txn":
      return model.txn(step.request);
    case "range":
      return model.range(step.request);
    case "compaction":
      return model.compact(step.request.revision) ?? { kind: "compaction", revision: model.current };
    default:
      return undefined;
  }
}

/** Makes results comparable: bytes of any class as text, and no promise. */
function plain(result: unknown): unknown {
  if (result instanceof Uint8Array) return Buffer.from(result).toString("latin1");
  if (Array.isArray(result)) return result.map(plain);
  if (typeof result !== "object" || result === null || result instanceof Promise) return result;
  const fields = Object.entries(result).filter(([name]) => name !== "finished");
  return Object.fromEntries(fields.map(([name, value]) => [name, plain(value)]));
}

const everything = rangeOf("\0", "\0");

test("the state answers as the naive store does, with values on disk or in memory, through kills", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 60 }), async (sequence) => {
      const model = new NaiveStore();
      const events: KeyEvent[][] = [[], []];
      const onRevision = (revision: number, changes: readonly KeyEvent[]): void => {
        events[revision] = [...changes];
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

const commands = fc.array(
  steps.map(commandOf).filter((command): command is Uint8Array => command !== undefined),
  { maxLength: 60 },
);

async function hashOf(state: ReplicatedState): Promise<number> {
  return await state.hash();
}

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

test("a kill at every point loses a suffix that the log brings back, to the same state and hash", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(commands, { minLength: 1, maxLength: 1 }), fc.nat(3), async ([log], turns) => {
      const whole = await openNode();
      for (const command of log!) await applyNext(whole.state, command);
      const wanted = await hashOf(whole.state);
      for (let kept = 0; kept <= log!.length; kept++) {
        const node = await openNode();
        node.buffer.held = true;
        for (const command of log!) await applyNext(node.state, command);
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
        node.state.abandon();
        node.buffer.writeSome(kept);
        const again = await openNode(node.store.copy());
        const { index } = again.state.applied.id;
        assert.ok(index <= kept + 1);
        for (const command of log!.slice(index - 1)) await applyNext(again.state, command);
        assert.equal(await hashOf(again.state), wanted);
      }
    }),
    { numRuns: 12 },
  );
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

test("a snapshot taken under writes equals the state at its meta, and installs on an empty member", async () => {
  const source = await openNode();
  const model = new NaiveStore();
  let number = 0;
  const write = async (): Promise<void> => {
    const request = putOf(`key ${number % 500}`, `${"x".repeat(1000)}${number++}`);
    model.put(request);
    await applyNext(source.state, encodeCommand(CommandKind.put, encodePut(request)));
  };
  while (number < 700) await write();
  const { meta, chunks } = await source.state.snapshot();
  const target = await openNode(undefined, { bootstrap: undefined });
  const sink = await target.state.receiveSnapshot(meta);
  let count = 0;
  for await (const chunk of chunks) {
    assert.ok(chunk.length <= 256 * 1024);
    count++;
    await sink.write(chunk);
    for (let more = 0; more < 50; more++) await write();
    source.buffer.writeSome(1000);
  }
  assert.ok(count > 2);
  await sink.finish();
  assert.equal(target.state.currentRevision, 1);
  await sink.install();
  assert.deepEqual(target.state.applied, meta);
  assert.equal(target.state.durableIndex, meta.id.index);
  assert.deepEqual(target.state.members(), members);
  const revision = meta.id.index;
  assert.equal(target.state.currentRevision, revision);
  for (let at = 2; at <= revision; at += 100) {
    const range = { ...everything, revision: at };
    assert.deepEqual(plain(await target.state.range(range)), {
      ...(plain(model.range(range)) as object),
      revision,
    });
  }
  // The log goes on from there, also after a restart.
  for (let index = revision; index < number + 1; index++) {
    const request = putOf(`key ${(index - 1) % 500}`, `${"x".repeat(1000)}${index - 1}`);
    await applyNext(target.state, encodeCommand(CommandKind.put, encodePut(request)), false);
  }
  assert.equal(await hashOf(target.state), await hashOf(source.state));
  target.state.abandon();
  await target.buffer.flush();
  const again = await openNode(target.store.copy(), { bootstrap: undefined });
  assert.equal(await hashOf(again.state), await hashOf(source.state));
});

test("a snapshot replaces a state that exists, and reads under way on the old one still finish", async () => {
  const source = await openNode();
  const target = await openNode();
  const put = (key: string, value: string): Uint8Array =>
    encodeCommand(CommandKind.put, encodePut(putOf(key, value)));
  await applyNext(target.state, put("old", "value"));
  await applyNext(target.state, put("other", "value"));
  await target.state.flush();
  for (let n = 0; n < 20; n++) await applyNext(source.state, put(`new ${n}`, "value"));
  const { meta, chunks } = await source.state.snapshot();
  const sink = await target.state.receiveSnapshot(meta);
  for await (const chunk of chunks) await sink.write(chunk);
  await sink.finish();
  assert.equal(target.state.currentRevision, 3);
  const pending = target.state.range(rangeOf("old"));
  assert.ok(pending instanceof Promise);
  await sink.install();
  const found = (await pending) as RangeResult;
  assert.deepEqual(plain(found.kvs[0]!.value), "value");
  assert.equal(((await target.state.range(rangeOf("old"))) as RangeResult).count, 0);
  assert.equal(await hashOf(target.state), await hashOf(source.state));
  await target.state.settled();
  await target.state.flush();
  const left = target.store.dump().filter(([key]) => key.startsWith("0000000700000001"));
  assert.deepEqual(left, []);
});

test("a snapshot that is damaged, cut short or of another entry changes nothing", async () => {
  const source = await openNode();
  const put = encodeCommand(CommandKind.put, encodePut(putOf("k", "x".repeat(600_000))));
  await applyNext(source.state, put);
  const { meta, chunks } = await source.state.snapshot();
  const sent: Buffer[] = [];
  for await (const chunk of chunks) sent.push(Buffer.from(chunk));
  assert.equal(sent.length, 3);
  const flipped = sent.map((chunk) => Buffer.from(chunk));
  flipped[1]![5000]! ^= 1;
  const swapped = [sent[0]!, sent[2]!, sent[1]!];
  const attempts: [string, Buffer[], typeof meta][] = [
    ["a flipped bit", flipped, meta],
    ["chunks out of order", swapped, meta],
    ["a missing end", sent.slice(0, 2), meta],
    ["an empty chunk", [Buffer.alloc(0)], meta],
    ["something after the end", [...sent, sent[2]!], meta],
    ["another entry", sent, { ...meta, id: { index: 99, epoch: 1 } }],
  ];
  for (const [what, delivered, claimed] of attempts) {
    const target = await openNode();
    await applyNext(target.state, encodeCommand(CommandKind.put, encodePut(putOf("mine"))));
    const before = await hashOf(target.state);
    const sink = await target.state.receiveSnapshot(claimed);
    await assert.rejects(
      async () => {
        for (const chunk of delivered) await sink.write(chunk);
        await sink.finish();
      },
      CorruptSnapshot,
      what,
    );
    await assert.rejects(() => sink.install(), TypeError);
    await sink.abort();
    assert.equal(await hashOf(target.state), before);
    assert.deepEqual(
      target.store.dump().filter(([key]) => key.startsWith("0000000700000002")),
      [],
    );
  }
});

test("generations that a crash left behind are cleared when the state is opened", async () => {
  const source = await openNode();
  await applyNext(source.state, encodeCommand(CommandKind.put, encodePut(putOf("k", "v"))));
  const { meta, chunks } = await source.state.snapshot();
  const target = await openNode();
  const sink = await target.state.receiveSnapshot(meta);
  for await (const chunk of chunks) await sink.write(chunk);
  assert.ok(target.store.dump().some(([key]) => key.startsWith("0000000700000002")));
  const again = await openNode(target.store.copy());
  await again.state.settled();
  assert.ok(!again.store.dump().some(([key]) => key.startsWith("0000000700000002")));
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
