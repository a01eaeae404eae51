import assert from "node:assert/strict";
import { test } from "node:test";
import type { Compare, PutRequest, RangeRequest, RequestOp, TxnRequest } from "../../mvcc/messages.js";
import { errors } from "../errors.js";
import { checkDeleteRange, checkPut, checkRange, checkTxn } from "./checks.js";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

const putRequest = (key: string, overrides: Partial<PutRequest> = {}): PutRequest => ({
  key: bytes(key),
  value: bytes(""),
  lease: 0n,
  prevKv: false,
  ignoreValue: false,
  ignoreLease: false,
  ...overrides,
});
const rangeRequest = (key: string, overrides: Partial<RangeRequest> = {}): RangeRequest => ({
  key: bytes(key),
  rangeEnd: bytes(""),
  limit: 0,
  revision: 0,
  sortOrder: 0,
  sortTarget: 0,
  serializable: false,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
  ...overrides,
});
const put = (key: string, overrides: Partial<PutRequest> = {}): RequestOp => ({
  kind: "put",
  request: putRequest(key, overrides),
});
const range = (key: string, overrides: Partial<RangeRequest> = {}): RequestOp => ({
  kind: "range",
  request: rangeRequest(key, overrides),
});
const remove = (key: string, end = ""): RequestOp => ({
  kind: "deleteRange",
  request: { key: bytes(key), rangeEnd: bytes(end), prevKv: false },
});
const txnRequest = (
  success: RequestOp[],
  failure: RequestOp[] = [],
  compare: Compare[] = [],
): TxnRequest => ({
  compare,
  success,
  failure,
});
const txn = (success: RequestOp[], failure: RequestOp[] = []): RequestOp => ({
  kind: "txn",
  request: txnRequest(success, failure),
});
const compare = (key: string): Compare => ({
  result: 0,
  target: 0,
  key: bytes(key),
  union: "none",
  number: 0,
  value: bytes(""),
  lease: 0n,
  rangeEnd: bytes(""),
});
const many = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

test("every request needs a key", () => {
  assert.equal(checkPut(putRequest("")), errors.emptyKey);
  assert.equal(checkRange(rangeRequest("")), errors.emptyKey);
  assert.equal(checkDeleteRange({ key: bytes(""), rangeEnd: bytes("z"), prevKv: false }), errors.emptyKey);
  assert.equal(checkTxn(txnRequest([], [], [compare("")]), 128), errors.emptyKey);
  for (const op of [put(""), range(""), remove(""), txn([put("")])]) {
    assert.equal(checkTxn(txnRequest([op]), 128), errors.emptyKey);
    assert.equal(checkTxn(txnRequest([], [op]), 128), errors.emptyKey);
  }
  assert.equal(checkPut(putRequest("\0")), undefined);
});

test("sort orders and targets outside etcd's enums are refused, after the key", () => {
  for (const sortOrder of [-1, 3, 1000]) {
    assert.equal(checkRange(rangeRequest("k", { sortOrder })), errors.invalidSortOption);
  }
  for (const sortTarget of [-1, 5]) {
    assert.equal(checkRange(rangeRequest("k", { sortTarget })), errors.invalidSortOption);
    assert.equal(checkRange(rangeRequest("", { sortTarget })), errors.emptyKey);
  }
  assert.equal(checkRange(rangeRequest("k", { sortOrder: 2, sortTarget: 4 })), undefined);
});

test("a put that keeps the value or the lease must not bring one", () => {
  assert.equal(checkPut(putRequest("k", { ignoreValue: true, value: bytes("v") })), errors.valueProvided);
  assert.equal(checkPut(putRequest("k", { ignoreLease: true, lease: -1n })), errors.leaseProvided);
  const both = { ignoreValue: true, value: bytes("v"), ignoreLease: true, lease: 1n };
  assert.equal(checkPut(putRequest("k", both)), errors.valueProvided);
  assert.equal(checkPut(putRequest("k", { ignoreValue: true, ignoreLease: true })), undefined);
});

test("an operation of a txn that holds nothing is a key not found", () => {
  assert.equal(checkTxn(txnRequest([{ kind: "none" }]), 128), errors.keyNotFound);
  assert.equal(checkTxn(txnRequest([txn([], [{ kind: "none" }])]), 128), errors.keyNotFound);
});

test("128 compares and 128 operations on each branch are allowed, 129 of any are not", () => {
  const puts = (count: number): RequestOp[] => many(count, (index) => put(`k${index}`));
  const compares = (count: number): Compare[] => many(count, () => compare("k"));
  assert.equal(checkTxn(txnRequest(puts(128), puts(128), compares(128)), 128), undefined);
  assert.equal(checkTxn(txnRequest(puts(129)), 128), errors.tooManyOps);
  assert.equal(checkTxn(txnRequest([], puts(129)), 128), errors.tooManyOps);
  assert.equal(checkTxn(txnRequest([], [], compares(129)), 128), errors.tooManyOps);
});

