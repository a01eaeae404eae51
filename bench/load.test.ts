import assert from "node:assert/strict";
import { test } from "node:test";
import { Status } from "../src/rpc/call.js";
import { type LoadPlan, type LoadResult, type RequestSource, runLoad } from "./load.js";
import { ManualClock, ScriptedChannel } from "./scripted.js";

const requests: RequestSource = { path: "/test", allocate: () => Buffer.alloc(1), next: () => {} };

async function run(
  plan: Partial<LoadPlan>,
  delayMs: (now: number) => number,
  code?: (now: number) => Status,
): Promise<{ result: LoadResult; channel: ScriptedChannel; endedAt: number }> {
  const clock = new ManualClock();
  const channel = new ScriptedChannel(clock, ({ now }) => ({
    delayMs: delayMs(now),
    ...(code === undefined ? {} : { code: code(now) }),
  }));
  const defaults = {
    channels: [channel],
    requests,
    inFlight: 1,
    warmUpMs: 0,
    durationMs: 1000,
    drainMs: 5000,
  };
  let cpu = 0;
  const ended = runLoad({ ...defaults, ...plan }, clock, () => (cpu += 1000));
  let endedAt = Number.NaN;
  const noted = ended.then((result) => {
    endedAt = clock.now();
    return result;
  });
  await clock.run();
  return { result: await noted, channel, endedAt };
}

test("a closed loop keeps as many in flight as asked for, and counts what the measurement saw", async () => {
  const { result, channel } = await run({ inFlight: 4, warmUpMs: 500 }, () => 10);
  assert.equal(channel.mostOutstanding, 4);
  // Four every 10 ms; the answers at the very beginning and end belong to the measurement.
  assert.equal(result.completed, 404);
  assert.equal(result.elapsedMs, 1000);
  assert.equal(result.latency.summary().p50Ms, 10);
  assert.equal(result.failed, 0);
  assert.equal(result.unanswered, 0);
});

test("a closed loop with a count sends exactly that many after the warm-up", async () => {
  const { result, channel } = await run({ inFlight: 3, warmUpMs: 100, count: 50 }, () => 7);
  assert.equal(result.completed, 50);
  assert.equal(result.latency.count, 50);
  assert.equal(channel.sentAt.filter((at) => at >= 100).length, 50);
});

test("an open loop sends at the rate whatever the answers take", async () => {
  const { result, channel } = await run({ inFlight: 1000, ratePerSecond: 100 }, () => 300);
  assert.equal(channel.sentAt.length, 100);
  assert.deepEqual(channel.sentAt.slice(0, 3), [0, 10, 20]);
  assert.equal(result.latency.summary().p50Ms, 300);
  assert.equal(result.sendLag?.summary().maxMs, 0);
});

test("a stall is charged to every request that should have been sent in the meantime", async () => {
  // One in flight at a rate of 100 a second; the request of time 200 takes 500 ms, all others 1 ms.
  const { result } = await run({ inFlight: 1, ratePerSecond: 100 }, (now) => (now === 200 ? 500 : 1));
  const { count, maxMs, p50Ms } = result.latency.summary();
  assert.equal(count, 100);
  assert.equal(maxMs, 500);
  // The fifty requests due during the stall waited from 491 ms down; a closed loop would have seen one slow answer.
  assert.ok(p50Ms > 1 && p50Ms < 300, `median ${p50Ms}`);
  assert.ok(result.latency.quantileMs(0.9) > 350);
  assert.ok(result.sendLag!.quantileMs(0.9) > 350);
});

test("failures are counted by status and message and followed by a pause", async () => {
  const code = (now: number) => (now < 500 ? Status.UNAVAILABLE : Status.RESOURCE_EXHAUSTED);
  const { result, channel } = await run({}, () => 0, code);
  assert.deepEqual(result.failures, [
    { status: "UNAVAILABLE", message: "at 14", count: 50 },
    { status: "RESOURCE_EXHAUSTED", message: "at 8", count: 50 },
  ]);
  assert.equal(result.completed, 0);
  assert.equal(result.failed, 100);
  assert.equal(channel.sentAt.length, 100);
});

test("a server that never answers ends with the drain and is reported", async () => {
  const { result, endedAt } = await run({ inFlight: 8, drainMs: 200 }, () => 1e9);
  assert.equal(endedAt, 1200);
  assert.equal(result.unanswered, 8);
  assert.equal(result.completed, 0);
  assert.equal(result.perSecond, 0);
});

test("an aborted run ends at once and reports what it has", async () => {
  const controller = new AbortController();
  const { result, channel } = await run({ signal: controller.signal }, (now) => {
    if (now === 300) controller.abort();
    return 10;
  });
  assert.equal(channel.sentAt.length, 31);
  assert.equal(result.completed, 31);
  assert.equal(result.elapsedMs, 310);
});

test("the client's own cost and the window are those of the measurement, without warm-up and drain", async () => {
  const events: string[] = [];
  const window = { begin: () => void events.push("begin"), end: () => void events.push("end") };
  const { result } = await run({ warmUpMs: 100, window }, () => 10);
  assert.deepEqual(events, ["begin", "begin", "end"]);
  // The meter of the test adds a millisecond at each look.
  assert.equal(result.clientMicrosPerRequest, 1000 / result.completed);
});
