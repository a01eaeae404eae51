import assert from "node:assert/strict";
import { test } from "node:test";
import { type AnsweredRead, ReadQueue } from "./read-queue.js";

const confirmed = (queue: ReadQueue, position: number): AnsweredRead[] => {
  const answers: AnsweredRead[] = [];
  queue.confirm(position, (read) => answers.push(read));
  return answers;
};

test("reads of one turn share a position, reads after a broadcast get a later one", () => {
  const queue = new ReadQueue();
  queue.add([1, 2], 7);
  queue.add([3], 7);
  assert.deepEqual([queue.wanted, queue.broadcastDue], [1, true]);
  queue.broadcast();
  assert.equal(queue.broadcastDue, false);
  queue.add([4], 7);
  assert.deepEqual([queue.wanted, queue.broadcastDue], [2, true]);
  assert.deepEqual(confirmed(queue, 1), [
    { id: 1, index: 7 },
    { id: 2, index: 7 },
    { id: 3, index: 7 },
  ]);
  assert.equal(queue.waiting, 1);
});

test("reads at another commit index keep their own", () => {
  const queue = new ReadQueue();
  queue.add([1], 7);
  queue.add([2], 9);
  queue.broadcast();
  assert.deepEqual(confirmed(queue, 2), [
    { id: 1, index: 7 },
    { id: 2, index: 9 },
  ]);
  assert.equal(queue.wanted, 0);
});

test("an echo counts once, as the highest of its node, and never above what was broadcast", () => {
  const queue = new ReadQueue();
  queue.add([1], 1);
  assert.equal(queue.echoed(2, 1), false);
  queue.broadcast();
  assert.equal(queue.echoed(2, 1), true);
  assert.equal(queue.echoed(2, 1), false);
  queue.add([2], 1);
  queue.broadcast();
  assert.equal(queue.echoed(2, 2), true);
  assert.equal(queue.echoed(2, 1), false);
  assert.equal(queue.echoed(3, 99), false);
  assert.deepEqual([queue.echoOf(2), queue.echoOf(3)], [2, 0]);
});

test("the end of leadership hands back every read and forgets every echo", () => {
  const queue = new ReadQueue();
  queue.defer([9]);
  queue.add([1, 2], 4);
  queue.broadcast();
  queue.echoed(2, 1);
  assert.deepEqual(queue.clear(), [1, 2, 9]);
  assert.deepEqual([queue.waiting, queue.wanted, queue.echoOf(2), queue.broadcastDue], [0, 0, 0, false]);
  queue.add([3], 5);
  assert.equal(queue.wanted, 2);
});
