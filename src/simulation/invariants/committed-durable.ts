// What is committed is durable on a quorum. Asked of the entry of its own term with which a leader moves
// its commit index (older ones may be counted under memberships that no longer are), at the moment it
// does so, of disks rather than of running nodes. Asked again whenever a log is cut: a later leader holds
// the entry, so nobody who was counted has a reason to lose it.

import type { DurableBatch } from "../../consensus/engine.js";
import { jointVoteResult } from "../../consensus/quorum/joint.js";
import type { EntryId, Index, Membership, NodeId } from "../../consensus/types.js";
import { type ClusterView, type Invariant, type NodeView, violated } from "./invariant.js";

interface Frontier extends EntryId {
  readonly leader: NodeId;
  readonly membership: Membership;
}

export class CommittedDurable implements Invariant {
  readonly name = "committed is durable on a quorum";
  private frontier: Frontier | undefined;
  private readonly checked = new Map<NodeId, Index>();

  constructor(private readonly cluster: ClusterView) {}

  started(node: NodeView): void {
    this.checked.delete(node.id);
    // The disk lost what was not synced: more must not have been promised.
    this.check();
  }

  stepped(node: NodeView): void {
    const { role, commit, epoch, membership } = node.status;
    if (role !== "leader" || this.checked.get(node.id) === commit) return;
    this.checked.set(node.id, commit);
    if (node.log.epochAt(commit) !== epoch) return;
    const known = this.frontier;
    if (known !== undefined && (known.epoch > epoch || (known.epoch === epoch && known.index >= commit)))
      return;
    this.frontier = { index: commit, epoch, leader: node.id, membership };
    this.check();
  }

  appended(_node: NodeView, { truncateAfter, snapshot }: DurableBatch): void {
    if (truncateAfter !== undefined || snapshot !== undefined) this.check();
  }

  private check(): void {
    if (this.frontier === undefined) return;
    const { index, epoch, leader, membership } = this.frontier;
    const holds = (id: NodeId) => {
      const node = this.cluster.nodes.get(id);
      // A log about to be cut on disk no longer counts.
      return (
        node?.durableLog.covers(index, epoch) === true && (!node.running || node.log.covers(index, epoch))
      );
    };
    if (jointVoteResult(membership, holds) === "won") return;
    const holders = [...membership.voters, ...membership.outgoing].filter(holds);
    violated(
      `entry ${index} of term ${epoch}, committed by leader ${leader}, durable on a quorum of ` +
        `(${membership.voters})${membership.outgoing.length > 0 ? `&&(${membership.outgoing})` : ""}`,
      holders.length === 0 ? "it nowhere" : `it only on ${[...new Set(holders)]}`,
    );
  }
}
