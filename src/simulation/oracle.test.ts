// The client oracle notices what clients must never see.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Entry, EntryKind } from "../consensus/types.js";
import { Violation } from "./invariants/invariant.js";
import { Oracle } from "./oracle.js";
import { encodePut } from "./state-machine.js";

const put = (index: number, serial: number, key = 0): Entry => ({
  index,
  epoch: 1,
  kind: EntryKind.command,
  payload: encodePut({ key, serial }, 0),
});
const violation = (pattern: RegExp) => (error: unknown) =>
  error instanceof Violation && pattern.test(error.message);

describe("the client oracle", () => {
  it("accepts puts in the order of the log and reads that see them", () => {
    const oracle = new Oracle();
    oracle.beginPut(1);
    oracle.beginPut(2);
    oracle.committed(put(5, 2));
    oracle.committed(put(6, 1));
    oracle.acknowledged(1);
    oracle.acknowledged(2);
    const floor = oracle.beginRead(0);
    assert.equal(floor, 6);
    oracle.answered(0, floor, 1);
  });

  it("refuses an acknowledgement of what was never committed", () => {
    const oracle = new Oracle();
    oracle.beginPut(1);
    assert.throws(() => oracle.acknowledged(1), violation(/acknowledged put 1 committed/));
  });

  it("refuses a put that takes effect twice, or that nobody asked for", () => {
    const oracle = new Oracle();
    oracle.beginPut(1);
    oracle.committed(put(1, 1));
    assert.throws(() => oracle.committed(put(2, 1)), violation(/once/));
    assert.throws(() => oracle.committed(put(2, 9)), violation(/only what clients asked for/));
  });

  it("refuses effects of a refused put, before and after the refusal", () => {
    const oracle = new Oracle();
    oracle.beginPut(1);
    oracle.refused(1);
    assert.throws(() => oracle.committed(put(1, 1)), violation(/without effect/));
    oracle.beginPut(2);
    oracle.committed(put(1, 2));
    assert.throws(() => oracle.refused(2), violation(/without effect/));
  });

  it("refuses a put that lands before one acknowledged before it began", () => {
    const oracle = new Oracle();
    oracle.beginPut(1);
    oracle.committed(put(7, 1));
    oracle.acknowledged(1);
    oracle.beginPut(2);
    assert.throws(() => oracle.committed(put(6, 2)), violation(/acknowledged before it began/));
  });

  it("refuses a read that misses an acknowledged put, or what an earlier read saw", () => {
    const oracle = new Oracle();
    oracle.beginPut(1);
    oracle.beginPut(2);
    oracle.committed(put(1, 1));
    oracle.acknowledged(1);
    assert.throws(() => oracle.answered(0, oracle.beginRead(0), 0), violation(/to see the put at 1/));
    oracle.committed(put(2, 2));
    // Not acknowledged: the old and the new value are both fine, until one read has seen the new one.
    const early = oracle.beginRead(0);
    oracle.answered(0, early, 1);
    oracle.answered(0, early, 2);
    assert.throws(() => oracle.answered(0, oracle.beginRead(0), 1), violation(/to see the put at 2/));
  });

  it("carries what was seen on one key over to the others", () => {
    const oracle = new Oracle();
    for (const serial of [1, 2]) oracle.beginPut(serial);
    oracle.committed(put(1, 1, 0));
    oracle.committed(put(2, 2, 1));
    oracle.acknowledged(2);
    assert.equal(oracle.beginRead(0), 1, "the put on key 0 lies before the one known");
  });

  it("refuses a value out of thin air", () => {
    assert.throws(() => new Oracle().answered(0, 0, 3), violation(/only committed values/));
  });
});
