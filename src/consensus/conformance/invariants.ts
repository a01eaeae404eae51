// What must hold of a cluster at every moment, whatever the protocol: one leader an epoch, one entry a
// committed index, the same entries applied in the same order, and nothing that ever falls.

import type { EngineStatus } from "../engine.js";
import type { Index, NodeId, Term } from "../types.js";
import { expect, expectEqual } from "./expect.js";
import { type Network, text } from "./network.js";

export class Invariants<M> {
  private readonly leaders = new Map<Term, NodeId>();
  /** What was applied at each index, by whoever applied it first. */
  private readonly chosen: (string | undefined)[] = [];
  private readonly seen = new Map<NodeId, { incarnation: unknown; status: EngineStatus; applied: number }>();
  /** Highest commit index any node has reported: no read may be answered below it later. */
  highestCommit: Index = 0;

  constructor(private readonly net: Network<M>) {}

  check(): void {
    for (const node of this.net.nodes.values()) {
      if (!node.alive) continue;
      const { id } = node.config;
      const status = node.engine.status();
      if (status.role === "leader") {
        const other = this.leaders.get(status.epoch);
        expect(other === undefined || other === id, `${other} and ${id} both lead epoch ${status.epoch}`);
        this.leaders.set(status.epoch, id);
      }
      const before = this.seen.get(id);
      const same = before?.incarnation === node.engine;
      if (before !== undefined) {
        if (same) expect(status.epoch >= before.status.epoch, `the epoch of ${id} fell`);
        if (same) expect(status.commit >= before.status.commit, `the commit index of ${id} fell`);
        if (same && status.epoch === before.status.epoch && before.status.vote !== 0) {
          expectEqual(status.vote, before.status.vote, `${id} changed its vote in epoch ${status.epoch}`);
        }
      }
      expect(status.applied <= status.commit && status.commit <= status.lastIndex, `order at ${id}`);
      const from = before === undefined ? 0 : Math.min(before.applied, node.applied.length);
      for (let i = from; i < node.applied.length; i++) {
        const entry = node.applied[i]!;
        expectEqual(entry.index, i + 1, `${id} applied ${entry.index} at position ${i + 1}`);
        const name = `${entry.index}@${entry.epoch}:${text(entry)}`;
        this.chosen[i] ??= name;
        expectEqual(name, this.chosen[i], `${id} applied another entry at ${entry.index}`);
      }
      this.seen.set(id, { incarnation: node.engine, status, applied: node.applied.length });
      this.highestCommit = Math.max(this.highestCommit, status.commit);
    }
  }
}
