// What goes wrong, and when: crashes, power losses, partitions of several shapes, pauses, transfers and
// compactions, each at its own random times until the safety phase ends. Everything drawn here is undone
// by quiet().

import { jointVoteResult } from "../consensus/quorum/joint.js";
import type { NodeId } from "../consensus/types.js";
import type { Agenda } from "./agenda.js";
import type { Coverage } from "./coverage.js";
import type { SimulatedNetwork } from "./network.js";
import type { SimulatedNode } from "./node.js";
import type { Random } from "./random.js";
import type { FaultOptions } from "./swarm.js";

export class Faults<M> {
  private stopped = false;

  constructor(
    private readonly agenda: Agenda,
    private readonly random: Random,
    private readonly options: FaultOptions,
    private readonly network: SimulatedNetwork,
    private readonly coverage: Coverage,
    private readonly nodes: ReadonlyMap<NodeId, SimulatedNode<M>>,
  ) {}

  start(): void {
    const { crashEveryUs, powerLossEveryUs, partitionEveryUs, pauseEveryUs } = this.options;
    const { transferEveryUs, compactEveryUs } = this.options;
    this.repeat(crashEveryUs, () => this.crashOne());
    this.repeat(powerLossEveryUs, () => this.losePower());
    this.repeat(partitionEveryUs, () => this.partition());
    this.repeat(pauseEveryUs, () => this.pauseOne());
    this.repeat(transferEveryUs, () => this.transfer());
    this.repeat(compactEveryUs, () => this.compactOne());
    this.repeat(compactEveryUs / 2, () => this.random.pick([...this.nodes.values()]).flushState());
  }

  /** Ends all faults: links are whole, nodes run. */
  quiet(): void {
    this.stopped = true;
    this.network.heal();
    for (const node of this.nodes.values()) {
      if (!node.running) node.start();
      node.resume();
    }
  }

  /**
   * Takes one node down for good, if every membership that any node holds or has applied last has its
   * majorities without it: a protocol may need those of the membership that a change replaces.
   */
  retireOne(): void {
    const candidate = this.random.pick([...this.nodes.values()]);
    const spared = [...this.nodes.values()].every(({ status, machine }) =>
      [status.membership, machine.meta.membership].every(
        (each) => jointVoteResult(each, (id) => id !== candidate.id) === "won",
      ),
    );
    if (!spared) return;
    this.coverage.count("retirements");
    candidate.crash();
  }

  /** A node was elected: the moments in which little of its term is anywhere else yet. */
  elected(leader: SimulatedNode<M>): void {
    const { newLeaderFails, newLeaderFailsUs } = this.options;
    if (this.stopped || !this.random.chance(newLeaderFails)) return;
    this.agenda.after(this.random.exponential(newLeaderFailsUs * this.random.pick([0.25, 1, 4])), () => {
      if (this.stopped || !leader.running) return;
      if (this.random.chance(0.5)) {
        this.coverage.count("crashes");
        this.takeDown(leader);
      } else {
        this.isolate(leader.id);
      }
    });
  }

  private repeat(everyUs: number, strike: () => void): void {
    if (everyUs === Number.POSITIVE_INFINITY) return;
    this.agenda.after(this.random.exponential(everyUs), () => {
      if (this.stopped) return;
      strike();
      this.repeat(everyUs, strike);
    });
  }

  private get running(): SimulatedNode<M>[] {
    return [...this.nodes.values()].filter((node) => node.running);
  }

  private leaders(): SimulatedNode<M>[] {
    return this.running.filter((node) => node.status.role === "leader");
  }

  private victim(): SimulatedNode<M> | undefined {
    const leaders = this.leaders();
    if (leaders.length > 0 && this.random.chance(this.options.crashLeaderShare))
      return this.random.pick(leaders);
    const { running } = this;
    return running.length === 0 ? undefined : this.random.pick(running);
  }

  private crashOne(): void {
    const node = this.victim();
    if (node === undefined) return;
    this.coverage.count("crashes");
    this.takeDown(node);
  }

  private losePower(): void {
    this.coverage.count("powerLosses");
    // It comes back for all at once, or machine by machine.
    const downUs = this.random.chance(0.5) ? this.random.exponential(this.options.downUs) : undefined;
    for (const node of this.running) this.takeDown(node, downUs);
  }

  private takeDown(node: SimulatedNode<M>, downUs = this.random.exponential(this.options.downUs)): void {
    node.crash();
    this.agenda.after(downUs, () => {
      if (!this.stopped && !node.running) node.start();
    });
  }

  private pauseOne(): void {
    const node = this.victim();
    if (node === undefined) return;
    this.coverage.count("pauses");
    node.pause(this.random.exponential(this.options.pauseUs));
  }

  private transfer(): void {
    const leaders = this.leaders();
    if (leaders.length === 0) return;
    this.coverage.count("transfersAsked");
    this.random
      .pick(leaders)
      .ask({ kind: "transferLeadership", to: this.random.pick([...this.nodes.keys()]) });
  }

  private compactOne(): void {
    const node = this.random.pick([...this.nodes.values()]);
    node.flushState();
    node.compact(this.random.pick([0, 0, 3]));
  }

  private partition(): void {
    const ids = [...this.nodes.keys()];
    const side = new Set(ids.filter(() => this.random.chance(0.5)));
    switch (this.random.below(5)) {
      case 0:
        this.isolate(this.victim()?.id ?? this.random.pick(ids));
        return;
      case 1:
        this.coverage.count("partitions");
        this.cut(ids, (from, to) => side.has(from) !== side.has(to));
        break;
      case 2: {
        // One way only: heard and not hearing, or the reverse.
        this.coverage.count("oneWayPartitions");
        const mute = this.victim()?.id ?? this.random.pick(ids);
        const deaf = this.random.chance(0.5);
        this.cut(ids, (from, to) => (deaf ? to : from) === mute);
        break;
      }
      case 3:
        this.swizzle(ids.filter((id) => side.has(id)));
        return;
      default:
        this.coverage.count("partitions");
        this.cut(ids, () => this.random.chance(0.3));
    }
    this.healLater();
  }

  private isolate(alone: NodeId): void {
    this.coverage.count("isolations");
    this.cut([...this.nodes.keys()], (from, to) => (from === alone) !== (to === alone));
    this.healLater();
  }

  /** Nodes drop out one by one and come back in another order. */
  private swizzle(ids: readonly NodeId[]): void {
    this.coverage.count("swizzles");
    const { partitionUs } = this.options;
    for (const id of ids) {
      this.agenda.after(this.random.below(partitionUs), () => {
        if (this.stopped) return;
        this.cut([...this.nodes.keys()], (from, to) => from === id || to === id);
        this.agenda.after(this.random.exponential(partitionUs), () => this.network.restore(id));
      });
    }
  }

  private healLater(): void {
    this.agenda.after(this.random.exponential(this.options.partitionUs), () => this.network.heal());
  }

  private cut(ids: readonly NodeId[], apart: (from: NodeId, to: NodeId) => boolean): void {
    for (const from of ids) for (const to of ids) if (apart(from, to)) this.network.cutLink(from, to);
  }
}
