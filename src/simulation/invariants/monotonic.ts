// Order and monotony of what a node says of itself: applied <= commit <= last; term, commit and applied
// never decrease, the term not even through a crash; a promise made in a term is neither withdrawn nor
// given to somebody else; the round in which a log is accepted neither decreases nor exceeds the promised
// one. What the engine says of its log is what it handed over.

import type { DurableBatch } from "../../consensus/engine.js";
import type { HardState, Index, NodeId, Term } from "../../consensus/types.js";
import { type Invariant, type NodeView, violated } from "./invariant.js";

interface Seen {
  term: Term;
  commit: Index;
  applied: Index;
}

export class Monotonic implements Invariant {
  readonly name = "monotonic";
  private readonly seen = new Map<NodeId, Seen>();

  started(node: NodeView): void {
    const { round } = node.hardState.promised;
    this.seen.set(node.id, { term: round, commit: 0, applied: node.machine.meta.id.index });
  }

  stepped(node: NodeView): void {
    const { epoch, commit, applied, lastIndex, lastEpoch } = node.status;
    const seen = this.seen.get(node.id)!;
    const where = `on node ${node.id}`;
    if (epoch < seen.term) violated(`term ${seen.term} or later ${where}`, `${epoch}`);
    if (commit < seen.commit) violated(`commit index ${seen.commit} or higher ${where}`, `${commit}`);
    if (applied < seen.applied) violated(`applied index ${seen.applied} or higher ${where}`, `${applied}`);
    if (applied > commit) violated(`applied <= commit ${where}`, `${applied} > ${commit}`);
    if (commit > lastIndex) violated(`commit <= last index ${where}`, `${commit} > ${lastIndex}`);
    if (lastEpoch > epoch) violated(`no entry above term ${epoch} ${where}`, `one of term ${lastEpoch}`);
    seen.term = epoch;
    seen.commit = commit;
    seen.applied = applied;
  }

  appending(node: NodeView, { hardState }: DurableBatch): void {
    if (hardState !== undefined) checkPromise(node, hardState);
  }

  appended(node: NodeView, batch: DurableBatch): void {
    const { round } = node.hardState.promised;
    const last = batch.entries.at(-1);
    if (last !== undefined && last.epoch > round) {
      violated(
        `term ${last.epoch} durable with or before its entries on node ${node.id}`,
        `term ${round} with entry ${last.index}`,
      );
    }
  }
}

function checkPromise({ id, hardState: { promised, accepted } }: NodeView, next: HardState): void {
  if (next.accepted.round < accepted.round) {
    violated(`the log of node ${id} accepted in round ${accepted.round} or later`, `${next.accepted.round}`);
  }
  if (next.accepted.round > next.promised.round) {
    violated(`nothing accepted above round ${next.promised.round} on node ${id}`, `${next.accepted.round}`);
  }
  const { round, node } = next.promised;
  if (round < promised.round) {
    violated(`promised term ${promised.round} or later on node ${id}`, `${round}`);
  }
  if (round === promised.round && promised.node !== 0 && node !== promised.node) {
    violated(
      `node ${id} to keep its promise to ${promised.node} in term ${round}`,
      node === 0 ? "it withdrawn" : `one to ${node}`,
    );
  }
}
