// Random schedules of everything that can happen to a small cluster, checked after every step; then the
// faults end, and it must converge. One seed derives all of it. Knows no protocol.

import type { Engine, EngineConfig } from "../engine.js";
import type { MembershipStep, NodeId } from "../types.js";
import { expect } from "./expect.js";
import { Invariants } from "./invariants.js";
import { membershipOf, Network } from "./network.js";

export interface FuzzOptions<M> {
  readonly create: (config: EngineConfig) => Engine<M>;
  readonly seed: number;
  readonly steps: number;
  readonly membershipChanges: boolean;
  /** Messages between two nodes may overtake each other. */
  readonly reorder: boolean;
}

/** What a run did, so that a test can see that it was not idle. */
export interface FuzzReport {
  readonly applied: number;
  readonly reads: number;
  readonly epochs: number;
  readonly snapshots: number;
}

export function fuzz<M>(options: FuzzOptions<M>): FuzzReport {
  const run = new FuzzRun(options);
  for (let i = 0; i < options.steps; i++) run.step();
  return run.finish();
}

class FuzzRun<M> {
  private readonly net: Network<M>;
  private readonly invariants: Invariants<M>;
  private readonly ids: NodeId[];
  private nextRead = 0;
  private nextChange = 1_000_000;
  private reads = 0;
  private readonly readFloors = new Map<number, { node: NodeId; floor: number }>();
  private lossRate = 0;
  private readonly nodeCount: number;
  /** Of the moments at which faults may end, how many percent do. Drawn per run, as is the next. */
  private readonly healPercent: number;
  /** Ticks that may pass at one node at once. */
  private readonly tickBurst: number;

  constructor(private readonly options: FuzzOptions<M>) {
    const { seed, create } = options;
    this.nodeCount = [1, 2, 3, 3, 5][seed % 5]!;
    const voters = Array.from({ length: this.nodeCount }, (_, i) => i + 1);
    this.net = new Network({
      create,
      nodes: voters,
      seed,
      config: {
        maxInflightMessages: 4,
        maxInflightBytes: 2000,
        maxAppendBytes: 64,
        maxUncommittedBytes: 4000,
      },
    });
    this.ids = [...voters];
    this.healPercent = [100, 30, 10][this.below(3)]!;
    this.tickBurst = [1, 3, 8][this.below(3)]!;
    if (options.membershipChanges) {
      for (const id of [11, 12, 13]) {
        // A node that is to join knows nothing yet.
        this.net.add(id, membershipOf([]));
        this.ids.push(id);
      }
    }
    this.invariants = new Invariants(this.net);
    this.net.drop = () => this.chance(this.lossRate);
    this.net.snapshotsHeld = true;
  }

  private below(n: number): number {
    return this.net.random() % n;
  }

  private chance(percent: number): boolean {
    return this.below(1000) < percent * 10;
  }

  private anyone(): NodeId {
    return this.ids[this.below(this.ids.length)]!;
  }

  private leaderOrAnyone(): NodeId {
    const { leaders } = this.net;
    return leaders.length > 0 && this.chance(90) ? leaders[this.below(leaders.length)]! : this.anyone();
  }

  step(): void {
    this.act();
    this.collect();
    this.invariants.check();
  }

  private act(): void {
    const { net } = this;
    const dice = this.below(1000);
    const id = this.anyone();
    if (dice < 350) this.deliverSome();
    else if (dice < 550) net.process(id);
    else if (dice < 600) for (const each of this.ids) net.process(each);
    else if (dice < 680) net.tick(id, 1 + this.below(this.tickBurst));
    else if (dice < 760) net.propose(this.leaderOrAnyone(), ...this.texts());
    else if (dice < 820) net.persist(id, 1 + this.below(2));
    else if (dice < 860) this.read(this.leaderOrAnyone());
    else if (dice < 868) net.node(id).diskHeld = true;
    else if (dice < 890) net.node(id).diskHeld = false;
    else if (dice < 905) this.answerSnapshot(id);
    else if (dice < 915) this.compact(id);
    else if (dice < 919) net.crash(id);
    else if (dice < 940) this.restart(id);
    else if (dice < 946) net.cutOneWay(id, this.anyone());
    else if (dice < 952) net.isolate(this.leaderOrAnyone());
    else if (dice < 972) this.heal();
    else if (dice < 976) net.step(this.leaderOrAnyone(), { kind: "transferLeadership", to: this.anyone() });
    else if (dice < 984) net.step(this.leaderOrAnyone(), { kind: "unreachable", peer: this.anyone() });
    else if (this.options.membershipChanges) this.change();
  }

  private texts(): string[] {
    return Array.from({ length: 1 + this.below(3) }, () => "x".repeat(this.below(90)));
  }

