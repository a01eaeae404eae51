// Range, from the index alone as far as possible: which keys exist at a revision, filtered, sorted, cut
// and counted exactly as etcd does, then their rows. etcd's processing order: fetch, filter by
// revisions, sort, truncate, and `more` when anything was truncated.

import { decodeKeyValue } from "./codec.js";
import { type KeyIndex, newest } from "./index/key-index.js";
import { compareKeys } from "./index/packed-keys.js";
import {
  type KeyValue,
  type RangeRequest,
  type RangeResult,
  SortOrder,
  SortTarget,
  type StoreRefusal,
} from "./messages.js";
import type { RowReader } from "./row-store.js";

/** What a read sees. */
export interface View {
  readonly index: KeyIndex;
  /** Revision reported in headers. */
  readonly revision: number;
  /** Where "the newest" is read: `newest`, or a pinned revision. */
  readonly at: number;
}

const noKeyValues: readonly KeyValue[] = [];
const noBytes = new Uint8Array(0);

/** The exclusive end of a range: undefined for all keys from the start on, null for the key alone. */
export function rangeEnd(bytes: Uint8Array): Uint8Array | undefined | null {
  if (bytes.length === 0) return null;
  return bytes.length === 1 && bytes[0] === 0 ? undefined : bytes;
}

/** Whether a plain Range may read at this revision; 0 and below mean the newest. */
export function checkRevision(
  revision: number,
  current: number,
  compacted: number,
): StoreRefusal | undefined {
  if (revision > current) return "futureRevision";
  return (revision <= 0 ? current : revision) < compacted ? "compacted" : undefined;
}

/** A key that a range found, as the index knows it. */
interface Found {
  /** Only when the row is not going to be read. */
  readonly key: Uint8Array;
  readonly create: number;
  readonly main: number;
  readonly version: number;
  readonly sub: number;
}

function passes(request: RangeRequest, create: number, main: number): boolean {
  if (request.maxModRevision !== 0 && main > request.maxModRevision) return false;
  if (request.minModRevision !== 0 && main < request.minModRevision) return false;
  if (request.maxCreateRevision !== 0 && create > request.maxCreateRevision) return false;
  return request.minCreateRevision === 0 || create >= request.minCreateRevision;
}

function isFiltered(request: RangeRequest): boolean {
  return (
    request.maxModRevision !== 0 ||
    request.minModRevision !== 0 ||
    request.maxCreateRevision !== 0 ||
    request.minCreateRevision !== 0
  );
}

/** Whether the limit cuts before the sort: etcd does so when no order and no filter is asked for. */
function cutsFirst(request: RangeRequest): boolean {
  return request.sortOrder === SortOrder.none && !isFiltered(request);
}

/** Whether the keys stay in the order of the index: ascending, or no order, by key. */
function isInKeyOrder(request: RangeRequest): boolean {
  switch (request.sortTarget) {
    case SortTarget.version:
    case SortTarget.create:
    case SortTarget.mod:
    case SortTarget.value:
      return false;
    default:
      return request.sortOrder !== SortOrder.descend;
  }
}

/**
 * Runs a range whose revision was checked. When `reader.missed` is true afterwards the result is of no
 * use: fetch and run it again.
 */
