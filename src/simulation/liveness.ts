// The liveness phase: with faults gone, all members come to one term, one leader and one applied state,
// a joint membership is left, a fresh put is acknowledged, applied everywhere, and a fresh read answered.

import { members } from "../consensus/membership/change.js";
import type { NodeId } from "../consensus/types.js";
import type { Agenda } from "./agenda.js";
import type { Ledger } from "./invariants/ledger.js";
import type { MembershipChurn } from "./membership-churn.js";
import type { SimulatedNode } from "./node.js";
import type { Swarm } from "./swarm.js";
import type { Workload } from "./workload.js";

type Stage = "converge" | "put" | "read" | "converge again" | "done";

export class Liveness<M> {
  private stage: Stage = "converge";
  private asked = false;
  /** What the present stage still waits for. */
  missing = "nothing looked at yet";

  constructor(
    private readonly nodes: ReadonlyMap<NodeId, SimulatedNode<M>>,
    private readonly ledger: Ledger,
    private readonly workload: Workload<M>,
    private readonly churn: MembershipChurn<M>,
    private readonly swarm: Swarm,
  ) {}

  get reached(): boolean {
    return this.stage === "done";
  }

  /** Far more than a healthy cluster takes, so that only a stuck one exceeds it. */
  get allowanceUs(): number {
    return this.swarm.tickUs * this.swarm.electionTicks * 200;
  }

  /** Looks once a tick until done. */
  watch(agenda: Agenda): void {
    agenda.after(this.swarm.tickUs, () => {
      this.look();
      if (!this.reached) this.watch(agenda);
    });
  }

  private look(): void {
    const leader = this.leader();
    if (leader === undefined) {
      this.missing = `a leader: ${this.describe()}`;
      return;
    }
    switch (this.stage) {
      case "converge":
        if (this.converged(leader)) this.stage = "put";
        break;
      case "put":
        this.missing = `a fresh put acknowledged by leader ${leader.id}`;
        this.once((settled) => this.workload.put(leader, settled), "read");
        break;
      case "read":
        this.missing = `a fresh read answered by leader ${leader.id}`;
        this.once((settled) => this.workload.read(leader, settled), "converge again");
        break;
      case "converge again":
        if (this.converged(leader)) this.stage = "done";
        break;
      case "done":
        break;
      default:
        this.stage satisfies never;
    }
  }

  private once(ask: (settled: (outcome: string) => void) => void, next: Stage): void {
    if (this.asked) return;
    this.asked = true;
    ask((outcome) => {
      this.asked = false;
      if (outcome === "answered") this.stage = next;
    });
  }

  private leader(): SimulatedNode<M> | undefined {
    let leader: SimulatedNode<M> | undefined;
    for (const node of this.nodes.values()) {
      if (!node.running || node.status.role !== "leader") continue;
      if (leader === undefined || node.status.epoch > leader.status.epoch) leader = node;
    }
    return leader;
  }

  private converged(leader: SimulatedNode<M>): boolean {
    const { membership, membershipIndex, commit, lastIndex, epoch } = leader.status;
    if (commit !== lastIndex || membershipIndex > commit) {
      this.missing = `everything of leader ${leader.id} committed: ${this.describe()}`;
      return false;
    }
    if (membership.outgoing.length > 0) {
      this.missing = `the joint membership left: ${this.describe()}`;
      if (!membership.autoLeave) this.churn.leave(leader);
      return false;
    }
    const behind = members(membership).filter((id) => {
      const { running, status, machine } = this.nodes.get(id)!;
      if (!running) return false;
      return status.epoch !== epoch || machine.meta.id.index !== commit;
    });
    this.missing = `members ${behind} where the leader is: ${this.describe()}`;
    return behind.length === 0 && this.ledger.lastIndex === commit;
  }

  private describe(): string {
    return [...this.nodes.values()]
      .map(({ id, running, status, machine }) => {
        if (!running) return `n${id} down for ever`;
        const { role, epoch, commit, lastIndex } = status;
        return `n${id} ${role} term ${epoch} last ${lastIndex} commit ${commit} applied ${machine.meta.id.index}`;
      })
      .join("; ");
  }
}
