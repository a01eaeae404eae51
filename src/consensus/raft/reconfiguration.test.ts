// Memberships that change, are cut off or inherited, and what strangers and garbage can do.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { membershipOf, Network } from "../conformance/network.js";
import { electionTicks, untilLeader } from "../conformance/scenario.js";
import { encodeMembership } from "../membership/codec.js";
import { EntryKind } from "../types.js";
import type { RaftMessage } from "./messages.js";
import { createRaft } from "./raft.js";
import { append, Bench, entriesOf } from "./test-bench.js";

const vote = (term: number, lastIndex = 0, lastTerm = 0): RaftMessage => ({
  kind: "vote",
  term,
  pre: false,
  lastIndex,
  lastTerm,
  transfer: false,
});

test("a snapshot resets a membership that was not committed (openraft #1808)", () => {
  const bench = new Bench({ id: 3, terms: [1], term: 1 });
  const entry = {
    index: 2,
    epoch: 1,
    kind: EntryKind.membership,
    payload: encodeMembership(membershipOf([1, 2, 3, 4]), new Uint8Array(0)),
  };
  bench.receive(2, {
    kind: "append",
    term: 1,
    previousIndex: 1,
    previousTerm: 1,
    commit: 0,
    entries: [entry],
  });
  assert.deepEqual(bench.raft.status().membership.voters, [1, 2, 3, 4]);
  bench.raft.step({
    kind: "snapshotReceived",
    from: 1,
    epoch: 2,
    snapshot: { id: { index: 2, epoch: 2 }, membership: membershipOf([1, 2, 3]), membershipIndex: 0 },
  });
  const ready = bench.raft.ready();
  assert.equal(ready.append?.snapshot?.id.index, 2);
  assert.equal(ready.append?.truncateAfter, undefined);
  assert.deepEqual(ready.membership?.voters, [1, 2, 3]);
  assert.deepEqual(bench.raft.status().membership.voters, [1, 2, 3]);
});

test("a membership that is cut off gives way to the one before it", () => {
  const bench = new Bench({ id: 3, terms: [1], term: 1 });
  const payload = encodeMembership(membershipOf([3]), new Uint8Array(0));
  const entry = { index: 2, epoch: 1, kind: EntryKind.membership, payload };
  bench.receive(2, {
    kind: "append",
    term: 1,
    previousIndex: 1,
    previousTerm: 1,
    commit: 0,
    entries: [entry],
  });
  assert.deepEqual(bench.raft.status().membership.voters, [3]);
  bench.receive(1, append(2, [1, 1], 0, 2));
  assert.deepEqual(bench.raft.status().membership.voters, [1, 2, 3]);
  assert.equal(bench.raft.status().membershipIndex, 0);
});

test("no membership change before an entry of the own term is committed (the single-server bug)", () => {
  const bench = new Bench().lead();
  const ask = (id: number) => {
    const change = { steps: [{ op: "addVoter", node: 4 }], context: new Uint8Array(0) } as const;
    bench.raft.step({ kind: "changeMembership", id, change });
    return bench.raft.ready();
  };
  assert.deepEqual(
    ask(1).failed.map(({ reason }) => reason),
    ["changePending"],
  );
  bench.acknowledge(2);
  assert.deepEqual(
    ask(2).appended.map(({ id }) => id),
    [2],
  );
});

test("a new leader finishes the joint membership that its predecessor entered", () => {
  const net = new Network({ create: createRaft, nodes: [1, 2, 3] });
  net.elect(1);
  net.add(4, membershipOf([]));
  net.drop = ({ message }) =>
    message.kind === "append" && message.entries.some(({ index }) => index > net.status(1).commit + 1);
  net.step(1, {
    kind: "changeMembership",
    id: 1,
    change: {
      steps: [
        { op: "addVoter", node: 4 },
        { op: "remove", node: 1 },
      ],
      context: new Uint8Array(0),
    },
  });
  for (let i = 0; i < 3; i++) {
    for (const id of net.nodes.keys()) net.process(id);
    for (const packet of net.packets.splice(0)) net.deliver(packet);
  }
  net.crash(1);
  net.heal();
  const leader = untilLeader(net, 12 * electionTicks);
  net.run(4);
  const { membership } = net.status(leader);
  assert.ok(membership.outgoing.length === 0, JSON.stringify(membership));
});

