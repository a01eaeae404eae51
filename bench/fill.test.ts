import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { TxnRequestSchema } from "../src/gen/etcdserverpb/rpc_pb.js";
import { Status } from "../src/rpc/call.js";
import { type FillPlan, type FillResult, fillKeys } from "./fill.js";
import { ManualClock, ScriptedChannel } from "./scripted.js";

/** Fills a store that accepts transaction number N, from 1, when `accepts` says so. */
async function fill(plan: Partial<FillPlan>, accepts: (transaction: number) => boolean) {
  const clock = new ManualClock();
  const keys: string[] = [];
  let transactions = 0;
  const channel = new ScriptedChannel(clock, ({ message }) => {
    if (!accepts(++transactions)) return { delayMs: 1, code: Status.UNAVAILABLE };
    for (const { request } of fromBinary(TxnRequestSchema, message).success) {
      assert.ok(request.case === "requestPut");
      keys.push(Buffer.from(request.value.key).toString());
    }
    return { delayMs: 1 };
  });
  const defaults = {
    channels: [channel],
    count: 1000,
    batch: 30,
    inFlight: 4,
    keyBytes: 5,
    valueBytes: 10,
    seed: 1,
  };
  const outcome: Promise<FillResult | Error> = fillKeys({ ...defaults, ...plan }, clock).catch(
    (error: Error) => error,
  );
  await clock.run();
  return { outcome: await outcome, keys: keys.sort(), channel, transactions };
}

const everyKey = Array.from({ length: 1000 }, (_, at) => `k${String(at).padStart(4, "0")}`);

test("every key is written once, with as many transactions in flight as allowed", async () => {
  const { outcome, keys, channel, transactions } = await fill({}, () => true);
  assert.deepEqual(keys, everyKey);
  assert.equal(transactions, 34);
  assert.equal(channel.mostOutstanding, 4);
  assert.ok(!(outcome instanceof Error));
  assert.deepEqual([outcome.keys, outcome.retries, outcome.elapsedMs], [1000, 0, 9]);
});

test("refused transactions are sent again until every key is written", async () => {
  const { outcome, keys } = await fill({}, (transaction) => transaction % 3 === 0);
  assert.deepEqual(keys, everyKey);
  assert.ok(!(outcome instanceof Error) && outcome.retries > 30);
});

test("a server that keeps refusing ends the fill with its error", async () => {
  const { outcome, keys } = await fill({}, (transaction) => transaction < 5);
  assert.ok(outcome instanceof Error);
  assert.match(outcome.message, /at 14/);
  assert.equal(keys.length, 120);
});

test("an aborted fill ends with the reason and sends nothing more", async () => {
  const controller = new AbortController();
  const { outcome, transactions } = await fill({ signal: controller.signal }, (transaction) => {
    if (transaction === 6) controller.abort(new Error("interrupted"));
    return true;
  });
  assert.ok(outcome instanceof Error);
  assert.equal(outcome.message, "interrupted");
  assert.equal(transactions, 6);
});
