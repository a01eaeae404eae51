// The membership in force is the latest one in the log, committed or not, and the one of the snapshot
// below when the log holds none: it takes effect when appended and is rolled back with its entry.

import type { DurableBatch } from "../../consensus/engine.js";
import { EntryKind, type Index, type NodeId } from "../../consensus/types.js";
import { type Invariant, type NodeView, violated } from "./invariant.js";

export class MembershipInForce implements Invariant {
  readonly name = "membership in force";
  /** Indices of the memberships in each node's log, the one it starts from first. */
  private readonly trails = new Map<NodeId, Index[]>();

  started(node: NodeView): void {
    const trail = [node.machine.meta.membershipIndex];
    for (const entry of node.log.entries) {
      if (entry.kind === EntryKind.membership && entry.index > trail.at(-1)!) trail.push(entry.index);
    }
    this.trails.set(node.id, trail);
  }

  appended(node: NodeView, { truncateAfter, snapshot, entries }: DurableBatch): void {
    const trail = this.trails.get(node.id)!;
    if (truncateAfter !== undefined) {
      while (trail.length > 1 && trail.at(-1)! > truncateAfter) trail.pop();
    }
    if (snapshot !== undefined) trail.splice(0, trail.length, snapshot.membershipIndex);
    for (const entry of entries) if (entry.kind === EntryKind.membership) trail.push(entry.index);
    const expected = trail.at(-1)!;
    if (node.status.membershipIndex !== expected) {
      violated(
        `the membership of entry ${expected}, the latest in the log of node ${node.id}, in force`,
        `that of entry ${node.status.membershipIndex}`,
      );
    }
  }
}
