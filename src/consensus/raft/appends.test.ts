// Appends that come late, twice, in part or not at all, and the pace at which they are sent.
import assert from "node:assert/strict";
import { test } from "node:test";
import { append, Bench } from "./test-bench.js";

test("a delayed append does not cut off what came after it (openraft 9540c904)", () => {
  const bench = new Bench({ term: 1 });
  bench.receive(2, append(1, [0, 0], 0, 1, 1, 1, 1, 1));
  bench.receive(2, append(1, [0, 0], 0, 1, 1, 1));
  bench.receive(2, append(1, [0, 0], 0));
  assert.equal(bench.raft.status().lastIndex, 5);
  assert.deepEqual(
    bench.take("appendReply").map(({ message }) => message.index),
    [5, 3, 0],
  );
});

test("an append that overlaps what is committed is taken for its new part", () => {
  const bench = new Bench({ terms: [1, 1, 1], term: 1, commit: 2 });
  bench.receive(2, append(1, [1, 1], 3, 1, 1, 1));
  assert.deepEqual([bench.raft.status().lastIndex, bench.raft.status().commit], [4, 3]);
  assert.equal(bench.take("appendReply")[0]?.message.index, 4);
});

test("an append that contradicts what is committed is impossible and ignored", () => {
  const bench = new Bench({ terms: [1, 1, 1], term: 1, commit: 2 });
  bench.receive(2, append(2, [0, 0], 3, 2, 2, 2));
  assert.deepEqual(bench.raft.terms, [1, 1, 1]);
  assert.equal(bench.raft.impossibleMessages, 1);
  assert.deepEqual(bench.take("appendReply"), []);
});

test("a follower that is caught up returns from probing to replicating on a heartbeat", () => {
  const bench = new Bench().lead();
  for (const id of [2, 3]) bench.acknowledge(id);
  bench.raft.step({ kind: "unreachable", peer: 2 });
  bench.drain();
  const state = () => bench.raft.status().progress.find(({ node }) => node === 2)?.state;
  assert.equal(state(), "probe");
  bench.sent = [];
  bench.receive(2, { kind: "heartbeatReply", term: bench.term, readPosition: 0 });
  assert.equal(bench.take("append").length, 1);
  bench.acknowledge(2);
  assert.equal(state(), "replicate");
});

test("probing sends one append and waits; replicating fills the window and waits", () => {
  const bench = new Bench({ config: { maxInflightMessages: 3, maxAppendBytes: 1 } }).lead();
  bench.sent = [];
  for (let i = 0; i < 10; i++) bench.propose(`${i}`);
  assert.equal(bench.take("append").length, 0);
  bench.acknowledge(2, 1);
  assert.equal(bench.take("append").filter(({ to }) => to === 2).length, 3);
  bench.receive(2, { kind: "heartbeatReply", term: bench.term, readPosition: 0 });
  const [probe] = bench.take("append");
  assert.deepEqual([probe?.message.entries.length, probe?.message.previousIndex], [0, 4]);
  bench.acknowledge(2, 3);
  assert.deepEqual(
    bench
      .take("append")
      .flatMap(({ to, message }) => (to === 2 ? message.entries.map(({ index }) => index) : [])),
    [5, 6],
  );
});

test("the window also closes by bytes", () => {
  const bench = new Bench({ config: { maxInflightBytes: 25, maxAppendBytes: 10 } }).lead();
  for (const id of [2, 3]) bench.acknowledge(id);
  bench.sent = [];
  for (let i = 0; i < 10; i++) bench.propose("0123456789");
  assert.equal(bench.take("append").filter(({ to }) => to === 2).length, 3);
});
