import assert from "node:assert/strict";
import { test } from "node:test";
import type { GroupFailure } from "../replication/proposer.js";
import { Status } from "../rpc/call.js";
import { authErrors } from "./errors/auth.js";
import { errorGroups } from "./errors/catalogue.js";
import { clusterErrors } from "./errors/cluster.js";
import { kvErrors } from "./errors/kv.js";
import { type ApiError, errorOfFailure, errors } from "./errors.js";

const all: readonly ApiError[] = Object.values(errors);

test("codes and texts are unique, and every group of the catalogue is in the whole", () => {
  assert.equal(new Set(all.map(({ code }) => code)).size, all.length);
  assert.equal(new Set(all.map(({ text }) => text)).size, all.length);
  assert.deepEqual(
    errorGroups.flatMap((group) => group.errors.map(({ code }) => code)).sort(),
    all.map(({ code }) => code).sort(),
  );
});

test("a code is the name in capitals", () => {
  for (const [name, error] of Object.entries(errors)) {
    assert.equal(error.code, name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase());
  }
});

test("etcd's 63 documented errors are all there, with its prefix", () => {
  const documented = [kvErrors, clusterErrors, authErrors].flatMap((part) => Object.values<ApiError>(part));
  assert.equal(documented.length, 63);
  for (const { text } of documented) assert.match(text, /^etcdserver: \S/);
});

test("no text is one that etcd's client takes for a write it may repeat", () => {
  const retried = ["there is no address available", "there is no connection available"];
  for (const { text } of all) for (const part of retried) assert.ok(!text.includes(part), text);
});

test("an error is safe or pointless to retry only if it says that nothing was done", () => {
  for (const error of [errors.timeout, errors.timeoutDueToLeaderFail, errors.stopped, errors.internal]) {
    assert.equal(error.retry, "unknown");
  }
  for (const error of [errors.noLeader, errors.leaderChanged, errors.tooManyRequests]) {
    assert.equal(error.retry, "safe");
  }
});

test("a failure of the group that leaves the outcome open never becomes an error that denies it", () => {
  const reasons: GroupFailure["reason"][] = ["noLeader", "leaderChanged", "timeout", "stopped"];
  for (const reason of reasons) {
    const error = errorOfFailure({ kind: "failed", reason, outcome: "unknown" });
    assert.equal(error.retry, "unknown");
    assert.equal(error.status, Status.UNAVAILABLE);
  }
});

test("a failure of the group becomes etcd's error for it", () => {
  const expected: Record<GroupFailure["reason"], ApiError> = {
    noLeader: errors.noLeader,
    leaderChanged: errors.leaderChanged,
    timeout: errors.timeout,
    tooManyRequests: errors.tooManyRequests,
    stopped: errors.stopped,
    notLeader: errors.notLeader,
    changePending: errors.unhealthy,
    invalidChange: errors.memberNotEnoughStarted,
    badTransferee: errors.badLeaderTransferee,
    learnerNotReady: errors.learnerNotReady,
    unhealthy: errors.unhealthy,
    peerUrlExists: errors.peerUrlExists,
    tooManyLearners: errors.tooManyLearners,
  };
  for (const [reason, error] of Object.entries(expected) as [GroupFailure["reason"], ApiError][]) {
    assert.equal(errorOfFailure({ kind: "failed", reason, outcome: "refused" }), error);
  }
});
