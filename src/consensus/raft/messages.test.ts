import assert from "node:assert/strict";
import { test } from "node:test";
import { isWellFormed, type RaftMessage } from "./messages.js";
import { acknowledgement, append } from "./test-bench.js";

test("what correct nodes send is well formed", () => {
  const messages: RaftMessage[] = [
    append(3, [0, 0], 0),
    append(3, [4, 2], 9, 2, 3, 3),
    acknowledgement(0, 0),
    { kind: "vote", term: 1, pre: true, lastIndex: 0, lastTerm: 0, transfer: false },
    { kind: "voteReply", term: 0, pre: true, granted: false },
    { kind: "heartbeat", term: 1, commit: 0, readPosition: 0 },
    { kind: "heartbeatReply", term: 1, readPosition: 7 },
    { kind: "timeoutNow", term: 2 },
  ];
  for (const message of messages) assert.equal(isWellFormed(message), true, JSON.stringify(message));
});

test("entries with gaps, falling terms, terms above the message's or unknown kinds are refused", () => {
  const good = append(3, [4, 2], 0, 2, 3);
  const [first, second] = good.entries;
  for (const entries of [
    [second!],
    [first!, first!],
    [{ ...first!, epoch: 1 }],
    [{ ...first!, epoch: 4 }],
    [{ ...first!, kind: 9 as never }],
    [{ ...first!, index: 4.5 }],
  ]) {
    assert.equal(isWellFormed({ ...good, entries }), false, JSON.stringify(entries));
  }
  assert.equal(isWellFormed({ ...good, previousTerm: 4, entries: [] }), false);
});

test("numbers that are no safe integers, term 0 of a leader and kinds nobody knows are refused", () => {
  for (const bad of [-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
    assert.equal(isWellFormed({ kind: "heartbeat", term: bad, commit: 0, readPosition: 0 }), false);
    assert.equal(isWellFormed({ kind: "heartbeat", term: 1, commit: bad, readPosition: 0 }), false);
    assert.equal(isWellFormed(acknowledgement(1, bad)), false);
  }
  assert.equal(isWellFormed({ kind: "heartbeat", term: 0, commit: 0, readPosition: 0 }), false);
  assert.equal(isWellFormed({ kind: "gossip", term: 1 } as never), false);
});
