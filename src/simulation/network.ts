// The network between the nodes: every message may be lost, doubled, overtaken, or turn up long after
// what it said stopped being true. Links are cut one direction at a time; whether what is under way when
// a link is cut, or its sender dies, still arrives differs from run to run.

import type { NodeId } from "../consensus/types.js";
import type { Agenda } from "./agenda.js";
import type { Coverage } from "./coverage.js";
import type { Random } from "./random.js";
import type { NetworkOptions } from "./swarm.js";

export class SimulatedNetwork {
  private readonly cut = new Set<number>();
  /** Raised when what a node has under way is lost. */
  private readonly losses = new Map<NodeId, number>();
  /** When the last message of an ordered link arrives. */
  private readonly arrivals = new Map<number, number>();

  constructor(
    private readonly agenda: Agenda,
    private readonly random: Random,
    public options: NetworkOptions,
    private readonly coverage: Coverage,
  ) {}

  /** Carries one message. False when it is certain not to arrive. */
  send(from: NodeId, to: NodeId, deliver: () => void): boolean {
    this.coverage.count("messagesSent");
    const { lossProbability, duplicateProbability } = this.options;
    if (this.cut.has(link(from, to)) || this.random.chance(lossProbability)) {
      this.coverage.count("messagesLost");
      return false;
    }
    this.carry(from, to, deliver);
    if (duplicateProbability > 0 && this.random.chance(duplicateProbability)) {
      this.coverage.count("messagesDuplicated");
      this.carry(from, to, deliver);
    }
    return true;
  }

  cutLink(from: NodeId, to: NodeId): void {
    if (from !== to) this.cut.add(link(from, to));
  }

  /** Makes every link of this node whole. */
  restore(node: NodeId): void {
    for (const key of this.cut) {
      if (Math.floor(key / linkBase) === node || key % linkBase === node) this.cut.delete(key);
    }
  }

  heal(): void {
    this.cut.clear();
  }

  /** The sender died: what was still in its own buffers went with it. */
  senderDied(from: NodeId): void {
    if (this.options.cutLosesUnderWay) this.losses.set(from, (this.losses.get(from) ?? 0) + 1);
  }

  private carry(from: NodeId, to: NodeId, arrive: () => void): void {
    const key = link(from, to);
    const losses = this.losses.get(from);
    const deliver = () => {
      const lost = this.losses.get(from) !== losses || (this.options.cutLosesUnderWay && this.cut.has(key));
      if (lost) this.coverage.count("messagesLost");
      else arrive();
    };
    const { minUs, meanUs, longProbability, longUs, ordered } = this.options;
    const delay = minUs + this.random.exponential(meanUs);
    if (longProbability > 0 && this.random.chance(longProbability)) {
      this.coverage.count("messagesDelayedLong");
      this.agenda.after(delay + this.random.below(longUs), deliver);
      return;
    }
    let arrival = this.agenda.now + delay;
    if (ordered) {
      arrival = Math.max(arrival, this.arrivals.get(key) ?? 0);
      this.arrivals.set(key, arrival);
    }
    this.agenda.after(arrival - this.agenda.now, deliver);
  }
}

/** Above every node id of a simulation. */
const linkBase = 1024;

function link(from: NodeId, to: NodeId): number {
  return from * linkBase + to;
}
