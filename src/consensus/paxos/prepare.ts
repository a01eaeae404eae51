// Phase 1: a node that takes over promises a new round to itself, asks everybody to promise it too, and
// adopts the best log among the promises, whoever holds it. Only then does it lead. It needs a promise
// quorum of every configuration that counts in the log it ends up with.

import { invariant } from "../engine.js";
import type { Entry, Index, NodeId } from "../types.js";
import type { Rank } from "./acceptor.js";
import { Leadership } from "./leadership.js";
import type { Chunk, Promise1b } from "./messages.js";

function ranksAbove(a: Rank, b: Rank): boolean {
  return a.accepted > b.accepted || (a.accepted === b.accepted && a.lastIndex > b.lastIndex);
}

export abstract class Phase1 extends Leadership {
  private readonly promises = new Map<NodeId, Promise1b>();
  private readonly asked = new Set<NodeId>();
  /** Whose log is being fetched; 0: nobody's. */
  private source: NodeId = 0;
  private fetched: Entry[] = [];
  private fetchFrom: Index = 0;
  private transfer = false;
  private resendElapsed = 0;

  /** Takes over with a round above all that were heard of. */
  protected prepare(transfer: boolean): void {
    this.enterRound(this.highestRound + 1, this.id);
    this.leader = 0;
    this.role = "preparing";
    this.electionElapsed = 0;
    this.resendElapsed = 0;
    this.transfer = transfer;
    this.endPrepare();
    this.askForPromises();
  }

  /** Forgets what phase 1 gathered. */
  protected endPrepare(): void {
    this.promises.clear();
    this.asked.clear();
    this.source = 0;
    this.fetched = [];
  }

  private askForPromises(): void {
    for (const node of this.everybody()) {
      if (node === this.id || this.promises.has(node) || this.asked.has(node)) continue;
      this.asked.add(node);
      // A node that forgot its round in a crash could ask again, in the same round.
      const { round, transfer } = this;
      this.sendAfterAppend(node, { kind: "prepare", round, transfer, leading: false, session: 0 }, true);
    }
  }

  protected tickPrepare(): void {
    if (++this.resendElapsed < this.config.heartbeatTicks + 1) return;
    this.resendElapsed = 0;
    if (!this.promiseDurable) return;
    this.asked.clear();
    this.askForPromises();
    if (this.source !== 0) this.fetch();
  }

  protected onPromise(from: NodeId, promise: Promise1b): void {
    this.promises.set(from, promise);
    this.conclude();
  }

  /** Leads, if nothing is missing any more. */
  protected conclude(): void {
    if (this.role !== "preparing" || !this.promiseDurable) return;
    const { promises } = this;
    const said = (node: NodeId) => node === this.id || promises.has(node);
    if (!this.quorums.promised(this.configurations, said)) {
      // The log that was adopted may name nodes that have not been asked.
      this.askForPromises();
      return;
    }
    let best: Rank = this.rank;
    let source: NodeId = 0;
    for (const [node, promise] of promises) {
      if (!ranksAbove(promise, best)) continue;
      best = promise;
      source = node;
    }
    if (source === 0) {
      this.lead();
    } else if (this.source !== source) {
      this.source = source;
      this.fetched = [];
      this.fetchFrom = best.accepted === this.accepted.round ? this.log.lastIndex + 1 : this.commit + 1;
      this.fetch();
    }
  }

  private fetch(): void {
    const from = this.fetchFrom + this.fetched.length;
    this.send(this.source, { kind: "fetch", round: this.round, from }, false);
  }

  protected onChunk(from: NodeId, chunk: Chunk): void {
    const promise = this.promises.get(from);
    if (promise === undefined || from !== this.source) return;
    this.electionElapsed = 0;
    this.resendElapsed = 0;
    if (chunk.accepted !== promise.accepted || chunk.lastIndex !== promise.lastIndex) {
      // A snapshot changed it meanwhile: begin again with what it is now.
      const { accepted, lastIndex } = chunk;
      this.promises.set(from, { ...promise, accepted, lastIndex });
      this.refetch();
      return;
    }
    if (chunk.from !== this.fetchFrom + this.fetched.length) return;
    for (const entry of chunk.entries) this.fetched.push(entry);
    if (this.fetchFrom + this.fetched.length - 1 < promise.lastIndex) {
      if (chunk.entries.length > 0) this.fetch();
      return;
    }
    this.adopt(promise);
  }

  /** Takes the best log as a whole, and with it the round it was accepted in. */
  private adopt({ accepted, lastIndex }: Promise1b): void {
    const { fetched, source } = this;
    this.source = 0;
    this.fetched = [];
    if (!this.merge(fetched)) {
      this.impossible++;
      this.promises.delete(source);
      return;
    }
    if (accepted !== this.accepted.round) {
      this.truncateAfter(Math.max(lastIndex, this.commit));
      this.accepted = { round: accepted, node: 0 };
    }
    this.conclude();
  }

  /** What is decided here changed under the fetch. */
  protected refetch(): void {
    this.source = 0;
    this.fetched = [];
    this.conclude();
  }

  private lead(): void {
    const adopted = this.rank;
    const promises = [...this.promises];
    let decided = this.commit;
    for (const [, promise] of promises) decided = Math.max(decided, promise.decided);
    invariant(
      decided <= this.log.lastIndex,
      () => `a promise says ${decided} is decided, the adopted log ends at ${this.log.lastIndex}`,
    );
    this.endPrepare();
    this.role = "leader";
    this.leader = this.id;
    this.accepted = this.promised;
    this.startLeading(adopted, decided);
    if (this.role !== "leader") return;
    for (const [node, promise] of promises) this.openSession(node, promise);
    this.prepareNewcomers();
  }
}
