// The comparisons of transactions: which branches are taken, decided for the whole transaction against
// the state before it, as etcd does. Nothing here changes anything.

import { decodeKeyValue } from "./codec.js";
import { newest } from "./index/key-index.js";
import { compareKeys } from "./index/packed-keys.js";
import { type Compare, CompareResult, CompareTarget, type TxnRequest } from "./messages.js";
import { rangeEnd, type View } from "./range.js";
import type { RowReader } from "./row-store.js";

const noBytes = new Uint8Array(0);

/**
 * Whether each transaction on the taken path succeeds, in the order in which they are met: the outer
 * one, then depth first. Of no use when `reader.missed` afterwards.
 */
export function comparePath(view: View, txn: TxnRequest, reader: RowReader, path: boolean[] = []): boolean[] {
  const succeeded = txn.compare.every((compare) => holds(view, compare, reader));
  path.push(succeeded);
  for (const op of succeeded ? txn.success : txn.failure)
    if (op.kind === "txn") comparePath(view, op.request, reader, path);
  return path;
}

/** A comparison holds when it does for every key of its range; with no key, for a missing key. */
function holds(view: View, compare: Compare, reader: RowReader): boolean {
  const { index } = view;
  const end = rangeEnd(compare.rangeEnd);
  if (end === null) {
    if (index.get(compare.key, view.at)) return holdsInCell(view, compare, reader);
    return holdsWhenMissing(compare);
  }
  let any = false;
  let all = true;
  index.scan(compare.key, end, view.at, () => {
    any = true;
    // Rows that are missing are all noted at once: until they are fetched the outcome is open.
    all = holdsInCell(view, compare, reader) && all;
    return all || compare.target === CompareTarget.value || compare.target === CompareTarget.lease;
  });
  return any ? all : holdsWhenMissing(compare);
}

function holdsWhenMissing(compare: Compare): boolean {
  if (compare.target === CompareTarget.value) return false;
  return satisfies(compare.result, difference(compare, 0, 0, 0, 0n));
}

function holdsInCell(view: View, compare: Compare, reader: RowReader): boolean {
  const { cell } = view.index;
  const { target } = compare;
  if (target !== CompareTarget.value && target !== CompareTarget.lease)
    return satisfies(compare.result, difference(compare, cell[2]!, cell[0]!, cell[1]!, 0n));
  const row = reader.get(cell[1]!, cell[3]!);
  if (row === undefined) return false;
  const kv = decodeKeyValue(row);
  if (target === CompareTarget.lease)
    return satisfies(compare.result, difference(compare, 0, 0, 0, kv.lease));
  return satisfies(
    compare.result,
    compareKeys(kv.value, compare.union === "value" ? compare.value : noBytes),
  );
}

/** The key's number less the one asked for; an oneof of another kind counts as 0. */
function difference(compare: Compare, version: number, create: number, mod: number, lease: bigint): number {
  const { union } = compare;
  switch (compare.target) {
    case CompareTarget.version:
      return version - (union === "version" ? compare.number : 0);
    case CompareTarget.create:
      return create - (union === "create" ? compare.number : 0);
    case CompareTarget.mod:
      return mod - (union === "mod" ? compare.number : 0);
    case CompareTarget.lease: {
      const other = union === "lease" ? compare.lease : 0n;
      return lease < other ? -1 : lease > other ? 1 : 0;
    }
    default:
      return 0;
  }
}

function satisfies(result: number, difference: number): boolean {
  switch (result) {
    case CompareResult.equal:
      return difference === 0;
    case CompareResult.notEqual:
      return difference !== 0;
    case CompareResult.greater:
      return difference > 0;
    case CompareResult.less:
      return difference < 0;
    default:
      return true;
  }
}

/** A view of the newest state. */
export function newestView(index: View["index"], revision: number): View {
  return { index, revision, at: newest };
}
