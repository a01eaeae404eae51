// The replicated state on RocksDB itself, with the real write-behind buffer.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { encodeCompaction, encodeDeleteRange, encodePut, encodeTxn } from "../mvcc/codec.js";
import type { CompactionResult, RangeResult } from "../mvcc/messages.js";
import { deleteOf, op, putOf, rangeOf, text, txnOf } from "../mvcc/request-generators.js";
import { openStore } from "../storage/rocks-store.js";
import type { KeyValueStore } from "../storage/types.js";
import { createWriteBehind } from "../storage/write-behind.js";
import { CommandKind, encodeCommand } from "./commands.js";
import { ReplicatedState } from "./replicated-state.js";

const membership = { voters: [1], outgoing: [], learners: [], learnersNext: [], autoLeave: false };
const members = [{ id: 1, name: "", peerUrls: ["http://127.0.0.1:1"], clientUrls: [], isLearner: false }];
const onFatal = (error: Error): void => {
  throw error;
};

async function open(directory: string): Promise<{ store: KeyValueStore; state: ReplicatedState }> {
  const store = await openStore(directory);
  const state = await ReplicatedState.open({
    store,
    group: 1,
    createBuffer: (initialIndex) => createWriteBehind(store, { initialIndex, onFatal }),
    bootstrap: { membership, members },
    cacheBytes: 64 * 1024,
    onFatal,
  });
  return { store, state };
}

async function inFolder(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "quorate-state-"));
  try {
    await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function apply(state: ReplicatedState, command: Uint8Array): Promise<unknown> {
  const id = { index: state.applied.id.index + 1, epoch: 1 };
  await state.prepare(command);
  const result = state.apply(command, id, true, undefined);
  state.endEntry(id);
  return result;
}

const put = (key: string, value: string): Uint8Array =>
  encodeCommand(CommandKind.put, encodePut(putOf(key, value, { prevKv: true })));

test("what was applied is there after a restart, compacted rows are not, and the hash is the same", async () => {
  await inFolder(async (directory) => {
    let { store, state } = await open(directory);
    for (let n = 0; n < 3000; n++) await apply(state, put(`key ${n % 1000}`, `${"v".repeat(200)}${n}`));
    await apply(state, encodeCommand(CommandKind.deleteRange, encodeDeleteRange(deleteOf("key 5", "key 6"))));
    const swap = txnOf([], [op.put("left", "1"), op.del("key 1"), op.range("key 2", "key 3")]);
    await apply(state, encodeCommand(CommandKind.txn, encodeTxn(swap)));
    const before = await state.range(rangeOf("\0", "\0", { revision: 2500 }));
    assert.equal((before as RangeResult).count, 1000);
    const command = encodeCommand(
      CommandKind.compaction,
      encodeCompaction({ revision: 3002, physical: true }),
    );
    await ((await apply(state, command)) as CompactionResult).finished;
    const { id, hash, compactedRevision } = await state.hashState();
    assert.deepEqual([id, compactedRevision], [state.applied.id, 3002]);
    const wanted = (await state.range(rangeOf("\0", "\0"))) as RangeResult;
    assert.equal(wanted.count, 1000 - 111 - 1 + 1);
    await state.close();
    await store.close();

    ({ store, state } = await open(directory));
    assert.deepEqual(state.applied.id, id);
    assert.equal(state.durableIndex, id.index);
    assert.equal(await state.hash(), hash);
    const found = (await state.range(rangeOf("\0", "\0"))) as RangeResult;
    assert.deepEqual(
      found.kvs.map((kv) => [text(kv.key), text(kv.value), kv.createRevision, kv.modRevision, kv.version]),
      wanted.kvs.map((kv) => [text(kv.key), text(kv.value), kv.createRevision, kv.modRevision, kv.version]),
    );
    assert.equal(found.revision, wanted.revision);
    await state.close();
    await store.close();
  });
});

test("a snapshot travels from one store to another under writes", async () => {
  await inFolder(async (directory) => {
    const source = await open(join(directory, "source"));
    const target = await open(join(directory, "target"));
    for (let n = 0; n < 2000; n++) await apply(source.state, put(`key ${n}`, "v".repeat(500)));
    const { meta, chunks } = await source.state.snapshot();
    const sink = await target.state.receiveSnapshot(meta);
    let n = 2000;
    for await (const chunk of chunks) {
      await sink.write(chunk);
      for (let more = 0; more < 100; more++) await apply(source.state, put(`key ${n++ % 2500}`, "later"));
    }
    await sink.finish();
    await sink.install();
    assert.deepEqual(target.state.applied, meta);
    for (let at = meta.id.index - 1; at < n; at++)
      await apply(target.state, put(`key ${at % 2500}`, "later"));
    assert.equal(await target.state.hash(), await source.state.hash());
    for (const { state, store } of [source, target]) {
      assert.ok(state.sizes().totalBytes > 0);
      await state.close();
      await store.close();
    }
    const again = await open(join(directory, "target"));
    assert.equal(again.state.currentRevision, n + 1);
    await again.state.close();
    await again.store.close();
  });
});
