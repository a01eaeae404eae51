// The decisions of Raft as tables: what is appended, committed, granted, won and hinted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Network, text } from "../conformance/network.js";
import { lastEntryNotAfter } from "../log/conflict.js";
import { Log } from "../log/log.js";
import { Progress } from "../progress/progress.js";
import type { Index, NodeId, Term } from "../types.js";
import { createRaft } from "./raft.js";
import { acknowledgement, append, Bench, entriesOf } from "./test-bench.js";

test("an append is accepted exactly when the entry before it matches, and commits what it proves", () => {
  // message term, previous term and index, leader commit, terms of entries; last index, commit, rejected
  const rows: [Term, Term, Index, Index, Term[], Index, Index, boolean][] = [
    [2, 3, 2, 3, [], 2, 0, true],
    [2, 3, 3, 3, [], 2, 0, true],
    [2, 1, 1, 1, [], 2, 1, false],
    [2, 0, 0, 1, [2], 1, 1, false],
    [2, 2, 2, 3, [2, 2], 4, 3, false],
    [2, 2, 2, 4, [2], 3, 3, false],
    [2, 1, 1, 4, [2], 2, 2, false],
    [1, 1, 1, 3, [], 2, 1, false],
    [1, 1, 1, 3, [2], 2, 2, false],
    [2, 2, 2, 3, [], 2, 2, false],
    [2, 2, 2, 4, [], 2, 2, false],
  ];
  for (const [term, previousTerm, previousIndex, leaderCommit, terms, last, commit, rejected] of rows) {
    const bench = new Bench({ terms: [1, 2], term: 2 });
    bench.raft.appendDirectly(2, append(term, [previousIndex, previousTerm], leaderCommit, ...terms));
    bench.drain();
    const row = `append in term ${term} after ${previousIndex}@${previousTerm} of [${terms}]`;
    assert.equal(bench.raft.status().lastIndex, last, row);
    assert.equal(bench.raft.status().commit, commit, row);
    assert.deepEqual(
      bench.take("appendReply").map(({ message }) => message.rejected),
      [rejected],
      row,
    );
  }
});

test("a follower replaces exactly what contradicts the leader (paper, 5.3)", () => {
  const rows: [[Index, Term], Term[], Term[]][] = [
    [[2, 2], [3], [1, 2, 3]],
    [
      [1, 1],
      [3, 4],
      [1, 3, 4],
    ],
    [[0, 0], [1], [1, 2]],
    [[0, 0], [3], [3]],
  ];
  for (const [previous, terms, expected] of rows) {
    const bench = new Bench({ terms: [1, 2], term: 2 });
    bench.receive(2, append(4, previous, 0, ...terms));
    assert.deepEqual(bench.raft.terms, expected);
  }
});

test("a leader commits the highest entry of its own term that a majority has", () => {
  const rows: [Index[], Term[], Term, Index][] = [
    [[1], [1], 1, 1],
    [[1], [1], 2, 0],
    [[2], [1, 2], 2, 2],
    [[1], [2], 2, 1],
    [[2, 1, 1], [1, 2], 1, 1],
    [[2, 1, 1], [1, 1], 2, 0],
    [[2, 1, 2], [1, 2], 2, 2],
    [[2, 1, 2], [1, 1], 2, 0],
    [[2, 1, 1, 1], [1, 2], 1, 1],
    [[2, 1, 1, 1], [1, 1], 2, 0],
    [[2, 1, 1, 2], [1, 2], 1, 1],
    [[2, 1, 1, 2], [1, 1], 2, 0],
    [[2, 1, 2, 2], [1, 2], 2, 2],
    [[2, 1, 2, 2], [1, 1], 2, 0],
  ];
  for (const [matches, terms, term, commit] of rows) {
    const voters = matches.map((_, i) => i + 1);
    const bench = new Bench({ voters, terms });
    bench.raft.leadAtOnce(term, new Map(matches.map((match, i) => [i + 1, match])));
    assert.equal(bench.raft.commitNow(), commit, `matches ${matches}, log ${terms}, term ${term}`);
  }
});

test("a vote is refused to a candidate whose log is behind the voter's (paper, 5.4.1)", () => {
  const rows: [Term[], Term, Index, boolean][] = [
    [[1], 1, 1, true],
    [[1], 1, 2, true],
    [[1, 1], 1, 1, false],
    [[1], 2, 1, true],
    [[1], 2, 2, true],
    [[1, 1], 2, 1, true],
    [[2], 1, 1, false],
    [[2], 1, 2, false],
    [[2, 2], 1, 1, false],
    [[1, 1], 1, 1, false],
  ];
  for (const pre of [false, true]) {
    for (const [terms, lastTerm, lastIndex, granted] of rows) {
      const bench = new Bench({ terms });
      bench.receive(2, { kind: "vote", term: 3, pre, lastIndex, lastTerm, transfer: false });
      const [reply] = bench.take("voteReply");
      assert.equal(reply?.message.granted, granted, `voter ${terms}, candidate ${lastIndex}@${lastTerm}`);
      assert.equal(reply?.message.pre, pre);
    }
  }
});