test("nested txns get what the level above leaves, each of them the whole of it", () => {
  const puts = (count: number, from: string): RequestOp[] => many(count, (index) => put(`${from}${index}`));
  assert.equal(checkTxn(txnRequest([txn(puts(127, "a"), puts(127, "b"))]), 128), undefined);
  assert.equal(checkTxn(txnRequest([txn(puts(128, "a"))]), 128), errors.tooManyOps);
  assert.equal(checkTxn(txnRequest([txn(puts(126, "a")), txn(puts(126, "b"))]), 128), undefined);
  assert.equal(checkTxn(txnRequest([txn(puts(127, "a")), txn([])]), 128), errors.tooManyOps);
  let nested = txn([]);
  for (let depth = 0; depth < 127; depth++) nested = txn([nested]);
  assert.equal(checkTxn(txnRequest([nested]), 128), undefined);
  assert.equal(checkTxn(txnRequest([txn([nested])]), 128), errors.tooManyOps);
});

test("the number of operations is checked before their keys, and duplicate keys come last", () => {
  assert.equal(checkTxn(txnRequest(many(129, () => put(""))), 128), errors.tooManyOps);
  assert.equal(checkTxn(txnRequest([put("a"), put("a"), put("")]), 128), errors.emptyKey);
});

// The branch on success; whether it is refused. After etcd's TestV3TxnDuplicateKeys and checkIntervals.
const duplicates: readonly (readonly [name: string, branch: RequestOp[], refused: boolean])[] = [
  ["two puts of a key", [put("abc"), put("abc")], true],
  ["puts of two keys", [put("abc"), put("def")], false],
  ["a delete and then a put of a key", [remove("abc"), put("abc")], true],
  ["a put and then a delete of a key", [put("abc"), remove("abc")], true],
  ["a put inside a deleted range", [put("abc"), remove("a", "b")], true],
  ["a put inside the second of two deleted ranges", [remove("x", "y"), remove("a", "b"), put("abc")], true],
  ["a put at the end of a deleted range", [remove("a", "abc"), put("abc")], false],
  ["a put before a deleted range", [remove("abd", "b"), put("abc")], false],
  ["a put after a deleted key", [remove("abc"), put("abc\0")], false],
  ["overlapping deletes", [remove("abc"), remove("abc"), remove("a", "b")], false],
  [
    "overlapping deletes and a put in the first, longer one",
    [remove("a", "z"), remove("b", "c"), put("x")],
    true,
  ],
  ["a put and a delete from a key on", [put("abc"), remove("a", "\0")], false],
  ["a put and a delete of an inverted range", [put("abc"), remove("b", "a")], false],
  ["a read of what is put and deleted", [range("abc"), put("abc"), remove("abd")], false],
  ["keys that differ in bytes above 127 only", [put("\xff\x80"), put("\xff\x81")], false],
  ["a deleted range of bytes above 127", [put("\xff\x80"), remove("\xfe", "\xff\xff")], true],
  ["a put that a nested txn repeats", [put("abc"), txn([put("abc")])], true],
  ["a put that a nested txn's failure branch repeats", [put("abc"), txn([], [put("abc")])], true],
  ["a put on both branches of one nested txn", [txn([put("abc")], [put("abc")])], false],
  ["a put twice on a nested branch", [txn([put("abc"), put("abc")])], true],
  ["a put twice on a nested failure branch", [txn([], [put("abc"), put("abc")])], true],
  ["a put in two nested txns", [txn([put("abc")]), txn([put("abc")])], true],
  ["a put in two nested txns on different branches", [txn([put("abc")]), txn([], [put("abc")])], true],
  ["a put below a delete", [remove("abc"), txn([put("abc")])], true],
  ["a put below a delete that comes after it", [txn([], [put("abc")]), remove("a", "b")], true],
  ["a put above a nested delete", [put("abc"), txn([remove("abc")])], true],
  ["a put above a doubly nested delete", [put("abc"), txn([txn([], [remove("a", "b")])])], true],
  ["a delete and a put on the two branches of a nested txn", [txn([remove("abc")], [put("abc")])], false],
  ["a delete in one nested txn, a put in a later one", [txn([remove("abc")]), txn([put("abc")])], true],
  // etcd looks at nested txns in order and only at deletes it has met.
  ["a put in one nested txn, a delete in a later one", [txn([put("abc")]), txn([remove("abc")])], false],
  ["deletes at all levels", [remove("a", "z"), txn([remove("b")], [remove("c")])], false],
  ["a read above a nested put", [range("abc"), txn([put("abc")])], false],
];

for (const [name, branch, refused] of duplicates) {
  test(`${name}: ${refused ? "duplicate key" : "allowed"}, on either branch`, () => {
    const expected = refused ? errors.duplicateKey : undefined;
    assert.equal(checkTxn(txnRequest(branch), 128), expected);
    assert.equal(checkTxn(txnRequest([], branch), 128), expected);
    assert.equal(checkTxn(txnRequest([txn([], branch)]), 128), expected);
  });
}

test("the two branches of a txn may change the same keys", () => {
  assert.equal(checkTxn(txnRequest([put("a"), remove("b")], [put("a"), put("b")]), 128), undefined);
});