test("a voter demoted by an entry that only it holds campaigns, since nobody else can win", () => {
  const net = new Network({ create: createRaft, nodes: [1, 2] });
  net.elect(1);
  net.run(2);
  net.cut(1, 2);
  net.step(1, {
    kind: "changeMembership",
    id: 1,
    change: { steps: [{ op: "addLearner", node: 1 }], context: new Uint8Array(0) },
  });
  net.settle();
  assert.deepEqual(net.status(1).membership.voters, [2]);
  net.run(2 * electionTicks);
  assert.deepEqual(net.leaders, []);
  net.heal();
  const leader = untilLeader(net, 20 * electionTicks);
  net.run(6 * electionTicks);
  assert.ok([1, 2].includes(leader));
  assert.deepEqual(net.leaders, [2]);
  assert.deepEqual(net.status(2).membership.learners, [1]);
});

test("a stranger's answers do not depose a leader, its vote requests are ignored", () => {
  const bench = new Bench().lead();
  const { term } = bench;
  bench.receive(9, { kind: "voteReply", term: 50, pre: false, granted: false });
  bench.receive(9, { kind: "heartbeatReply", term: 50, readPosition: 0 });
  bench.receive(9, vote(60, 1000, 59));
  assert.deepEqual([bench.role, bench.term], ["leader", term]);
});

test("a follower takes entries from a leader it does not know as a member", () => {
  const bench = new Bench();
  bench.receive(7, append(3, [0, 0], 1, 3));
  assert.deepEqual([bench.raft.status().leader, bench.raft.status().commit], [7, 1]);
});

test("whatever a peer sends, nothing is thrown and nothing committed is lost", () => {
  const number = fc.oneof(fc.nat(6), fc.constantFrom(-1, 0.5, Number.NaN, 2 ** 53, Number.MAX_SAFE_INTEGER));
  const entry = fc.record({
    index: number,
    epoch: number,
    kind: fc.constantFrom(0, 1, 2, 7),
    payload: fc.uint8Array({ maxLength: 4 }),
  });
  const orderly = fc
    .record({
      term: fc.integer({ min: 1, max: 6 }),
      previous: fc.nat(6),
      previousTerm: fc.nat(6),
      terms: fc.array(fc.nat(6), { maxLength: 4 }),
    })
    .map(({ term, previous, previousTerm, terms }) => append(term, [previous, previousTerm], 9, ...terms));
  const message = fc.oneof(
    orderly,
    fc.record({
      kind: fc.constantFrom(
        "vote",
        "voteReply",
        "append",
        "appendReply",
        "heartbeat",
        "heartbeatReply",
        "timeoutNow",
        "other",
      ),
      term: number,
      pre: fc.boolean(),
      granted: fc.boolean(),
      transfer: fc.boolean(),
      rejected: fc.boolean(),
      lastIndex: number,
      lastTerm: number,
      previousIndex: number,
      previousTerm: number,
      index: number,
      hintIndex: number,
      hintTerm: number,
      commit: number,
      readPosition: number,
      entries: fc.array(entry, { maxLength: 4 }),
    }),
  );
  const act = fc.record({ from: fc.constantFrom(1, 2, 3, 9, 0), message, ticks: fc.nat(12) });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 30 }), fc.boolean(), (acts, lead) => {
      const bench = new Bench({ terms: [1, 1, 2], term: 2, commit: 2 });
      if (lead) bench.lead();
      let committed = bench.committed.length;
      for (const { from, message: content, ticks } of acts) {
        bench.tick(ticks);
        bench.receive(from, content as RaftMessage);
        assert.ok(bench.committed.length >= committed);
        committed = bench.committed.length;
      }
      assert.deepEqual(bench.committed.slice(0, 2), entriesOf(1, 1, 1));
      assert.deepEqual(
        bench.committed.map(({ index }) => index),
        bench.committed.map((_, i) => i + 1),
      );
    }),
    { numRuns: 500 },
  );
});