test("votes by last entry and earlier vote, as a grid", () => {
  for (let lastTerm = 0; lastTerm <= 3; lastTerm++) {
    for (let lastIndex = 0; lastIndex <= 3; lastIndex++) {
      for (const vote of [0, 2, 3]) {
        const bench = new Bench({ terms: [2, 2], term: 3, vote });
        bench.receive(2, { kind: "vote", term: 3, pre: false, lastIndex, lastTerm, transfer: false });
        const upToDate = lastTerm === 3 || (lastTerm === 2 && lastIndex >= 2);
        assert.equal(
          bench.take("voteReply")[0]?.message.granted,
          upToDate && vote !== 3,
          `candidate 2 with ${lastIndex}@${lastTerm}, earlier vote ${vote}`,
        );
      }
    }
  }
});

test("a leader, a candidate and a pre-candidate refuse their vote within the term", () => {
  const request = { kind: "vote", pre: false, lastIndex: 9, lastTerm: 1, transfer: false } as const;
  const leader = new Bench().lead();
  assert.equal(leader.role, "leader");
  const candidate = new Bench();
  candidate.tick(10);
  for (const { to, message } of candidate.take("vote")) {
    candidate.receive(to, { kind: "voteReply", term: message.term, pre: true, granted: true });
  }
  assert.equal(candidate.role, "candidate");
  const preCandidate = new Bench({ term: 1, vote: 1 });
  preCandidate.tick(10);
  assert.equal(preCandidate.role, "preCandidate");
  for (const bench of [leader, candidate, preCandidate]) {
    bench.receive(2, { ...request, term: bench.term });
    assert.equal(bench.take("voteReply")[0]?.message.granted, false);
  }
});

test("an election ends as its votes say (paper, 5.2)", () => {
  const rows: [number, Record<number, boolean>, string][] = [
    [1, {}, "leader"],
    [3, { 2: true, 3: true }, "leader"],
    [3, { 2: true }, "leader"],
    [5, { 2: true, 3: true, 4: true, 5: true }, "leader"],
    [5, { 2: true, 3: true, 4: true }, "leader"],
    [5, { 2: true, 3: true }, "leader"],
    [3, { 2: false, 3: false }, "follower"],
    [5, { 2: false, 3: false, 4: false, 5: false }, "follower"],
    [5, { 2: true, 3: false, 4: false, 5: false }, "follower"],
    [3, {}, "candidate"],
    [5, { 2: true }, "candidate"],
    [5, { 2: false, 3: false }, "candidate"],
    [5, {}, "candidate"],
  ];
  for (const [size, votes, outcome] of rows) {
    const bench = new Bench({ voters: Array.from({ length: size }, (_, i) => i + 1) });
    bench.tick(10);
    for (const { to, message } of bench.take("vote")) {
      bench.receive(to, { kind: "voteReply", term: message.term, pre: true, granted: true });
    }
    for (const [voter, granted] of Object.entries(votes)) {
      bench.receive(Number(voter), { kind: "voteReply", term: 1, pre: false, granted });
    }
    assert.equal(bench.role, outcome, `${size} nodes, votes ${JSON.stringify(votes)}`);
    assert.equal(bench.term, 1);
  }
});

test("an entry is committed when a majority has acknowledged it (paper, 5.3)", () => {
  const rows: [number, NodeId[], boolean][] = [
    [1, [], true],
    [3, [], false],
    [3, [2], true],
    [3, [2, 3], true],
    [5, [], false],
    [5, [2], false],
    [5, [2, 3], true],
    [5, [2, 3, 4], true],
    [5, [2, 3, 4, 5], true],
  ];
  for (const [size, acceptors, committed] of rows) {
    const bench = new Bench({ voters: Array.from({ length: size }, (_, i) => i + 1) }).lead();
    for (let id = 2; id <= size; id++) bench.acknowledge(id);
    bench.propose("x");
    const { lastIndex } = bench.raft.status();
    for (const id of acceptors) bench.acknowledge(id);
    assert.equal(bench.raft.status().commit, committed ? lastIndex : lastIndex - 1, `${size}: ${acceptors}`);
  }
});

