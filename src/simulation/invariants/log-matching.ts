// Log matching: two logs that hold an entry of the same index and term hold the same entries up to it
// (Raft paper, section 5.3). Every entry appended anywhere is compared with the first appearance of its
// id: same content, same predecessor. By induction the whole prefixes are then equal.

import type { DurableBatch } from "../../consensus/engine.js";
import type { Entry, Index, Term } from "../../consensus/types.js";
import { type Invariant, type NodeView, violated } from "./invariant.js";

interface Appearance {
  readonly entry: Entry;
  readonly previousEpoch: Term | undefined;
}

export class LogMatching implements Invariant {
  readonly name = "log matching";
  private readonly appearances = new Map<Index, Map<Term, Appearance>>();

  appended(node: NodeView, { entries }: DurableBatch): void {
    for (const entry of entries) {
      const previousEpoch = node.log.epochAt(entry.index - 1);
      let terms = this.appearances.get(entry.index);
      if (terms === undefined) this.appearances.set(entry.index, (terms = new Map()));
      const known = terms.get(entry.epoch);
      if (known === undefined) {
        terms.set(entry.epoch, { entry, previousEpoch });
        continue;
      }
      const id = `entry ${entry.index} of term ${entry.epoch}`;
      if (known.previousEpoch !== previousEpoch) {
        violated(
          `${id} to follow an entry of term ${known.previousEpoch} everywhere`,
          `one of term ${previousEpoch} before it on node ${node.id}`,
        );
      }
      if (!sameEntry(known.entry, entry)) {
        violated(`${id} to have one content everywhere`, `another on node ${node.id}`);
      }
    }
  }
}

export function sameEntry(a: Entry, b: Entry): boolean {
  if (a === b) return true;
  if (a.index !== b.index || a.epoch !== b.epoch || a.kind !== b.kind) return false;
  if (a.payload === b.payload) return true;
  if (a.payload.length !== b.payload.length) return false;
  return a.payload.every((byte, at) => byte === b.payload[at]);
}
