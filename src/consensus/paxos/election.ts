// Who takes over. A node that hears no leader first asks the voters how they fare. It takes over only if
// a promise quorum answers it and none of those who answer is happy: leading, or hearing another leader.
// So only a node that is connected to a quorum ever raises the round, it need not hold the best log, and
// a node that merely lost sight of a working leader leaves it alone: the cluster rides out partial
// partitions (ballot leader election of OmniPaxos, turned from a steady exchange into an inquiry).

import { isVoter } from "../membership/change.js";
import type { NodeId, Term } from "../types.js";
import type { Answer, Ask, Prepare } from "./messages.js";
import { Phase1 } from "./prepare.js";

export abstract class Election extends Phase1 {
  /** Drawn anew from [electionTicks, 2 electionTicks) whenever a wait begins. */
  protected electionTimeout = this.drawTimeout();
  private inquiry = 0;
  private inquiryBegan = 0;
  /** The leader last heard, whose answer nobody waits for. */
  private lostLeader: NodeId = 0;
  private readonly unhappy = new Set<NodeId>();

  private drawTimeout(): number {
    const { electionTicks, random } = this.config;
    return electionTicks + Math.floor((random() / 2 ** 32) * electionTicks);
  }

  private restartTimer(): void {
    this.electionElapsed = 0;
    this.electionTimeout = this.drawTimeout();
  }

  protected override becomeFollower(leader: NodeId): void {
    if (this.role === "leader") this.stopLeading();
    this.endPrepare();
    this.role = "follower";
    this.leader = leader;
    this.restartTimer();
  }

  /** A higher round is about: this leader or candidate cannot go on, and asks anew at the next tick. */
  protected outranked(round: Term): void {
    this.highestRound = Math.max(this.highestRound, round);
    if (this.role === "follower" || this.role === "asking" || round <= this.round) return;
    this.becomeFollower(0);
    this.electionElapsed = this.electionTimeout;
  }

  protected tickElection(): void {
    this.electionElapsed++;
    if (this.role === "preparing") this.tickPrepare();
    if (!this.mayLead) {
      if (this.role === "asking") this.becomeFollower(0);
      return;
    }
    // Its own promise is not durable: to ask anew would not be faster.
    if (this.role === "preparing" && !this.promiseDurable) return;
    if (this.role === "asking") this.concludeInquiry();
    if (this.electionElapsed >= this.electionTimeout || this.isAlone()) this.ask();
  }

  /** The only voter need not wait for a leader to call. */
  private isAlone(): boolean {
    const others = this.voters().some((node) => node !== this.id);
    return this.role === "follower" && !others;
  }

  private voters(): readonly NodeId[] {
    return this.everybody().filter((node) => this.configurations.some((each) => isVoter(each, node)));
  }

  private ask(): void {
    if (this.leader !== 0) this.lostLeader = this.leader;
    this.becomeFollower(0);
    this.role = "asking";
    this.inquiry++;
    this.inquiryBegan = this.now;
    this.unhappy.clear();
    this.unhappy.add(this.id);
    const ask: Ask = { kind: "ask", round: this.round, inquiry: this.inquiry };
    for (const node of this.voters()) if (node !== this.id) this.send(node, ask, true);
    this.concludeInquiry();
  }

  /** True while a leader is known and was heard less than an election timeout ago. */
  private get leaseHolds(): boolean {
    if (this.leader === 0) return false;
    return this.role === "leader" || this.electionElapsed < this.config.electionTicks;
  }

  protected onAsk(from: NodeId, { inquiry, round }: Ask): void {
    const happy = this.leaseHolds && this.leader !== from;
    this.send(from, { kind: "answer", round: this.round, inquiry, happy }, true);
    // A member that promised more than the leader's round can only be led in a higher one.
    if (this.isMember(from)) this.outranked(round);
  }

  protected onAnswer(from: NodeId, { inquiry, happy, round }: Answer): void {
    this.highestRound = Math.max(this.highestRound, round);
    if (this.role !== "asking" || inquiry !== this.inquiry || !this.voters().includes(from)) return;
    if (happy) {
      this.becomeFollower(0);
      return;
    }
    this.unhappy.add(from);
    this.concludeInquiry();
  }

  private concludeInquiry(): void {
    const answered = (node: NodeId) => this.unhappy.has(node);
    if (!this.quorums.promised(this.configurations, answered)) return;
    // Somebody who has not answered yet may hear a leader.
    const patience = Math.ceil(this.config.electionTicks / 4);
    const all = this.voters().every((node) => answered(node) || node === this.lostLeader);
    if (!all && this.now - this.inquiryBegan < patience) return;
    // Rivals of one round block each other: soon one of them asks again.
    this.electionTimeout = Math.ceil(this.drawTimeout() / 2);
    this.prepare(false);
  }

  /** True when the request must be ignored: helping would depose a leader that is alive. */
  protected mustIgnore(from: NodeId, request: Prepare): boolean {
    if (request.transfer || request.leading || this.leader === from) return false;
    return request.round > this.round && this.leaseHolds;
  }

  protected onTakeOver(): void {
    if (this.role !== "leader" && this.mayLead) this.prepare(true);
  }
}