test("a rejection and the next append skip a whole term of either log", () => {
  // leader's log, follower's log; hint (term, index); next append (term, index)
  const rows: [Term[], Term[], [Term, Index], [Term, Index]][] = [
    [
      [1, 2, 2, 4, 4, 4, 4],
      [1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3],
      [3, 7],
      [2, 3],
    ],
    [
      [1, 2, 2, 3, 4, 4, 4, 5],
      [1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3],
      [3, 8],
      [3, 4],
    ],
    [
      [1, 1, 1, 1],
      [1, 2, 2, 4],
      [1, 1],
      [1, 1],
    ],
    [
      [1, 1, 1, 1, 1, 1],
      [1, 2, 2, 4],
      [1, 1],
      [1, 1],
    ],
    [
      [1, 1, 1, 1],
      [1, 2, 2, 4, 4, 4],
      [1, 1],
      [1, 1],
    ],
    [
      [1, 1, 1, 4, 5],
      [1, 1, 1, 4],
      [4, 4],
      [4, 4],
    ],
    [
      [2, 5, 5, 5, 5, 5, 5, 5, 5],
      [2, 4, 4, 4, 4, 4],
      [4, 6],
      [2, 1],
    ],
    [
      [2, 2, 2, 2, 2],
      [2, 4, 4, 4, 4, 4, 4, 4],
      [2, 1],
      [2, 1],
    ],
  ];
  for (const [leaderTerms, followerTerms, hint, next] of rows) {
    const row = `leader ${leaderTerms}, follower ${followerTerms}`;
    const leader = new Bench({ terms: leaderTerms, term: 8, voters: [1, 2] }).lead();
    const follower = new Bench({ id: 2, terms: followerTerms, term: 8, voters: [1, 2] });
    const [probe] = leader.take("append");
    follower.receive(1, probe!.message);
    const [reply] = follower.take("appendReply");
    assert.deepEqual([reply?.message.hintTerm, reply?.message.hintIndex], hint, row);
    leader.receive(2, reply!.message);
    const [second] = leader.take("append");
    assert.deepEqual([second?.message.previousTerm, second?.message.previousIndex], next, row);
    follower.receive(1, second!.message);
    assert.equal(follower.take("appendReply")[0]?.message.rejected, false, row);
    assert.deepEqual(follower.raft.terms, leader.raft.terms, row);
  }
});

test("a follower whose log is compacted beyond the probe gives its index without a term", () => {
  const follower = new Log({ index: 0, epoch: 0 }, entriesOf(1, 1, 1, 3, 3, 3));
  follower.compact(5);
  assert.deepEqual(lastEntryNotAfter(follower, 3, 3), { index: 3, epoch: 0 });
  const progress = new Progress(2, 4, 0, 1, 1);
  assert.ok(progress.rejected(3, 3));
  assert.equal(progress.next - 1, 2);
});

const figure7 = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
const figure7Followers: Record<string, Term[]> = {
  a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
  b: [1, 1, 1, 4],
  "b of etcd": [1, 1, 1, 4, 4],
  c: [...figure7, 6],
  d: [...figure7, 7, 7],
  e: [1, 1, 1, 4, 4, 4, 4],
  f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
};
for (const [name, terms] of Object.entries(figure7Followers)) {
  test(`figure 7, follower ${name}: its log becomes the leader's`, () => {
    const net = new Network({
      create: createRaft,
      nodes: [1, 2, 3],
      logs: new Map([
        [1, { terms: figure7, term: 7 }],
        [2, { terms, term: 7 }],
        [3, { terms: [], term: 7 }],
      ]),
    });
    net.elect(1);
    net.propose(1, "new");
    net.run(3);
    assert.equal(net.status(1).epoch, 8);
    for (const id of [1, 2, 3]) {
      assert.deepEqual(net.node(id).log, net.node(1).log);
      assert.equal(net.node(id).applied.map(text).at(-1), "new");
    }
    assert.deepEqual(
      net.node(1).log.map((entry) => entry.epoch),
      [...figure7, 8, 8],
    );
  });
}

test("ten thousand entries that diverge over three terms take one probe a term at most", () => {
  const shared = new Array<Term>(100).fill(1);
  const leaderTerms = [...shared, ...new Array<Term>(5000).fill(3), ...new Array<Term>(5000).fill(6)];
  const followerTerms = [
    ...shared,
    ...new Array<Term>(3000).fill(2),
    ...new Array<Term>(3000).fill(4),
    ...new Array<Term>(4000).fill(5),
  ];
  const leader = new Bench({ terms: leaderTerms, term: 8, voters: [1, 2] }).lead();
  const follower = new Bench({ id: 2, terms: followerTerms, term: 8, voters: [1, 2] });
  let rejections = 0;
  for (let round = 0; round < 100; round++) {
    for (const { message } of leader.take("append")) follower.receive(1, message);
    for (const { message } of follower.take("appendReply")) {
      if (message.rejected) rejections++;
      leader.receive(2, message);
    }
  }
  assert.ok(rejections <= 3, `${rejections} rejections`);
  assert.deepEqual(follower.raft.terms, leader.raft.terms);
});

test("an acknowledgement beyond the leader's log is impossible and ignored", () => {
  const leader = new Bench({ voters: [1, 2, 3] }).lead();
  leader.receive(2, acknowledgement(leader.term, 1_000_000));
  assert.equal(leader.raft.status().commit, 0);
  assert.equal(leader.raft.impossibleMessages, 1);
});
