import assert from "node:assert/strict";
import { test } from "node:test";
import { type CallEnd, type Channel, emptyMetadata, Status } from "../src/rpc/call.js";
import { type LoadPlan, type LoadResult, type RequestSource, runLoad } from "./load.js";
import type { Clock } from "./schedule.js";

/** Time that passes only when the test says so; wakes run in order of their time. */
class ManualClock implements Clock {
  private time = 0;
  private wakes: { atMs: number; run: () => void }[] = [];

  now(): number {
    return this.time;
  }

  wake(atMs: number, run: () => void): () => void {
    const entry = { atMs, run };
    this.wakes.push(entry);
    return () => {
      this.wakes = this.wakes.filter((other) => other !== entry);
    };
  }

  /** Runs until nothing waits any more. */
  async run(): Promise<void> {
    for (;;) {
      const next = this.wakes.reduce<(typeof this.wakes)[number] | undefined>(
        (first, entry) => (first === undefined || entry.atMs < first.atMs ? entry : first),
        undefined,
      );
      if (next === undefined) return;
      this.wakes = this.wakes.filter((entry) => entry !== next);
      this.time = Math.max(this.time, next.atMs);
      next.run();
      // Promises resolved by that run see the time at which they were.
      await Promise.resolve();
      await Promise.resolve();
    }
  }
}

/** A server that answers each call after `delayMs(now)`, or fails it with the code given for that time. */
class ScriptedChannel implements Channel {
  readonly ready = true;
  sentAt: number[] = [];
  outstanding = 0;
  mostOutstanding = 0;

  constructor(
    private readonly clock: Clock,
    private readonly delayMs: (now: number) => number,
    private readonly code: (now: number) => Status = () => Status.OK,
  ) {}

  unary(
    _path: string,
    _message: Uint8Array,
    _options: object,
    done: (end: CallEnd, message: undefined) => void,
  ): void {
    const now = this.clock.now();
    const code = this.code(now);
    this.sentAt.push(now);
    this.mostOutstanding = Math.max(this.mostOutstanding, ++this.outstanding);
    this.clock.wake(now + this.delayMs(now), () => {
      this.outstanding--;
      done({ code, message: code === Status.OK ? "" : `at ${code}`, trailers: emptyMetadata }, undefined);
    });
  }

  stream(): never {
    throw new Error("not used");
  }
  connect(): Promise<void> {
    return Promise.resolve();
  }
  onClose(): void {}
  close(): void {}
}

const requests: RequestSource = { path: "/test", allocate: () => Buffer.alloc(1), next: () => {} };

async function run(
  plan: Partial<LoadPlan>,
  delayMs: (now: number) => number,
  code?: (now: number) => Status,
): Promise<{ result: LoadResult; channel: ScriptedChannel; endedAt: number }> {
  const clock = new ManualClock();
  const channel = new ScriptedChannel(clock, delayMs, code);
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
