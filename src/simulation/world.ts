// One run: a cluster, its clients, its faults and those who watch, in one thread and one simulated time.
// First the safety phase, in which everything may fail; then the liveness phase, in which nothing fails
// any more and the cluster has to agree on one leader, one membership and one state, and to serve again.

import type { Engine, EngineConfig } from "../consensus/engine.js";
import { emptyMembership } from "../consensus/membership/change.js";
import type { Entry, Membership, NodeId } from "../consensus/types.js";
import { Agenda } from "./agenda.js";
import { Checker } from "./checker.js";
import { Coverage } from "./coverage.js";
import { Faults } from "./faults.js";
import { type ClusterView, violated } from "./invariants/invariant.js";
import { Ledger } from "./invariants/ledger.js";
import { Liveness } from "./liveness.js";
import { MembershipChurn } from "./membership-churn.js";
import { SimulatedNetwork } from "./network.js";
import { SimulatedNode, type Surroundings } from "./node.js";
import { Oracle } from "./oracle.js";
import { Random } from "./random.js";
import { calm, drawSwarm, type Swarm } from "./swarm.js";
import { Trace } from "./trace.js";
import { Workload } from "./workload.js";

export class World<M> implements Surroundings<M>, ClusterView {
  readonly agenda = new Agenda();
  readonly coverage = new Coverage();
  readonly ledger = new Ledger();
  readonly nodes = new Map<NodeId, SimulatedNode<M>>();
  readonly trace: Trace;
  readonly checker: Checker;
  readonly network: SimulatedNetwork;
  readonly listener: Workload<M>;
  swarm: Swarm;

  private readonly random: Random;
  private readonly oracle = new Oracle();
  private readonly faults: Faults<M>;
  private readonly churn: MembershipChurn<M>;

  constructor(
    seed: number,
    readonly createEngine: (config: EngineConfig) => Engine<M>,
    options: { readonly trace?: (line: string) => void; readonly without?: readonly string[] } = {},
  ) {
    this.random = new Random(seed);
    this.swarm = drawSwarm(this.random.fork());
    const { agenda, coverage, nodes, swarm, random } = this;
    this.trace = new Trace(agenda, options.trace);
    this.checker = new Checker(this, options.without);
    this.network = new SimulatedNetwork(agenda, random.fork(), swarm.network, coverage);
    this.listener = new Workload(agenda, random.fork(), swarm.workload, this.oracle, coverage, nodes);
    this.faults = new Faults(agenda, random.fork(), swarm.faults, this.network, coverage, nodes);
    this.churn = new MembershipChurn(random.fork(), coverage, nodes, () => this.addNode(emptyMembership));
  }

  node(id: NodeId): SimulatedNode<M> | undefined {
    return this.nodes.get(id);
  }

  committedFirst(entry: Entry): void {
    this.oracle.committed(entry);
    this.churn.committed(entry);
  }

  elected(node: SimulatedNode<M>): void {
    this.faults.elected(node);
    const { newLeaderChanges, newLeaderFailsUs } = this.swarm.faults;
    if (newLeaderChanges === 0 || !this.random.chance(newLeaderChanges)) return;
    this.agenda.after(this.random.exponential(newLeaderFailsUs / 4), () => {
      if (this.agenda.now < this.swarm.safetyUs) this.churn.strikeAt(node);
    });
  }

  /** Runs both phases. Throws what was violated. */
  run(): void {
    const { swarm } = this;
    const voters = Array.from({ length: swarm.voters }, (_, at) => at + 1);
    const membership: Membership = { ...emptyMembership, voters };
    this.churn.begin(membership);
    for (const _ of voters) this.addNode(membership);
    this.listener.start();
    this.faults.start();
    this.scheduleChurn();
    while (this.agenda.now < swarm.safetyUs) this.agenda.next()?.();
    this.becomeCalm();
    const liveness = new Liveness(this.nodes, this.ledger, this.listener, this.churn, swarm);
    const deadline = this.agenda.now + liveness.allowanceUs;
    liveness.watch(this.agenda);
    while (!liveness.reached) {
      if (this.agenda.now > deadline) {
        violated(
          `the cluster to serve again within ${liveness.allowanceUs / 1000} ms without faults`,
          liveness.missing,
          "liveness",
        );
      }
      this.agenda.next()?.();
    }
    this.coverage.count("livenessReached");
  }

  private becomeCalm(): void {
    this.swarm = calm(this.swarm);
    this.network.options = this.swarm.network;
    this.listener.stop();
    this.trace.event(0, "calm", this.agenda.now, 0);
    this.faults.quiet();
    if (this.swarm.oneStaysDown) this.faults.retireOne();
  }

  private scheduleChurn(): void {
    const { membershipEveryUs } = this.swarm.faults;
    if (membershipEveryUs === Number.POSITIVE_INFINITY) return;
    this.agenda.after(this.random.exponential(membershipEveryUs), () => {
      if (this.agenda.now >= this.swarm.safetyUs) return;
      this.churn.strike();
      this.scheduleChurn();
    });
  }

  private addNode(membership: Membership): NodeId {
    const id = this.nodes.size + 1;
    const node = new SimulatedNode(id, membership, this, this.random.fork());
    this.nodes.set(id, node);
    node.start();
    return id;
  }
}
