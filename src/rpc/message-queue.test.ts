import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageQueue } from "./message-queue.js";

test("the source is paused when the reader lags and let go when it has caught up", async () => {
  const asked: boolean[] = [];
  const queue = new MessageQueue<number>((paused) => asked.push(paused));
  for (let item = 0; item < 40; item++) queue.push(item);
  assert.deepEqual(asked, [true]);
  const iterator = queue[Symbol.asyncIterator]();
  for (let item = 0; item < 40; item++) assert.deepEqual((await iterator.next()).value, item);
  assert.deepEqual(asked, [true, false]);
  queue.finish();
  assert.equal((await iterator.next()).done, true);
});

test("what is queued is delivered before the failure is thrown", async () => {
  const queue = new MessageQueue<string>(() => {});
  queue.push("a");
  queue.finish(new RangeError("over"));
  queue.push("dropped");
  const got: string[] = [];
  await assert.rejects(async () => {
    for await (const item of queue) got.push(item);
  }, RangeError);
  assert.deepEqual(got, ["a"]);
});

test("a reader that leaves early is reported once and lets a paused source go", async () => {
  const asked: boolean[] = [];
  let abandoned = 0;
  const queue = new MessageQueue<number>(
    (paused) => asked.push(paused),
    () => abandoned++,
  );
  for (let item = 0; item < 40; item++) queue.push(item);
  for await (const item of queue) if (item === 1) break;
  assert.deepEqual(asked, [true, false]);
  assert.equal(abandoned, 1);
});
