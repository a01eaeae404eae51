// Courses of events that only Raft knows, most of them bugs that other implementations had.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Invariants } from "../conformance/invariants.js";
import { membershipOf, Network, type Packet } from "../conformance/network.js";
import { electionTicks, untilLeader } from "../conformance/scenario.js";
import type { EngineConfig } from "../engine.js";
import { encodeMembership } from "../membership/codec.js";
import { EntryKind } from "../types.js";
import type { RaftMessage } from "./messages.js";
import { createRaft, Raft } from "./raft.js";
import { append, Bench, entriesOf, OpenRaft } from "./test-bench.js";

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

// --- Figure 8 ---------------------------------------------------------------------------------------

class CommitsEarlierTerms extends Raft {
  protected override committable(): boolean {
    return true;
  }
}

/** Up to (c) of figure 8: node 1, leading term 4, has copied entry 2 of term 2 to a majority. */
function figure8(create: (config: EngineConfig) => Raft): Network<RaftMessage> {
  const net = new Network<RaftMessage>({
    create,
    nodes: [1, 2, 3, 4, 5],
    logs: new Map([
      [1, { terms: [1, 2], term: 3 }],
      [2, { terms: [1, 2], term: 3 }],
      [3, { terms: [1], term: 3 }],
      [4, { terms: [1], term: 3 }],
      [5, { terms: [1, 3], term: 3 }],
    ]),
  });
  net.cut(1, 5);
  // Nothing of term 4 reaches anybody, nor what node 1 believes to be committed.
  const censored = ({ message, ...rest }: Packet<RaftMessage>): Packet<RaftMessage> => {
    if (message.kind === "heartbeat") return { ...rest, message: { ...message, commit: 0 } };
    if (message.kind !== "append") return { ...rest, message };
    const entries = message.entries.filter(({ index }) => index <= 2);
    return { ...rest, message: { ...message, entries, commit: 0 } };
  };
  for (let i = 0; i < 40; i++) {
    if (net.status(1).role !== "leader") net.tick(1);
    else if (i % 4 === 0) net.tick(1);
    for (let moved = true; moved; ) {
      moved = false;
      for (const id of net.nodes.keys()) moved = net.process(id) !== undefined || moved;
      for (const packet of net.packets.splice(0)) {
        moved = true;
        if (packet.to === 4 && packet.message.kind === "append") continue;
        net.deliver(censored(packet));
      }
    }
  }
  assert.deepEqual(net.leaders, [1]);
  assert.equal(net.status(1).epoch, 4);
  assert.deepEqual(
    net.node(3).log.map(({ epoch }) => epoch),
    [1, 2],
  );
  return net;
}

/** Node 1 dies; the others have forgotten that they heard it and would vote. */
function leaderDies(net: Network<RaftMessage>): void {
  net.crash(1);
  for (const id of [2, 3, 4]) {
    net.crash(id);
    net.restart(id);
  }
}

test("figure 8: an entry of an earlier term on a majority is not committed by counting", () => {
  const net = figure8(createRaft as (config: EngineConfig) => Raft);
  const invariants = new Invariants(net);
  assert.equal(net.status(1).commit, 0);
  invariants.check();
  // (d): node 1 dies, node 5 wins and overwrites entry 2 everywhere, which is legal.
  leaderDies(net);
  net.elect(5);
  net.run(3);
  invariants.check();
  assert.deepEqual(
    net.node(3).log.map(({ epoch }) => epoch),
    [1, 3, net.status(5).epoch],
  );
});

test("figure 8 (e): once an entry of the own term is on a majority, node 5 cannot win any more", () => {
  const net = figure8(createRaft as (config: EngineConfig) => Raft);
  net.run(3);
  assert.equal(net.status(1).commit, 3);
  leaderDies(net);
  for (let i = 0; i < 100; i++) {
    net.tick(5);
    net.settle();
    assert.notEqual(net.status(5).role, "leader");
  }
});

test("figure 8 shows an engine that commits entries of earlier terms", () => {
  const net = figure8((config) => new CommitsEarlierTerms(config));
  const invariants = new Invariants(net);
  assert.equal(net.status(1).commit, 2);
  invariants.check();
  leaderDies(net);
  assert.throws(() => {
    net.elect(5);
    net.run(3);
    invariants.check();
  });
});

// --- Appends that come late -------------------------------------------------------------------------

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

// --- Durability -------------------------------------------------------------------------------------

test("the late end of an earlier write does not vouch for entries written anew since (append ABA)", () => {
  const bench = new Bench({ voters: [1, 2, 3], term: 1 });
  bench.diskHeld = true;
  bench.receive(2, append(1, [0, 0], 0, 1, 1, 1));
  bench.receive(3, append(2, [1, 1], 0, 2, 2));
  assert.equal(bench.writes[1]?.append?.truncateAfter, 1);
  bench.persist(1);
  assert.equal(bench.raft.durable, 1);
  bench.persist(1);
  assert.equal(bench.raft.durable, 3);
});

