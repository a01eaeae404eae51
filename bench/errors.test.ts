import assert from "node:assert/strict";
import { test } from "node:test";
import { Status } from "../src/rpc/call.js";
import { FailureTally } from "./errors.js";

test("failures are grouped by status and message, most frequent first", () => {
  const tally = new FailureTally();
  tally.add(Status.UNAVAILABLE, "down");
  tally.add(Status.RESOURCE_EXHAUSTED, "too many requests");
  tally.add(Status.RESOURCE_EXHAUSTED, "too many requests");
  tally.add(99, "odd");
  assert.equal(tally.total, 4);
  assert.deepEqual(tally.list()[0], { status: "RESOURCE_EXHAUSTED", message: "too many requests", count: 2 });
  assert.deepEqual(tally.list().at(-1), { status: "status 99", message: "odd", count: 1 });
});

test("messages that never repeat do not grow the list without bound", () => {
  const tally = new FailureTally();
  for (let at = 0; at < 10_000; at++) tally.add(Status.UNKNOWN, `revision ${at}`);
  const list = tally.list();
  assert.ok(list.length <= 51);
  assert.deepEqual(list[0], { status: "UNKNOWN", message: "(other messages)", count: 9950 });
  assert.equal(
    list.reduce((sum, { count }) => sum + count, 0),
    10_000,
  );
});
