// Elections that went wrong elsewhere: votes across crashes and step-downs, and terms that differ.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Network } from "../conformance/network.js";
import { electionTicks, untilLeader } from "../conformance/scenario.js";
import type { RaftMessage } from "./messages.js";
import { createRaft } from "./raft.js";
import { append, Bench } from "./test-bench.js";

const vote = (term: number, lastIndex = 0, lastTerm = 0): RaftMessage => ({
  kind: "vote",
  term,
  pre: false,
  lastIndex,
  lastTerm,
  transfer: false,
});

test("a vote survives a crash after it was granted, and was never sent when the crash came before", () => {
  const net = new Network({ create: createRaft, nodes: [1, 2, 3] });
  net.step(2, { kind: "message", from: 1, message: vote(5) });
  net.process(2);
  assert.ok(
    net.packets.some(({ to, message }) => to === 1 && message.kind === "voteReply" && message.granted),
  );
  net.crash(2);
  net.restart(2);
  net.packets = [];
  net.step(2, { kind: "message", from: 3, message: vote(5) });
  net.process(2);
  assert.ok(
    net.packets.some(({ to, message }) => to === 3 && message.kind === "voteReply" && !message.granted),
  );

  net.node(2).diskHeld = true;
  net.packets = [];
  net.step(2, { kind: "message", from: 1, message: vote(6) });
  net.process(2);
  assert.deepEqual(net.packets, []);
  net.crash(2);
  net.restart(2);
  assert.equal(net.status(2).epoch, 5);
});

test("a candidate that steps down in the same term keeps its vote (CCF #5891, #8094)", () => {
  const bench = new Bench({ terms: [1, 2], term: 2 });
  bench.tick(10);
  for (const { to, message } of bench.take("vote")) {
    bench.receive(to, { kind: "voteReply", term: message.term, pre: true, granted: true });
  }
  assert.deepEqual([bench.role, bench.term], ["candidate", 3]);
  bench.receive(2, append(3, [9, 3], 0));
  assert.equal(bench.role, "follower");
  bench.take("voteReply");
  bench.receive(3, vote(3, 9, 3));
  assert.equal(bench.take("voteReply")[0]?.message.granted, false);
  assert.equal(bench.raft.status().vote, 1);
});

test("a leader that steps down in the same term keeps its vote", () => {
  const bench = new Bench().lead();
  bench.tick(electionTicks + 1);
  assert.equal(bench.role, "follower");
  bench.receive(3, vote(bench.term, 9, 0));
  assert.equal(bench.take("voteReply")[0]?.message.granted, false);
});

test("a node at a higher term with a shorter log does not block a cluster with pre-vote", () => {
  for (const higher of [1, 2, 3]) {
    const net = new Network({
      create: createRaft,
      nodes: [1, 2, 3],
      logs: new Map(
        [1, 2, 3].map((id) => [id, id === higher ? { terms: [1], term: 9 } : { terms: [1, 1], term: 2 }]),
      ),
    });
    const leader = untilLeader(net, 12 * electionTicks);
    net.run(3);
    assert.notEqual(leader, higher);
    assert.equal(net.status(higher).commit, net.status(leader).lastIndex);
  }
});

test("a leader of a smaller term gives way to a returning node of a larger one, and somebody leads again", () => {
  const net = new Network({ create: createRaft, nodes: [1, 2, 3] });
  net.elect(1);
  net.isolate(3);
  net.propose(1, "a");
  net.run(2);
  net.crash(3);
  net.node(3).disk.hardState = { ...net.node(3).disk.hardState, promised: { round: 20, node: 3 } };
  net.restart(3);
  net.heal();
  net.run(8 * electionTicks);
  const leader = untilLeader(net, 8 * electionTicks);
  assert.notEqual(leader, 3);
  assert.ok(net.status(leader).epoch > 20);
});

test("a pre-candidate of a smaller term learns the term from its refusal and completes an election", () => {
  const net = new Network({
    create: createRaft,
    nodes: [1, 2, 3],
    logs: new Map([
      [1, { terms: [1, 1], term: 1 }],
      [2, { terms: [1, 1], term: 3 }],
      [3, { terms: [1], term: 3 }],
    ]),
  });
  net.crash(2);
  for (let i = 0; i < 60 && net.leaders.length === 0; i++) {
    net.tick(1);
    net.settle();
  }
  assert.deepEqual(net.leaders, [1]);
  assert.ok(net.status(1).epoch > 3);
});
