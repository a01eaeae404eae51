// What the Raft paper says, a test a sentence (Ongaro and Ousterhout, extended version).
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../conformance/network.js";
import type { RaftMessage } from "./messages.js";
import { append, Bench, entriesOf } from "./test-bench.js";

const candidateOf = (bench: Bench): Bench => {
  bench.tick(bench.raft.timeout);
  for (const { to, message } of bench.take("vote")) {
    bench.receive(to, { kind: "voteReply", term: message.term, pre: true, granted: true });
  }
  assert.equal(bench.role, "candidate");
  return bench;
};

test("5.1: a server that sees a larger term updates its own, and a leader or candidate steps down", () => {
  for (const bench of [new Bench(), candidateOf(new Bench()), new Bench().lead()]) {
    const term = bench.term + 1;
    bench.receive(2, append(term, [0, 0], 0));
    assert.equal(bench.term, term);
    assert.equal(bench.role, "follower");
    assert.equal(bench.raft.status().leader, 2);
  }
});

test("5.1: a server rejects a request with a stale term", () => {
  const bench = new Bench({ terms: [1], term: 4 });
  bench.receive(2, append(3, [1, 1], 1, 3));
  assert.equal(bench.raft.status().lastIndex, 1);
  assert.deepEqual(
    bench.take("appendReply").map(({ message }) => [message.rejected, message.term]),
    [[true, 4]],
  );
  bench.receive(2, { kind: "vote", term: 3, pre: false, lastIndex: 9, lastTerm: 3, transfer: false });
  assert.deepEqual(
    bench.take("voteReply").map(({ message }) => [message.granted, message.term]),
    [[false, 4]],
  );
});

test("5.2: servers start as followers", () => {
  assert.equal(new Bench().role, "follower");
});

test("5.2: leaders send heartbeats to all followers, which carry no entries", () => {
  const bench = new Bench({ config: { heartbeatTicks: 3 } }).lead();
  for (const id of [2, 3]) bench.acknowledge(id);
  bench.sent = [];
  bench.tick(2);
  assert.equal(bench.sent.length, 0);
  bench.tick();
  assert.deepEqual(
    bench.sent.map(({ to, message }) => [to, message.kind]),
    [
      [2, "heartbeat"],
      [3, "heartbeat"],
    ],
  );
});

test("5.2: a follower or candidate that hears nothing begins an election in the next term", () => {
  for (const start of ["follower", "candidate"]) {
    const bench = start === "candidate" ? candidateOf(new Bench()) : new Bench();
    const term = bench.term + 1;
    bench.take("vote");
    candidateOf(bench);
    assert.equal(bench.term, term);
    assert.equal(bench.raft.status().vote, 1);
    assert.deepEqual(
      bench.take("vote").map(({ to, message }) => [to, message.term, message.pre]),
      [
        [2, term, false],
        [3, term, false],
      ],
    );
  }
});

test("5.2: each server votes for one candidate a term at most, first come first served", () => {
  for (const [vote, candidate, granted] of [
    [0, 2, true],
    [0, 3, true],
    [2, 2, true],
    [3, 3, true],
    [2, 3, false],
    [3, 2, false],
  ] as const) {
    const bench = new Bench({ term: 1, vote });
    bench.receive(candidate, {
      kind: "vote",
      term: 1,
      pre: false,
      lastIndex: 0,
      lastTerm: 0,
      transfer: false,
    });
    assert.equal(bench.take("voteReply")[0]?.message.granted, granted);
  }
});

test("5.2: a candidate that hears the leader of its term follows it", () => {
  const bench = candidateOf(new Bench());
  bench.receive(2, append(bench.term, [0, 0], 0));
  assert.equal(bench.role, "follower");
  const other = candidateOf(new Bench());
  other.receive(3, { kind: "heartbeat", term: other.term, commit: 0, readPosition: 0 });
  assert.equal(other.role, "follower");
  assert.equal(other.raft.status().leader, 3);
});

test("5.2: election timeouts are spread evenly over [n, 2n)", () => {
  const random = seededRandom(7);
  const seen = new Map<number, number>();
  for (let i = 0; i < 2000; i++) {
    const { timeout } = new Bench({ config: { random } }).raft;
    seen.set(timeout, (seen.get(timeout) ?? 0) + 1);
  }
  for (let timeout = 10; timeout < 20; timeout++) {
    const share = (seen.get(timeout) ?? 0) / 2000;
    assert.ok(share > 0.05 && share < 0.15, `${timeout} ticks in ${share} of all cases`);
  }
  assert.equal(seen.size, 10);
});

test("5.2: every new attempt draws a new timeout", () => {
  const bench = new Bench({ config: { random: seededRandom(3) } });
  const timeouts = new Set<number>();
  for (let i = 0; i < 50; i++) {
    bench.tick(bench.raft.timeout);
    timeouts.add(bench.raft.timeout);
  }
  assert.ok(timeouts.size >= 5, `${timeouts.size} different timeouts`);
});

