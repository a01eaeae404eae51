import assert from "node:assert/strict";
import { test } from "node:test";
import type { RecoveredGroup } from "../wal/types.js";
import { RestoreError, restoreGroup } from "./restore.js";

const membership = { voters: [1], outgoing: [], learners: [], learnersNext: [], autoLeave: false };
const applied = (index: number, epoch: number) => ({ id: { index, epoch }, membership, membershipIndex: 1 });
const log = (after: number, epochs: number[]): RecoveredGroup => ({
  group: 0,
  hardState: { promised: { round: 9, node: 2 }, accepted: { round: 0, node: 0 }, commit: after },
  after: { index: after, epoch: 1 },
  entries: epochs.map((epoch, at) => ({ index: after + at + 1, epoch, kind: 1, payload: new Uint8Array(0) })),
});

test("a log that contains the applied entry is kept whole", () => {
  const { state, restartLogAfter } = restoreGroup(applied(3, 2), log(1, [1, 2, 2, 3]));
  assert.equal(state.entries.length, 4);
  assert.deepEqual(state.entriesAfter, { index: 1, epoch: 1 });
  assert.equal(restartLogAfter, undefined);
  assert.equal(state.hardState.promised.round, 9);
});

test("a log that ends before an installed snapshot begins anew after it, keeping the vote", () => {
  const { state, restartLogAfter } = restoreGroup(applied(30, 4), log(1, [1, 2]));
  assert.equal(state.entries.length, 0);
  assert.deepEqual(restartLogAfter, { index: 30, epoch: 4 });
  assert.deepEqual(state.hardState.promised, { round: 9, node: 2 });
});

test("a log that disagrees with an installed snapshot begins anew after it", () => {
  const { restartLogAfter } = restoreGroup(applied(3, 5), log(1, [1, 2, 2, 3]));
  assert.deepEqual(restartLogAfter, { index: 3, epoch: 5 });
});

test("a store behind the beginning of the log is refused", () => {
  assert.throws(() => restoreGroup(applied(3, 1), log(10, [1])), RestoreError);
});

test("a node that never had a log starts at its bootstrap state", () => {
  const { state, restartLogAfter } = restoreGroup(applied(1, 1), undefined);
  assert.deepEqual(restartLogAfter, { index: 1, epoch: 1 });
  assert.equal(state.hardState.promised.round, 1);
});
