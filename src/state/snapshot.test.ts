import assert from "node:assert/strict";
import { test } from "node:test";
import { encodePut } from "../mvcc/codec.js";
import type { RangeResult } from "../mvcc/messages.js";
import { NaiveStore } from "../mvcc/naive-store.js";
import { putOf, rangeOf } from "../mvcc/request-generators.js";
import { CommandKind, encodeCommand } from "./commands.js";
import { CorruptSnapshot } from "./snapshot-format.js";
import { applyNext, everything, hashOf, members, openNode, plain } from "./testing/state-under-test.js";

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
