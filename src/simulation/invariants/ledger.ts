// The one history of the run: every entry that any node ever handed over as committed, by index. Kept
// beside the cluster, so that no node can change it.

import type { Entry, Index, Term } from "../../consensus/types.js";
import { hashAfter } from "../state-machine.js";

export class Ledger {
  private readonly entries: Entry[] = [];
  private readonly terms: Term[] = [];
  private readonly hashes: number[] = [];

  /** Highest index known to be committed. */
  get lastIndex(): Index {
    return this.entries.length;
  }

  entryAt(index: Index): Entry | undefined {
    return this.entries[index - 1];
  }

  /** Some leader of this term or an earlier one committed the entry. */
  committedInTerm(index: Index): Term {
    return this.terms[index - 1]!;
  }

  /** Of the state after applying everything up to `index`. */
  hashAt(index: Index): number | undefined {
    return index === 0 ? 0 : this.hashes[index - 1];
  }

  /** Adds the entry that follows the last one. */
  add(entry: Entry, term: Term): void {
    this.hashes.push(hashAfter(this.hashAt(this.lastIndex)!, entry));
    this.entries.push(entry);
    this.terms.push(term);
  }
}
