// The rule that a txn may change a key once (semantics, rule 22), with etcd's exact reach: deletes of
// a level bind the puts of that level and of the txns nested in it; the branches of one nested txn
// exclude each other, so both may put a key; a nested txn's deletes bind the txns after it and the
// puts around it. A delete from a key on ("\0") binds nothing. Cost: n log n a level, whatever is sent.

import type { RequestOp } from "../../mvcc/messages.js";

/** Keys as strings of one character a byte: they compare as the bytes do. */
interface Interval {
  readonly from: string;
  /** Exclusive. */
  readonly to: string;
}

interface Changes {
  readonly puts: ReadonlySet<string>;
  /** Ascending and disjoint. */
  readonly deletes: readonly Interval[];
}

const noChanges: Changes = { puts: new Set(), deletes: [] };

/** True when the branch puts a key twice, or puts a key it deletes. */
export function putsKeyTwice(branch: readonly RequestOp[]): boolean {
  return changesOf(branch) === undefined;
}

/** What the branch changes; undefined when it breaks the rule. */
function changesOf(branch: readonly RequestOp[]): Changes | undefined {
  if (isHarmless(branch)) return noChanges;
  let deletes = ownDeletes(branch);
  const puts = new Set<string>();
  for (const op of branch) {
    if (op.kind !== "txn") continue;
    const onSuccess = changesOf(op.request.success);
    if (onSuccess === undefined) return undefined;
    const onFailure = changesOf(op.request.failure);
    if (onFailure === undefined) return undefined;
    for (const key of onSuccess.puts) {
      if (puts.has(key) || covers(deletes, key)) return undefined;
    }
    for (const key of onFailure.puts) {
      if (puts.has(key) || covers(deletes, key)) return undefined;
    }
    for (const key of onSuccess.puts) puts.add(key);
    for (const key of onFailure.puts) puts.add(key);
    deletes = union(union(deletes, onSuccess.deletes), onFailure.deletes);
  }
  for (const op of branch) {
    if (op.kind !== "put") continue;
    const key = text(op.request.key);
    if (puts.has(key) || covers(deletes, key)) return undefined;
    puts.add(key);
  }
  return { puts, deletes };
}

/** Only reads: the common branch that needs no look at its keys. */
function isHarmless(branch: readonly RequestOp[]): boolean {
  for (const op of branch) if (op.kind !== "range" && op.kind !== "none") return false;
  return true;
}

function ownDeletes(branch: readonly RequestOp[]): readonly Interval[] {
  const intervals: Interval[] = [];
  for (const op of branch) {
    if (op.kind !== "deleteRange") continue;
    const from = text(op.request.key);
    const to = op.request.rangeEnd.length === 0 ? `${from}\0` : text(op.request.rangeEnd);
    // An end at or before the key (from-key's "\0" is one) covers nothing here.
    if (to > from) intervals.push({ from, to });
  }
  intervals.sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0));
  return union(intervals, []);
}

/** Both lists ascending; the result is disjoint as well. */
function union(left: readonly Interval[], right: readonly Interval[]): readonly Interval[] {
  if (right.length === 0 && left.length < 2) return left;
  const merged: Interval[] = [];
  let from = "";
  let to = "";
  let open = false;
  let l = 0;
  let r = 0;
  while (l < left.length || r < right.length) {
    const takeLeft = r >= right.length || (l < left.length && left[l]!.from <= right[r]!.from);
    const next = takeLeft ? left[l++]! : right[r++]!;
    if (open && next.from <= to) {
      if (next.to > to) to = next.to;
      continue;
    }
    if (open) merged.push({ from, to });
    ({ from, to } = next);
    open = true;
  }
  if (open) merged.push({ from, to });
  return merged;
}

function covers(intervals: readonly Interval[], key: string): boolean {
  // The last interval that begins at or before the key.
  let low = 0;
  let high = intervals.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (intervals[middle]!.from <= key) low = middle + 1;
    else high = middle;
  }
  const candidate = intervals[low - 1];
  return candidate !== undefined && key < candidate.to;
}

function text(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}
