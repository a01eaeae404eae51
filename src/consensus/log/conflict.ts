// Where two logs may still agree. Terms never fall along a log, so above the last entry whose term is
// at most the other side's term nothing can match: both sides skip a whole term with every probe.

import type { EntryId, Index, Term } from "../types.js";
import { type Log, UNKNOWN_TERM } from "./log.js";

/**
 * The highest entry at or below `index` whose term is at most `term`. Epoch 0 when the search leaves
 * what the log still holds: then only the index is known.
 */
export function lastEntryNotAfter(log: Log, index: Index, term: Term): EntryId {
  const base = log.firstIndex - 1;
  let high = Math.min(index, log.lastIndex);
  if (high < base) return { index: high, epoch: 0 };
  let low = base;
  if (log.termAt(low) > term) return { index: Math.max(low - 1, 0), epoch: 0 };
  while (low < high) {
    const middle = low + Math.ceil((high - low) / 2);
    if (log.termAt(middle) <= term) low = middle;
    else high = middle - 1;
  }
  const found = log.termAt(low);
  return { index: low, epoch: found === UNKNOWN_TERM ? 0 : found };
}