  private deliverSome(): void {
    const { net } = this;
    for (let i = 1 + this.below(10); i > 0 && net.packets.length > 0; i--) {
      let at = this.below(net.packets.length);
      if (!this.options.reorder) {
        const picked = net.packets[at]!;
        at = net.packets.findIndex(
          (p) => p.from === picked.from && p.to === picked.to && p.urgent === picked.urgent,
        );
      }
      const packet = net.packets[at]!;
      if (this.options.reorder && this.chance(3)) net.deliver(packet);
      else net.packets.splice(at, 1);
      net.deliver(packet);
    }
  }

  private read(id: NodeId): void {
    const ids = Array.from({ length: 1 + this.below(2) }, () => ++this.nextRead);
    for (const read of ids) this.readFloors.set(read, { node: id, floor: this.invariants.highestCommit });
    this.net.step(id, { kind: "read", ids });
  }

  /** A read answered now must show at least what was committed anywhere when it was asked. */
  private collect(): void {
    for (const node of this.net.nodes.values()) {
      for (const [read, index] of node.reads) {
        const asked = this.readFloors.get(read);
        if (asked === undefined) continue;
        expect(index >= asked.floor, `read ${read} was answered at ${index}, below ${asked.floor}`);
        this.readFloors.delete(read);
        this.reads++;
      }
    }
  }

  private answerSnapshot(id: NodeId): void {
    const asked = this.net.node(id).snapshotsAsked.shift();
    if (asked === undefined || !this.net.node(id).alive) return;
    if (this.chance(70)) this.net.sendSnapshot(id, asked.to);
    else if (this.chance(50)) this.net.step(id, { kind: "snapshotSent", to: asked.to, ok: false, index: 0 });
  }

  private compact(id: NodeId): void {
    const node = this.net.node(id);
    if (!node.alive) return;
    const { applied } = node.engine.status();
    if (applied > 0) node.engine.step({ kind: "compact", upTo: applied - this.below(Math.min(applied, 5)) });
  }

  /** A node that was down comes back, now and then without what it had applied. */
  private restart(id: NodeId): void {
    const node = this.net.node(id);
    if (node.alive) return;
    if (this.chance(30)) node.forgetApplied();
    this.net.restart(id);
  }

  private heal(): void {
    if (!this.chance(this.healPercent)) return;
    this.net.heal();
    this.lossRate = this.chance(50) ? this.below(30) : 0;
    this.net.drop = () => this.chance(this.lossRate);
  }

  private change(): void {
    const op = (["addVoter", "addVoter", "addLearner", "remove"] as const)[this.below(4)]!;
    const step: MembershipStep = { op, node: this.anyone() };
    const more: MembershipStep[] = this.chance(40) ? [{ op: "addVoter", node: this.anyone() }] : [];
    this.net.step(this.leaderOrAnyone(), {
      kind: "changeMembership",
      id: ++this.nextChange,
      change: {
        steps: this.chance(5) ? [] : [step, ...more],
        joint: this.chance(10),
        context: new Uint8Array(0),
      },
    });
  }

  /** No faults any more: one leader, everything equal, and a fresh write is applied by every member. */
  finish(): FuzzReport {
    const { net } = this;
    net.heal();
    net.snapshotsHeld = false;
    for (const node of net.nodes.values()) {
      if (!node.alive) node.restart();
      node.diskHeld = false;
      net.persist(node.config.id);
      for (const asked of node.snapshotsAsked.splice(0)) net.sendSnapshot(node.config.id, asked.to);
    }
    const calm = (): NodeId | undefined => {
      const [leader] = net.leaders;
      if (net.leaders.length !== 1 || leader === undefined) return undefined;
      const { membership, commit, lastIndex } = net.status(leader);
      const everybody = [...membership.voters, ...membership.outgoing, ...membership.learners];
      const equal = everybody.every((id) => net.node(id).state.id.index === lastIndex);
      return commit === lastIndex && equal ? leader : undefined;
    };
    let leader: NodeId | undefined;
    for (let i = 0; i < 1000 && leader === undefined; i++) {
      net.run(1);
      this.invariants.check();
      if (i > 20) leader = calm();
    }
    const picture = () =>
      [...net.nodes.keys()].map((id) => {
        const { progress, membership, ...rest } = net.status(id);
        return JSON.stringify({ ...rest, membership, progress });
      });
    expect(leader !== undefined, `the cluster does not converge:\n${picture().join("\n")}`);
    net.propose(leader, "fresh");
    net.run(5);
    this.invariants.check();
    expect(calm() !== undefined, `a fresh write does not get through:\n${picture().join("\n")}`);
    return {
      applied: net.node(leader).applied.length,
      reads: this.reads,
      epochs: net.status(leader).epoch,
      snapshots: net.nodes.size,
    };
  }
}
