// What is committed stays: the first node to hand over an index as committed decides for the whole run
// what is there, across crashes, elections and snapshots. Keeps the ledger that other invariants read.

import type { Entry, Index, NodeId } from "../../consensus/types.js";
import { type Invariant, type NodeView, violated } from "./invariant.js";
import type { Ledger } from "./ledger.js";
import { sameEntry } from "./log-matching.js";

export class CommittedImmutable implements Invariant {
  readonly name = "committed is immutable";
  /** Commit index already checked, by node: a log changes without touching what is below it. */
  private readonly checked = new Map<NodeId, Index>();

  constructor(private readonly ledger: Ledger) {}

  /** Takes the entry into the ledger or compares it. True when it is new there. */
  record(node: NodeView, entry: Entry): boolean {
    const known = this.ledger.entryAt(entry.index);
    if (known !== undefined) {
      if (!sameEntry(known, entry)) {
        violated(
          `entry ${entry.index} of term ${known.epoch}, committed before`,
          `entry ${entry.index} of term ${entry.epoch} committed on node ${node.id}`,
        );
      }
      return false;
    }
    if (entry.index !== this.ledger.lastIndex + 1) {
      violated(
        `entry ${this.ledger.lastIndex + 1} to be committed next`,
        `entry ${entry.index} on node ${node.id}`,
      );
    }
    this.ledger.add(entry, node.status.epoch);
    return true;
  }

  started(node: NodeView): void {
    this.checked.delete(node.id);
  }

  /** The commit index that a node claims never covers an entry that differs from the ledger's. */
  stepped(node: NodeView): void {
    const { commit } = node.status;
    if (this.checked.get(node.id) === commit) return;
    this.checked.set(node.id, commit);
    const index = Math.min(commit, this.ledger.lastIndex);
    const known = this.ledger.entryAt(index);
    if (known === undefined || node.log.covers(index, known.epoch)) return;
    violated(
      `entry ${index} of term ${known.epoch} below the commit index of node ${node.id}`,
      `term ${node.log.epochAt(index)}`,
    );
  }
}
