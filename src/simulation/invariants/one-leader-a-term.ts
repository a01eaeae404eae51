// Election safety: at most one leader is ever elected in a term (Raft paper, section 5.2).

import type { NodeId, Term } from "../../consensus/types.js";
import { type Invariant, type NodeView, violated } from "./invariant.js";

export class OneLeaderATerm implements Invariant {
  readonly name = "one leader a term";
  private readonly leaders = new Map<Term, NodeId>();

  stepped(node: NodeView): void {
    if (node.status.role !== "leader") return;
    const { epoch } = node.status;
    const known = this.leaders.get(epoch);
    if (known === undefined) this.leaders.set(epoch, node.id);
    else if (known !== node.id) {
      violated(`node ${known} to be the only leader of term ${epoch}`, `node ${node.id} leads it too`);
    }
  }
}