test("5.3: the leader appends a proposal and sends it to all followers with the entry before it", () => {
  const bench = new Bench().lead();
  for (const id of [2, 3]) bench.acknowledge(id);
  bench.sent = [];
  bench.propose("x");
  const appends = bench.take("append");
  assert.deepEqual(
    appends.map(({ to, message }) => [to, message.previousIndex, message.previousTerm, message.commit]),
    [
      [2, 1, 1, 1],
      [3, 1, 1, 1],
    ],
  );
  assert.equal(appends[0]!.message.entries, appends[1]!.message.entries);
  assert.deepEqual(
    appends[0]!.message.entries.map(({ index, epoch }) => [index, epoch]),
    [[2, 1]],
  );
});

test("5.3: an entry is committed, applied and announced once a majority has it", () => {
  const bench = new Bench().lead();
  for (const id of [2, 3]) bench.acknowledge(id);
  bench.propose("x");
  bench.sent = [];
  bench.acknowledge(2);
  assert.equal(bench.raft.status().commit, 2);
  assert.equal(bench.committed.at(-1)?.index, 2);
  assert.deepEqual(
    bench.take("append").map(({ to, message }) => [to, message.commit, message.entries.length]),
    [
      [2, 2, 0],
      [3, 2, 0],
    ],
  );
});

test("5.3: committing an entry commits all before it, those of earlier leaders included", () => {
  for (const terms of [[], [2], [1, 2], [1]]) {
    const bench = new Bench({ terms, term: 2 }).lead();
    bench.propose("x");
    bench.acknowledge(2);
    assert.equal(bench.term, 3);
    assert.deepEqual(
      bench.committed.map(({ index }) => index),
      Array.from({ length: terms.length + 2 }, (_, i) => i + 1),
    );
  }
});

test("5.3: a follower applies an entry once it learns that it is committed", () => {
  for (const [terms, commit] of [
    [[1], 1],
    [[1, 1], 2],
    [[1, 1], 1],
  ] as const) {
    const bench = new Bench({ term: 1 });
    bench.receive(2, append(1, [0, 0], commit, ...terms));
    assert.deepEqual(bench.committed, entriesOf(1, ...terms).slice(0, commit));
  }
});

test("5.3: a follower refuses entries that do not follow what it has, and says where to look", () => {
  for (const [previous, rejected, hintTerm, hintIndex] of [
    [[0, 0], false, 0, 0],
    [[1, 1], false, 0, 0],
    [[2, 2], false, 0, 0],
    [[1, 2], true, 1, 1],
    [[2, 3], true, 2, 2],
    [[3, 3], true, 2, 2],
  ] as const) {
    const bench = new Bench({ terms: [1, 2], term: 2, commit: 1 });
    // Index 1 is committed: a different term there cannot come from a leader of a later term.
    const fresh = previous[0] === 1 && previous[1] === 2 ? new Bench({ terms: [1, 2], term: 2 }) : bench;
    fresh.receive(2, append(4, previous, 0));
    const [reply] = fresh.take("appendReply");
    assert.deepEqual(
      [reply?.message.rejected, reply?.message.hintTerm, reply?.message.hintIndex],
      [rejected, hintTerm, hintIndex],
      `${previous}`,
    );
  }
});

test("5.4.1: a vote request carries the candidate's last entry", () => {
  for (const terms of [[1], [1, 2]]) {
    const bench = candidateOf(new Bench({ terms }));
    for (const { message } of bench.take("vote")) {
      assert.equal(message.lastIndex, terms.length);
      assert.equal(message.lastTerm, terms.at(-1));
    }
  }
});

test("5.4.2: only entries of the leader's own term are committed by counting", () => {
  const bench = new Bench({ terms: [1, 2], term: 2 }).lead();
  assert.equal(bench.term, 3);
  bench.acknowledge(2, 1);
  assert.equal(bench.raft.status().commit, 0);
  bench.acknowledge(2, 2);
  assert.equal(bench.raft.status().commit, 0);
  bench.acknowledge(2, 3);
  assert.equal(bench.raft.status().commit, 3);
});

test("a voter that hears a leader refuses to help depose it (thesis, 6.4.1), unless it is a transfer", () => {
  for (const pre of [true, false]) {
    const bench = new Bench();
    bench.receive(2, append(1, [0, 0], 0));
    bench.sent = [];
    const request: RaftMessage = { kind: "vote", term: 2, pre, lastIndex: 9, lastTerm: 1, transfer: false };
    bench.tick(9);
    bench.receive(3, request);
    assert.deepEqual([bench.sent, bench.term], [[], 1]);
    bench.receive(3, { ...request, transfer: true });
    assert.equal(bench.take("voteReply")[0]?.message.granted, true);
  }
});

test("a pre-vote changes nothing in the voter (thesis, 9.6)", () => {
  const bench = new Bench({ terms: [1], term: 1, vote: 2 });
  const before = bench.raft.status();
  bench.receive(3, { kind: "vote", term: 5, pre: true, lastIndex: 1, lastTerm: 1, transfer: false });
  const [reply] = bench.take("voteReply");
  assert.deepEqual([reply?.message.granted, reply?.message.term], [true, 5]);
  assert.deepEqual(bench.raft.status(), before);
});
