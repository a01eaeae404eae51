import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RequestOp } from "../../mvcc/messages.js";
import { putsKeyTwice } from "./duplicate-keys.js";

type Interval = readonly [from: string, to: string];

/** The rule written down plainly: every interval kept, every put compared with each. */
function plain(branch: readonly RequestOp[]): { puts: Set<string>; deletes: Interval[] } | undefined {
  const name = (key: Uint8Array): string => Buffer.from(key).toString("hex");
  const deletes: Interval[] = [];
  for (const op of branch) {
    if (op.kind !== "deleteRange") continue;
    const { key, rangeEnd } = op.request;
    deletes.push([name(key), rangeEnd.length === 0 ? `${name(key)}00` : name(rangeEnd)]);
  }
  const puts = new Set<string>();
  const clashes = (key: string): boolean =>
    puts.has(key) || deletes.some(([from, to]) => from <= key && key < to);
  for (const op of branch) {
    if (op.kind !== "txn") continue;
    const onSuccess = plain(op.request.success);
    const onFailure = plain(op.request.failure);
    if (onSuccess === undefined || onFailure === undefined) return undefined;
    const nested = new Set([...onSuccess.puts, ...onFailure.puts]);
    for (const key of nested) if (clashes(key)) return undefined;
    for (const key of nested) puts.add(key);
    deletes.push(...onSuccess.deletes, ...onFailure.deletes);
  }
  for (const op of branch) {
    if (op.kind !== "put") continue;
    const key = name(op.request.key);
    if (clashes(key)) return undefined;
    puts.add(key);
  }
  return { puts, deletes };
}

const keys = fc.uint8Array({ minLength: 1, maxLength: 2, max: 5 });
const ends = fc.oneof(fc.constant(new Uint8Array(0)), fc.constant(Uint8Array.of(0)), keys);
const none = new Uint8Array(0);

const branches = fc.letrec<{ branch: RequestOp[]; op: RequestOp }>((tie) => ({
  branch: fc.array(tie("op"), { maxLength: 4 }),
  op: fc.oneof(
    { depthSize: "small" },
    keys.map((key) => ({
      kind: "put" as const,
      request: { key, value: none, lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false },
    })),
    fc.tuple(keys, ends).map(([key, rangeEnd]) => ({
      kind: "deleteRange" as const,
      request: { key, rangeEnd, prevKv: false },
    })),
    fc
      .tuple(tie("branch"), tie("branch"))
      .map(([success, failure]) => ({ kind: "txn" as const, request: { compare: [], success, failure } })),
  ),
})).branch;

test("random branches are judged as by comparing every put with every delete", () => {
  let refused = 0;
  fc.assert(
    fc.property(branches, (branch) => {
      const expected = plain(branch) === undefined;
      if (expected) refused++;
      assert.equal(putsKeyTwice(branch), expected);
    }),
    { numRuns: 2000 },
  );
  assert.ok(refused > 200, `only ${refused} of 2000 branches were refused: the generator says little`);
});

test("seventy thousand puts among as many deletes are judged within the time of a sort", () => {
  const key = (index: number): Uint8Array => {
    const bytes = Buffer.alloc(5);
    bytes.writeUInt32BE(index);
    return bytes;
  };
  const ops: RequestOp[] = [];
  for (let index = 70_000; index > 0; index--) {
    const request = { key: key(index * 2), rangeEnd: none, prevKv: false };
    ops.push({ kind: "deleteRange", request });
    const lease = { lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false };
    ops.push({ kind: "put", request: { key: key(index * 2 + 1), value: none, ...lease } });
  }
  assert.equal(putsKeyTwice(ops), false);
});
