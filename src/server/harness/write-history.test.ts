import assert from "node:assert/strict";
import { test } from "node:test";
import { contentOf, keyOf, latestOf, type Row, type Snapshot, WriteHistory } from "./write-history.js";

const row = (writer: number, k: number, revision: number): Row => ({
  key: keyOf(writer, k),
  value: contentOf(writer, k),
  created: revision,
  modified: revision,
  version: 1,
});

const latest = (writer: number, k: number, revision: number, version: number): Row => ({
  key: latestOf(writer),
  value: String(k),
  created: 2,
  modified: revision,
  version,
});

const read = (rows: readonly Row[], revision: number, begunAt: number): Snapshot => ({
  rows,
  revision,
  begunAt,
  endedAt: begunAt + 1,
});

/** Writer 0 did 0 (revision 2) and 1 (revision 4), then began 2 and never heard of it; writer 1 did 0 (revision 3). */
function twoWriters(): WriteHistory {
  const history = new WriteHistory(2, true);
  history.acknowledge(history.begin(0, 10), 2, 20);
  history.acknowledge(history.begin(1, 10), 3, 25);
  history.acknowledge(history.begin(0, 30), 4, 40);
  history.begin(0, 50);
  return history;
}

const sound = [row(0, 0, 2), row(0, 1, 4), latest(0, 1, 4, 2), row(1, 0, 3), latest(1, 0, 3, 1)];

function complaint(history: WriteHistory, ...snapshots: readonly Snapshot[]): string {
  for (const snapshot of snapshots) history.compare(snapshot, "n1");
  try {
    history.assertSound();
  } catch (error) {
    return String(error);
  }
  return "none";
}

const without = (key: string): Row[] => sound.filter((one) => one.key !== key);

test("a history accepts a read of everything acknowledged", () => {
  assert.equal(complaint(twoWriters(), read(sound, 4, 60)), "none");
});

test("a history accepts a write of unknown outcome, there or not", () => {
  const withUnknown = [...without(latestOf(0)), row(0, 2, 5), latest(0, 2, 5, 3)];
  assert.equal(complaint(twoWriters(), read(sound, 4, 60), read(withUnknown, 5, 70)), "none");
});

test("a history accepts that a read misses what was acknowledged after it began", () => {
  const early = [row(0, 0, 2), latest(0, 0, 2, 1), row(1, 0, 3), latest(1, 0, 3, 1)];
  assert.equal(complaint(twoWriters(), read(early, 3, 35)), "none");
});

test("a history reports an acknowledged write that is lost", () => {
  assert.match(complaint(twoWriters(), read(without(keyOf(1, 0)), 4, 60)), /w\/1\/0 is lost/);
});

test("a history reports a write of unknown outcome that was seen and then is gone", () => {
  const withUnknown = [...without(latestOf(0)), row(0, 2, 5), latest(0, 2, 5, 3)];
  assert.match(complaint(twoWriters(), read(withUnknown, 5, 70), read(sound, 5, 80)), /w\/0\/2 is lost/);
});

test("a history reports a write that moved to another revision", () => {
  const moved = [...without(keyOf(1, 0)), row(1, 0, 5)];
  assert.match(complaint(twoWriters(), read(moved, 5, 60)), /w\/1\/0 is at revision 5, was known to be at 3/);
});

test("a history reports a write that was applied twice", () => {
  const twice = [...without(keyOf(1, 0)), { ...row(1, 0, 3), version: 2, modified: 6 }];
  assert.match(complaint(twoWriters(), read(twice, 6, 60)), /w\/1\/0 was applied 2 times/);
});

test("a history reports a second run of a transaction that left its trace in latest only", () => {
  const again = [...without(latestOf(1)), latest(1, 0, 3, 2)];
  assert.match(complaint(twoWriters(), read(again, 4, 60)), /writer 1 wrote its latest 2 times/);
});

test("a history reports a latest that is not the newest write", () => {
  const older = [...without(latestOf(0)), latest(0, 0, 2, 2)];
  assert.match(complaint(twoWriters(), read(older, 4, 60)), /writer 0 has latest 0 at revision 2/);
});

test("a history reports keys and values that nobody wrote", () => {
  assert.match(complaint(twoWriters(), read([...sound, row(1, 7, 9)], 9, 60)), /w\/1\/7 was never written/);
  const other = [...without(keyOf(1, 0)), { ...row(1, 0, 3), value: "x" }];
  assert.match(complaint(twoWriters(), read(other, 4, 60)), /w\/1\/0 has the value "x"/);
});

test("a history reports a revision acknowledged twice", () => {
  const history = new WriteHistory(2, false);
  history.acknowledge(history.begin(0, 10), 2, 30);
  history.acknowledge(history.begin(1, 10), 2, 30);
  assert.match(complaint(history), /share revision 2/);
});

test("a history reports a writer whose revisions go back", () => {
  const history = new WriteHistory(1, false);
  history.acknowledge(history.begin(0, 10), 5, 20);
  history.acknowledge(history.begin(0, 30), 4, 40);
  assert.match(complaint(history), /acknowledged at revision 4, an earlier write at 5/);
});

test("a history reports a write below one that another client saw done before it began", () => {
  const history = new WriteHistory(2, false);
  history.acknowledge(history.begin(0, 10), 5, 20);
  history.acknowledge(history.begin(1, 30), 4, 40);
  assert.match(complaint(history), /w\/1\/0 began after w\/0\/0 was known at revision 5, but is at 4/);
});

test("a history accepts any order of writes that ran at the same time", () => {
  const history = new WriteHistory(2, false);
  history.acknowledge(history.begin(0, 10), 5, 40);
  history.acknowledge(history.begin(1, 30), 4, 50);
  assert.equal(complaint(history), "none");
});
