import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SyncPolicy } from "./sync-policy.js";

describe("where a sync runs", () => {
  test("on the pool until the disk is known to be fast, and when switched off", () => {
    const policy = new SyncPolicy(true, () => 0);
    assert.equal(policy.inline(100), false);
    policy.took(0.1, false);
    assert.equal(policy.inline(100), true);
    const off = new SyncPolicy(false, () => 0);
    off.took(0.1, false);
    assert.equal(off.inline(100), false);
  });

  test("on the pool after one slow sync, until the average is low again", () => {
    const policy = new SyncPolicy(true, () => 0);
    policy.took(0.1, false);
    policy.took(50, false);
    assert.equal(policy.inline(100), false);
    policy.took(0.1, false);
    assert.equal(policy.inline(100), false);
    for (let at = 0; at < 40; at++) policy.took(0.1, false);
    assert.equal(policy.inline(100), true);
  });

  test("the loop is blocked for a third of the time at most", () => {
    let now = 100;
    const policy = new SyncPolicy(true, () => now);
    policy.took(0.3, true);
    assert.equal(policy.inline(100), false);
    now += 0.59;
    assert.equal(policy.inline(100), false);
    now += 0.02;
    assert.equal(policy.inline(100), true);
  });

  test("large batches go to the pool", () => {
    const policy = new SyncPolicy(true, () => 0);
    policy.took(0.1, false);
    assert.equal(policy.inline(100_000), false);
  });
});