export function runRange(view: View, request: RangeRequest, reader: RowReader): RangeResult {
  const { index } = view;
  const at = request.revision > 0 ? request.revision : view.at;
  const end = rangeEnd(request.rangeEnd);
  if (end === null) return runSingle(view, request, at, reader);
  // The newest state is counted without visiting it, if this revision is the newest.
  const readAt = at === view.revision && view.at === newest ? newest : at;
  if (request.countOnly) return result(view, noKeyValues, false, index.count(request.key, end, readAt));

  const sortsByValue = request.sortTarget === SortTarget.value;
  const needsRows = !request.keysOnly || sortsByValue;
  const limit = request.limit > 0 ? request.limit : Number.POSITIVE_INFINITY;
  const inKeyOrder = isInKeyOrder(request);
  const takes = inKeyOrder || cutsFirst(request) ? limit + 1 : Number.POSITIVE_INFINITY;
  const filtered = isFiltered(request);
  const found: Found[] = [];
  const needsKey = !needsRows;
  let seen = 0;
  let cut = false;
  const { cell } = index;
  index.scan(request.key, end, readAt, (leaf, slot) => {
    seen++;
    const create = cell[0]!;
    const main = cell[1]!;
    if (filtered && !passes(request, create, main)) return true;
    found.push({
      key: needsKey ? leaf.key(slot) : noBytes,
      create,
      main,
      version: cell[2]!,
      sub: cell[3]!,
    });
    cut = found.length >= takes;
    return !cut;
  });
  const count = cut ? index.count(request.key, end, readAt) : seen;
  let rows: KeyValue[] | undefined;
  if (sortsByValue) {
    rows = load(found, reader);
    if (reader.missed) return result(view, noKeyValues, false, count);
    sortValues(rows, request.sortOrder);
  } else if (!inKeyOrder) {
    sortFound(found, request);
  }
  const more = (rows ?? found).length > limit;
  if (rows !== undefined) {
    if (more) rows.length = limit;
    return result(view, request.keysOnly ? rows.map(withoutValue) : rows, more, count);
  }
  if (more) found.length = limit;
  return result(view, needsRows ? load(found, reader) : found.map(keyOnly), more, count);
}

/** The most frequent read: one key. */
function runSingle(view: View, request: RangeRequest, at: number, reader: RowReader): RangeResult {
  const { index } = view;
  if (!index.get(request.key, at)) return result(view, noKeyValues, false, 0);
  const { cell } = index;
  const create = cell[0]!;
  const main = cell[1]!;
  const version = cell[2]!;
  const sub = cell[3]!;
  if (request.countOnly || !passes(request, create, main)) return result(view, noKeyValues, false, 1);
  if (request.keysOnly && request.sortTarget !== SortTarget.value) {
    const found = { key: Buffer.from(request.key), create, main, version, sub };
    return result(view, [keyOnly(found)], false, 1);
  }
  const row = reader.get(main, sub);
  if (row === undefined) return result(view, noKeyValues, false, 1);
  const kv = decodeKeyValue(row);
  return result(view, [request.keysOnly ? withoutValue(kv) : kv], false, 1);
}

function result(view: View, kvs: readonly KeyValue[], more: boolean, count: number): RangeResult {
  return { kind: "range", revision: view.revision, kvs, more, count };
}

function load(found: readonly Found[], reader: RowReader): KeyValue[] {
  const kvs: KeyValue[] = [];
  for (const { main, sub } of found) {
    const row = reader.get(main, sub);
    if (row !== undefined) kvs.push(decodeKeyValue(row));
  }
  return kvs;
}

/** As etcd does from 3.7 on: the index knows no lease, so keys_only leaves it out. */
function keyOnly(found: Found): KeyValue {
  return {
    key: found.key,
    createRevision: found.create,
    modRevision: found.main,
    version: found.version,
    value: noBytes,
    lease: 0n,
  };
}

function withoutValue(kv: KeyValue): KeyValue {
  return { ...kv, value: noBytes };
}

/** Sorting by another target than the key without an order means ascending. */
function sortFound(found: Found[], request: RangeRequest): void {
  const sign = request.sortOrder === SortOrder.descend ? -1 : 1;
  switch (request.sortTarget) {
    case SortTarget.version:
      found.sort((a, b) => sign * (a.version - b.version));
      return;
    case SortTarget.create:
      found.sort((a, b) => sign * (a.create - b.create));
      return;
    case SortTarget.mod:
      found.sort((a, b) => sign * (a.main - b.main));
      return;
    default:
      if (sign < 0) found.reverse();
  }
}

function sortValues(kvs: KeyValue[], sortOrder: number): void {
  const sign = sortOrder === SortOrder.descend ? -1 : 1;
  kvs.sort((a, b) => sign * compareKeys(a.value, b.value));
}
