// Asks every invariant at every change, in a fixed order, and says which one a violation belongs to.

import type { DurableBatch } from "../consensus/engine.js";
import type { Entry } from "../consensus/types.js";
import { AppliedEqual } from "./invariants/applied-equal.js";
import { CommittedDurable } from "./invariants/committed-durable.js";
import { CommittedImmutable } from "./invariants/committed-immutable.js";
import { type ClusterView, type Invariant, type NodeView, Violation } from "./invariants/invariant.js";
import { LeaderCompleteness } from "./invariants/leader-completeness.js";
import { LogMatching } from "./invariants/log-matching.js";
import { MembershipInForce } from "./invariants/membership-in-force.js";
import { Monotonic } from "./invariants/monotonic.js";
import { OneLeaderATerm } from "./invariants/one-leader-a-term.js";

export class Checker {
  private readonly immutable: CommittedImmutable;
  private readonly invariants: readonly Invariant[];
  private readonly askedEveryStep: readonly Invariant[];
  /** Name of the invariant that was violated. */
  violatedInvariant: string | undefined;

  /** @param without names of invariants not to be asked: shows what the others see by themselves. */
  constructor(cluster: ClusterView, without: readonly string[] = []) {
    this.immutable = new CommittedImmutable(cluster.ledger);
    const all: readonly Invariant[] = [
      new OneLeaderATerm(),
      new LogMatching(),
      this.immutable,
      new LeaderCompleteness(cluster),
      new AppliedEqual(cluster),
      new CommittedDurable(cluster),
      new MembershipInForce(),
      new Monotonic(),
    ];
    this.invariants = all.filter(({ name }) => !without.includes(name));
    this.askedEveryStep = this.invariants.filter(({ stepped }) => stepped !== undefined);
  }

  started(node: NodeView): void {
    for (const invariant of this.invariants) this.ask(invariant, () => invariant.started?.(node));
  }

  stepped(node: NodeView): void {
    // The hottest of the hooks: no closure an invariant here.
    let asked: Invariant | undefined;
    try {
      for (asked of this.askedEveryStep) asked.stepped?.(node);
    } catch (error) {
      this.blame(asked!, error);
    }
  }

  appending(node: NodeView, batch: DurableBatch): void {
    for (const invariant of this.invariants) this.ask(invariant, () => invariant.appending?.(node, batch));
  }

  appended(node: NodeView, batch: DurableBatch): void {
    for (const invariant of this.invariants) this.ask(invariant, () => invariant.appended?.(node, batch));
  }

  /** True when no node committed this index before. */
  committed(node: NodeView, entry: Entry): boolean {
    let first = false;
    this.ask(this.immutable, () => (first = this.immutable.record(node, entry)));
    for (const invariant of this.invariants) {
      this.ask(invariant, () => invariant.committed?.(node, entry, first));
    }
    return first;
  }

  applied(node: NodeView): void {
    for (const invariant of this.invariants) this.ask(invariant, () => invariant.applied?.(node));
  }

  private ask(invariant: Invariant, question: () => void): void {
    try {
      question();
    } catch (error) {
      this.blame(invariant, error);
    }
  }

  private blame(invariant: Invariant, error: unknown): never {
    if (error instanceof Violation) this.violatedInvariant ??= invariant.name;
    throw error;
  }
}
