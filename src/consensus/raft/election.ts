// Who leads: terms, votes and the timeouts between them. Pre-vote keeps a node that cannot win from
// raising terms; check-quorum makes a leader that reaches no quorum stop; a voter that hears a leader
// refuses to help depose it, unless the leader itself asked for it (thesis, 9.6, 6.2 and 3.10).

import { members } from "../membership/change.js";
import { jointVoteResult } from "../quorum/joint.js";
import type { NodeId, Term } from "../types.js";
import { Leadership } from "./leadership.js";
import type { VoteReply, VoteRequest } from "./messages.js";

export abstract class Election extends Leadership {
  /** Ticks since a leader was heard, a vote given or a campaign begun. */
  protected electionElapsed = 0;
  /** Drawn anew from [electionTicks, 2 electionTicks) whenever the role or term changes. */
  protected electionTimeout = this.drawTimeout();
  private readonly ballots = new Map<NodeId, boolean>();
  /** Highest read position seen from the leader of this term. */
  protected readPositionSeen = 0;

  /**
   * A decision that can be overridden to prove that a checker notices. Which vote a node keeps when it
   * becomes a follower within its own term: the one it gave, its own candidacy included. A node that
   * forgot it could elect a second leader of the same term.
   */
  protected voteAfterStepDown(): NodeId {
    return this.vote;
  }

  protected override becomeFollower(term: Term, leader: NodeId): void {
    if (this.role === "leader") this.stopLeading();
    this.role = "follower";
    if (term === this.term) this.vote = this.voteAfterStepDown();
    else this.enterTerm(term, 0);
    this.leader = leader;
    this.restartTimer();
  }

  /** A new term begins, with whom this node votes for in it. */
  private enterTerm(term: Term, vote: NodeId): void {
    this.term = term;
    this.vote = vote;
    this.readPositionSeen = 0;
    this.dropAcknowledgements();
  }

  private restartTimer(): void {
    this.electionElapsed = 0;
    this.electionTimeout = this.drawTimeout();
    this.ballots.clear();
  }

  private drawTimeout(): number {
    const { electionTicks, random } = this.config;
    return electionTicks + Math.floor((random() / 2 ** 32) * electionTicks);
  }

  protected tickElection(): void {
    this.electionElapsed++;
    if (!this.mayCampaign) return;
    // The requests wait for this node's own vote to be durable: asking anew would not be faster.
    if (this.role === "candidate" && !this.ballots.has(this.id)) return;
    if (this.electionElapsed >= this.electionTimeout || this.isAlone()) this.campaign("preVote");
  }

  /** The only voter need not wait for a leader to call. */
  private isAlone(): boolean {
    const { voters, outgoing } = this.trail.effective;
    return this.role === "follower" && voters.length === 1 && voters[0] === this.id && outgoing.length === 0;
  }

  /** True while a leader is known and was heard less than an election timeout ago. */
  private get leaseHolds(): boolean {
    if (this.leader === 0) return false;
    return this.role === "leader" || this.electionElapsed < this.config.electionTicks;
  }

  protected campaign(kind: "preVote" | "vote" | "transfer"): void {
    this.leader = 0;
    this.restartTimer();
    const pre = kind === "preVote";
    if (pre) {
      this.role = "preCandidate";
    } else {
      this.role = "candidate";
      this.enterTerm(this.term + 1, this.id);
    }
    const request: VoteRequest = {
      kind: "vote",
      term: pre ? this.term + 1 : this.term,
      pre,
      lastIndex: this.log.lastIndex,
      lastTerm: this.log.lastTerm,
      transfer: kind === "transfer",
    };
    for (const node of members(this.trail.effective)) {
      if (node === this.id || this.trail.effective.learners.includes(node)) continue;
      // A candidate that forgot its term in a crash could ask again, in the same term, with less.
      if (pre) this.send(node, request, true);
      else this.sendAfterAppend(node, request, true);
    }
    // The own vote counts when it is durable, see onVoteDurable(); a pre-vote promises nothing.
    if (pre) this.count(this.id, true);
  }

  /** Everything up to and including this node's own vote in `term` is on disk. */
  protected onVoteDurable(term: Term): void {
    if (this.role === "candidate" && term === this.term) this.count(this.id, true);
  }

  private count(voter: NodeId, granted: boolean): void {
    if (!this.ballots.has(voter)) this.ballots.set(voter, granted);
    const outcome = jointVoteResult(this.trail.effective, (node) => this.ballots.get(node));
    switch (outcome) {
      case "won":
        if (this.role === "preCandidate") this.campaign("vote");
        else this.becomeLeader();
        break;
      case "lost":
        this.becomeFollower(this.term, 0);
        break;
      case "pending":
        break;
      default:
        outcome satisfies never;
    }
  }

  private becomeLeader(): void {
    this.role = "leader";
    this.leader = this.id;
    this.restartTimer();
    this.startLeading();
  }

  // --- Messages -------------------------------------------------------------------------------------

  /** True when the request must be ignored: helping would depose a leader that is alive. */
  protected mustIgnore(request: VoteRequest): boolean {
    return request.term > this.term && !request.transfer && this.leaseHolds;
  }

  protected onVoteRequest(from: NodeId, request: VoteRequest): void {
    const free =
      this.vote === from ||
      (this.vote === 0 && this.leader === 0) ||
      (request.pre && request.term > this.term);
    const granted = free && this.isUpToDate(request);
    if (granted && !request.pre) {
      this.vote = from;
      this.electionElapsed = 0;
    }
    this.replyToVote(from, request, granted);
  }

  /** The candidate's last entry is of a later term, or of the same and not before ours (paper, 5.4.1). */
  private isUpToDate(request: VoteRequest): boolean {
    const { lastTerm, lastIndex } = this.log;
    return request.lastTerm > lastTerm || (request.lastTerm === lastTerm && request.lastIndex >= lastIndex);
  }

  protected replyToVote(to: NodeId, request: VoteRequest, granted: boolean): void {
    const term = granted && request.pre ? request.term : this.term;
    this.sendAfterAppend(to, { kind: "voteReply", term, pre: request.pre, granted }, true);
  }

  protected onVoteReply(from: NodeId, reply: VoteReply): void {
    if (reply.pre) {
      if (this.role !== "preCandidate") return;
      if (reply.granted && reply.term !== this.term + 1) return;
    } else if (this.role !== "candidate") {
      return;
    }
    const { voters, outgoing } = this.trail.effective;
    if (voters.includes(from) || outgoing.includes(from)) this.count(from, reply.granted);
  }

  protected onTimeoutNow(from: NodeId): void {
    if (this.role === "leader" || !this.mayCampaign) return;
    if (this.leader !== 0 && this.leader !== from) return;
    this.campaign("transfer");
  }
}
