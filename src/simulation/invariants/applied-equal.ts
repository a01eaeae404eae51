// State machine safety: state machines that applied up to the same index are equal, whether they got
// there entry by entry, by snapshot or through a restart. Compares a hash over everything applied.

import { type ClusterView, type Invariant, type NodeView, violated } from "./invariant.js";

export class AppliedEqual implements Invariant {
  readonly name = "applied equal";

  constructor(private readonly cluster: ClusterView) {}

  started(node: NodeView): void {
    this.compare(node);
  }

  applied(node: NodeView): void {
    this.compare(node);
  }

  private compare({ id, machine }: NodeView): void {
    const { index } = machine.meta.id;
    const expected = this.cluster.ledger.hashAt(index);
    if (expected === undefined) {
      violated(
        `nothing applied above ${this.cluster.ledger.lastIndex}, the last committed`,
        `${index} on node ${id}`,
      );
    }
    if (machine.hash !== expected) {
      violated(`state ${expected} after applying ${index}`, `state ${machine.hash} on node ${id}`);
    }
  }
}
