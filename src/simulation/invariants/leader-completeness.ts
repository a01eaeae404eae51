// Leader completeness: an entry committed in a term is in the log of every leader of a later term (Raft
// paper, section 5.4.3). Asked when a leader is elected, and of the leaders there are when an entry
// commits. The term in which an entry was committed is not observable; that of the first node to report
// it is an upper bound, so what is asked for is never too much.

import type { Entry, NodeId, Term } from "../../consensus/types.js";
import { type ClusterView, type Invariant, type NodeView, violated } from "./invariant.js";

export class LeaderCompleteness implements Invariant {
  readonly name = "leader completeness";
  /** Term of leadership already checked, by node. */
  private readonly checked = new Map<NodeId, Term>();

  constructor(private readonly cluster: ClusterView) {}

  stepped(node: NodeView): void {
    const { role, epoch } = node.status;
    if (role !== "leader" || this.checked.get(node.id) === epoch) return;
    this.checked.set(node.id, epoch);
    const { ledger } = this.cluster;
    let index = ledger.lastIndex;
    while (index > 0 && ledger.committedInTerm(index) >= epoch) index--;
    if (index > 0) this.require(node, ledger.entryAt(index)!);
  }

  committed(reporter: NodeView, entry: Entry, first: boolean): void {
    if (!first) return;
    for (const node of this.cluster.nodes.values()) {
      if (!node.running || node.status.role !== "leader") continue;
      if (node.status.epoch > reporter.status.epoch) this.require(node, entry);
    }
  }

  /** By log matching, holding the last committed entry is holding all of them. */
  private require(leader: NodeView, { index, epoch }: Entry): void {
    if (leader.log.covers(index, epoch)) return;
    violated(
      `leader ${leader.id} of term ${leader.status.epoch} to hold entry ${index} of term ${epoch}, committed before`,
      `${leader.log.epochAt(index) === undefined ? "nothing" : `term ${leader.log.epochAt(index)}`} there`,
    );
  }
}