test("seven nodes, three leaders, one entry three times: no completion vouches for a later writing", () => {
  // The course of etcd's async_storage_writes_append_aba_race.
  const create = (config: EngineConfig) => new OpenRaft(config);
  const net = new Network<RaftMessage>({ create, nodes: [1, 2, 3, 4, 5, 6, 7] });
  const exchange = (ids: readonly number[], only: (packet: Packet<RaftMessage>) => boolean = () => true) => {
    for (let i = 0; i < 12; i++) {
      for (const id of ids) net.process(id);
      for (const packet of net.packets.splice(0)) if (only(packet)) net.deliver(packet);
    }
  };
  const withoutAppendsExceptTo = (id: number) => (packet: Packet<RaftMessage>) =>
    packet.message.kind !== "append" || packet.to === id;
  const campaign = (id: number, voters: readonly number[]) => {
    for (const voter of voters) {
      net.crash(voter);
      net.restart(voter);
    }
    for (let i = 0; i < 40 && net.status(id).role !== "leader"; i++) {
      net.tick(id);
      exchange(
        [id, ...voters],
        ({ message, to }) => message.kind !== "append" && [id, ...voters].includes(to),
      );
    }
    assert.equal(net.status(id).role, "leader");
  };
  net.elect(2);
  net.run(2);
  const base = net.status(2).lastIndex;
  const logOf1 = () => net.node(1).disk.entries.map(({ epoch }) => epoch);
  const opened = net.engine(1) as OpenRaft;

  // Node 2 reaches only node 1, whose disk is slow.
  net.node(1).diskHeld = true;
  net.propose(2, "first");
  exchange([2, 1], withoutAppendsExceptTo(1));
  assert.equal(net.status(1).lastIndex, base + 1);
  // Node 3 leads the next term by the votes of others and overwrites the entry at node 1.
  campaign(3, [4, 5, 6]);
  net.step(3, { kind: "tick" });
  exchange([3, 1], withoutAppendsExceptTo(1));
  assert.deepEqual([net.status(1).lastEpoch, net.status(1).lastIndex], [2, base + 1]);
  // Node 3 crashes, node 4 leads and overwrites it again.
  net.crash(3);
  campaign(4, [5, 6, 7]);
  net.step(4, { kind: "tick" });
  exchange([4, 1], withoutAppendsExceptTo(1));
  assert.deepEqual([net.status(1).lastEpoch, net.status(1).lastIndex], [3, base + 1]);

  const acknowledged = () =>
    net.packets.filter(
      ({ to, message }) =>
        to === 4 && message.kind === "appendReply" && !message.rejected && message.index > base,
    );
  net.packets = [];
  while (logOf1().at(-1) !== 3) {
    assert.equal(opened.durable, base, `durable while the disk holds terms ${logOf1()}`);
    assert.deepEqual(acknowledged(), []);
    assert.ok(net.node(1).writes.length > 0);
    net.persist(1, 1);
  }
  net.persist(1);
  assert.equal(opened.durable, base + 1);
  assert.ok(acknowledged().length > 0);
});

test("a write that ended where the log now ends anew does not vouch for it, even with equal marks", () => {
  const bench = new Bench({ voters: [1, 2, 3], terms: [1, 1, 1], term: 1 });
  bench.diskHeld = true;
  bench.receive(2, vote(2, 3, 1));
  bench.receive(2, append(2, [1, 1], 0, 2, 2));
  assert.deepEqual(
    bench.writes.map(({ append: batch }) => batch?.mark),
    [
      { epoch: 2, index: 3 },
      { epoch: 2, index: 3 },
    ],
  );
  bench.raft.step({ kind: "persisted", mark: { epoch: 2, index: 3 } });
  assert.equal(bench.raft.durable, 1);
  bench.raft.step({ kind: "persisted", mark: { epoch: 2, index: 3 } });
  assert.equal(bench.raft.durable, 3);
  bench.raft.step({ kind: "persisted", mark: { epoch: 2, index: 3 } });
  assert.equal(bench.raft.durable, 3);
});

test("the term is in the same batch as the first entries of that term", () => {
  const bench = new Bench();
  bench.diskHeld = true;
  bench.receive(2, append(5, [0, 0], 0, 1, 1));
  assert.equal(bench.writes[0]?.append?.hardState?.promised.round, 5);
  assert.equal(bench.writes[0]?.append?.entries.length, 2);
  assert.deepEqual(bench.take("appendReply"), []);
});

test("a candidate counts its own vote, and asks for others, when that vote is durable", () => {
  const bench = new Bench({ voters: [1] });
  bench.diskHeld = true;
  bench.tick(3);
  assert.equal(bench.role, "candidate");
  bench.persist();
  assert.equal(bench.role, "leader");

  const three = new Bench();
  three.tick(10);
  three.diskHeld = true;
  for (const { to, message } of three.take("vote")) {
    three.receive(to, { kind: "voteReply", term: message.term, pre: true, granted: true });
  }
  assert.deepEqual([three.role, three.take("vote")], ["candidate", []]);
  three.persist();
  assert.equal(three.take("vote").length, 2);
});

test("a commit index that moved is told to the disk within a tick, and asks for no sync", () => {
  const bench = new Bench({ terms: [1], term: 1 });
  bench.diskHeld = true;
  bench.receive(2, append(1, [1, 1], 1));
  assert.ok(bench.writes.every(({ append: batch }) => batch === undefined));
  bench.tick();
  const batch = bench.writes.at(-1)?.append;
  assert.deepEqual([batch?.hardState?.commit, batch?.mustSync, batch?.entries], [1, false, []]);
});

// --- Membership -------------------------------------------------------------------------------------

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
