import assert from "node:assert/strict";
import { test } from "node:test";
import { Network, text } from "../conformance/network.js";
import { createRaft } from "./raft.js";

test("three nodes elect a leader, replicate a proposal and commit it everywhere", () => {
  const net = new Network({ create: createRaft, nodes: [1, 2, 3] });
  net.run(40);
  assert.equal(net.leaders.length, 1);
  const leader = net.leaders[0]!;
  net.propose(leader, "a", "b");
  net.settle();
  for (const id of [1, 2, 3]) {
    assert.deepEqual(net.node(id).applied.map(text), ["", "a", "b"]);
    assert.equal(net.status(id).commit, 3);
  }
});
