// A snapshot and the term its last entry proves.

import assert from "node:assert/strict";
import { test } from "node:test";
import { membershipOf } from "../conformance/network.js";
import { Raft } from "./raft.js";
import { configOf } from "./test-bench.js";

const snapshot = { id: { index: 35, epoch: 10 }, membership: membershipOf([1, 2, 3]), membershipIndex: 0 };

test("a snapshot that its sender took after it was deposed raises the term to that of its last entry (found by simulation, seed 201803)", () => {
  const raft = new Raft(configOf({ id: 1, voters: [1, 2, 3], term: 9 }));
  raft.step({ kind: "snapshotReceived", from: 2, epoch: 9, snapshot });
  const { epoch, lastEpoch, lastIndex, leader } = raft.status();
  assert.deepEqual(
    { epoch, lastEpoch, lastIndex, leader },
    { epoch: 10, lastEpoch: 10, lastIndex: 35, leader: 0 },
  );
  const ready = raft.ready();
  assert.equal(ready.append?.hardState?.promised.round, 10, "the term is durable with the entry");
  assert.deepEqual(ready.messagesAfterAppend, [], "nothing is acknowledged to a leader of the past");
});
