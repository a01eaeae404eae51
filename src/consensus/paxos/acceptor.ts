// The acceptor's half: promises, accepts whole logs and entries at their end, learns what is decided, and
// takes snapshots. It accepts only in the round it promised; an acceptance or a promise leaves when it is
// durable. A log becomes accepted in a new round as a whole or not at all.

import { invariant } from "../engine.js";
import type { Entry, Index, NodeId, SnapshotMeta, Term } from "../types.js";
import type {
  Accept,
  Accepted,
  AcceptSync,
  Chunk,
  Decide,
  Fetch,
  Heartbeat,
  Prepare,
  Promise1b,
} from "./messages.js";
import { PaxosState } from "./state.js";

/** How a log ranks in phase 1: by the round in which it was accepted, then by its length. */
export interface Rank {
  readonly accepted: Term;
  readonly lastIndex: Index;
}

const NO_SESSION = 0;

export abstract class Acceptor extends PaxosState {
  /** Ticks since a leader was heard, a promise made or a campaign begun. */
  protected electionElapsed = 0;
  /** Highest read position seen from the leader of this round. */
  private readPositionSeen = 0;
  /** The stream of acceptances from the leader of this round. */
  private session = NO_SESSION;
  private expected = 0;
  /** Parts that overtook others, by their sequence. */
  private readonly early = new Map<number, Accept | AcceptSync>();
  /** Highest decided index heard from the leader of this round, which may be ahead of the log. */
  private decidedSeen: Index = 0;
  /** Tick at which a part was first found missing. */
  private missingSince = Number.POSITIVE_INFINITY;
  /** Parts of a log that is not complete yet, after what is in the log. */
  private staged: Entry[] = [];
  private acknowledgeTo: NodeId = 0;
  private acknowledgeIndex: Index = 0;
  /** Tick at which a Prepare was last asked for. */
  private prepareAsked = Number.NEGATIVE_INFINITY;
  private snapshotAsked = Number.NEGATIVE_INFINITY;
  /** Restarted in a round that may still be led: its stream was lost. */
  private recovering = this.round > 0;

  // --- Decisions that can be overridden to prove that a checker notices -----------------------------

  /** Must an acknowledgement wait for the entries to be durable? It must. */
  protected acknowledgeWhen(): "durable" | "now" {
    return "durable";
  }

  /** How a promise ranks this log: what is decided counts like everything else. */
  protected rankToPromise(): Rank {
    return this.rank;
  }

  /** Does this part complete a log, so that it is accepted in the round? Only the last one does. */
  protected completes(part: AcceptSync): boolean {
    return part.last;
  }

  // --- Phase 1 --------------------------------------------------------------------------------------

  protected get rank(): Rank {
    return { accepted: this.accepted.round, lastIndex: this.log.lastIndex };
  }

  /** Enters a round: whatever belonged to the one before is over. */
  protected enterRound(round: Term, node: NodeId): void {
    this.promise(round, node);
    this.openStream(NO_SESSION);
    this.acknowledgeTo = 0;
    this.readPositionSeen = 0;
    this.decidedSeen = 0;
    this.recovering = false;
  }

  /** The request is of the promised round and from whom it was promised to, or of a higher round. */
  protected onPrepare(from: NodeId, request: Prepare): void {
    if (request.round > this.round || (this.promised.node === 0 && !request.leading)) {
      this.enterRound(request.round, from);
      this.becomeFollower(0);
    }
    this.electionElapsed = 0;
    this.recovering = false;
    const { accepted, lastIndex } = this.rankToPromise();
    const promise: Promise1b = {
      kind: "promise",
      round: this.round,
      accepted,
      lastIndex,
      decided: Math.min(this.commit, lastIndex),
      session: request.session,
    };
    this.sendAfterAppend(from, promise, true);
  }

  /** The leader to be lacks a part of this log. */
  protected onFetch(from: NodeId, { from: first }: Fetch): void {
    if (first < this.log.firstIndex) {
      const patience = 2 * this.config.electionTicks;
      if (this.now - this.snapshotAsked < patience) return;
      this.snapshotAsked = this.now;
      this.needSnapshot.push({ to: from, atLeast: this.log.firstIndex - 1 });
      return;
    }
    const { lastIndex } = this.log;
    const entries =
      first > lastIndex ? [] : this.log.slice(first, this.log.lastWithin(first, this.config.maxAppendBytes));
    const chunk: Chunk = {
      kind: "chunk",
      round: this.round,
      from: first,
      entries,
      accepted: this.accepted.round,
      lastIndex,
    };
    this.send(from, chunk, false);
  }

  // --- Phase 2 --------------------------------------------------------------------------------------

  /** Asks the leader for a new Prepare, now and then. */
  protected requestPrepare(from: NodeId, round: Term, again = false): void {
    if (!again && this.now - this.prepareAsked <= this.config.heartbeatTicks) return;
    this.prepareAsked = this.now;
    const session = round === this.round ? this.session : NO_SESSION;
    this.sendAfterAppend(from, { kind: "prepareRequest", round, session }, true);
  }

  private openStream(session: number): void {
    this.session = session;
    this.expected = 0;
    this.staged = [];
    this.early.clear();
    this.missingSince = Number.POSITIVE_INFINITY;
  }

  /** Takes a part of the stream in its turn; one that overtook others waits for them. */
  protected onPart(from: NodeId, part: Accept | AcceptSync): void {
    if (part.session > this.session) this.openStream(part.session);
    if (part.session < this.session || part.sequence < this.expected) return;
    if (part.sequence > this.expected) {
      if (this.early.size < this.config.maxInflightMessages) this.early.set(part.sequence, part);
      this.miss(from);
      return;
    }
    for (let next: Accept | AcceptSync | undefined = part; next !== undefined; ) {
      if (next.kind === "accept") this.onAccept(from, next);
      else this.onAcceptSync(from, next);
      if (next.sequence >= this.expected) break;
      next = this.early.get(this.expected);
      this.early.delete(this.expected);
    }
    this.missingSince = this.early.size > 0 ? this.now : Number.POSITIVE_INFINITY;
  }

  /** Something is missing: late, or lost if it does not come soon. */
  private miss(from: NodeId): void {
    if (this.missingSince > this.now) this.missingSince = this.now;
    if (this.now - this.missingSince >= this.config.heartbeatTicks) this.requestPrepare(from, this.round);
  }

  private onAcceptSync(from: NodeId, part: AcceptSync): void {
    const staged = this.staged.at(-1)?.index;
    if (staged === undefined ? part.previousIndex > this.log.lastIndex : part.previousIndex !== staged) {
      // The log is shorter than it was when the promise was made: state it anew.
      this.requestPrepare(from, this.round);
      return;
    }
    this.expected++;
    this.recovering = false;
    for (const entry of part.entries) this.staged.push(entry);
    if (this.completes(part)) this.acceptStaged(part);
    else this.learnStaged(part.decided);
    if (this.accepted.round === this.round) this.acknowledge(from, this.log.lastIndex);
    else if (part.decided > 0) this.acknowledge(from, this.commit);
  }

  /** The whole log of the leader is here: it is taken and accepted in one durable step. */
  private acceptStaged(part: AcceptSync): void {
    const { staged } = this;
    this.staged = [];
    if (!this.take(staged)) return;
    const end = part.previousIndex + part.entries.length;
    // A log already accepted in this round is a part of the leader's: there is nothing to cut.
    if (this.accepted.round !== this.round) this.truncateAfter(Math.max(end, this.commit));
    this.accepted = { round: this.round, node: this.leader };
    this.commitTo(Math.min(Math.max(part.decided, this.decidedSeen), this.log.lastIndex));
  }

  /** Puts the entries into the log. False when no correct leader sends them: the stream is over then. */
  private take(entries: readonly Entry[]): boolean {
    if (this.merge(entries)) return true;
    this.impossible++;
    this.openStream(NO_SESSION);
    return false;
  }

  /** What is decided may be taken at once, whatever the log was accepted in. */
  private learnStaged(decided: Index): void {
    const count = this.staged.findIndex((entry) => entry.index > decided);
    const learnt = count < 0 ? this.staged : this.staged.slice(0, count);
    const last = learnt.at(-1);
    if (last === undefined) return;
    this.staged = count < 0 ? [] : this.staged.slice(count);
    if (this.take(learnt)) this.commitTo(Math.min(last.index, decided));
  }

  private onAccept(from: NodeId, part: Accept): void {
    const first = (part.entries[0] as Entry).index;
    if (this.accepted.round !== this.round) {
      this.requestPrepare(from, this.round);
      return;
    }
    if (first > this.log.lastIndex + 1) {
      this.impossible++;
      return;
    }
    this.expected++;
    if (!this.take(part.entries)) return;
    this.acknowledge(from, this.log.lastIndex);
    this.commitTo(Math.min(Math.max(part.decided, this.decidedSeen), this.log.lastIndex));
  }

  protected onDecide(from: NodeId, notice: Decide): void {
    this.decidedSeen = Math.max(this.decidedSeen, notice.decided);
    const inOrder = notice.session === this.session && notice.sequence < this.expected;
    const complete = this.accepted.round === this.round;
    if (complete) this.commitTo(Math.min(notice.decided, this.log.lastIndex));
    if (inOrder && notice.asks) this.acknowledge(from, complete ? this.log.lastIndex : this.commit);
    if (notice.session > this.session) this.openStream(notice.session);
    if (notice.session === this.session && notice.sequence >= this.expected) this.miss(from);
  }

  /** The leader of the promised round lives. */
  protected onHeartbeat(from: NodeId, heartbeat: Heartbeat): void {
    if (this.accepted.round === this.round) {
      this.commitTo(Math.min(heartbeat.decided, this.log.lastIndex));
    }
    const stranger = this.promised.node !== from && this.session === NO_SESSION;
    if (this.recovering || stranger) {
      this.recovering = false;
      this.requestPrepare(from, this.round);
    }
    this.readPositionSeen = Math.max(this.readPositionSeen, heartbeat.readPosition);
    const reply = {
      kind: "heartbeatReply",
      round: this.round,
      readPosition: this.readPositionSeen,
    } as const;
    this.send(from, reply, true);
  }

  /** Acknowledgements are cumulative: however many parts came in one turn, one answer leaves. */
  private acknowledge(to: NodeId, index: Index): void {
    this.acknowledgeIndex = this.acknowledgeTo === to ? Math.max(this.acknowledgeIndex, index) : index;
    this.acknowledgeTo = to;
  }

  protected get acknowledgementDue(): boolean {
    return this.acknowledgeTo !== 0;
  }

  protected flushAcknowledgement(): void {
    if (this.acknowledgeTo === 0) return;
    const reply: Accepted = {
      kind: "accepted",
      round: this.round,
      index: Math.min(this.acknowledgeIndex, this.log.lastIndex),
    };
    if (this.acknowledgeWhen() === "durable") this.sendAfterAppend(this.acknowledgeTo, reply, false);
    else this.send(this.acknowledgeTo, reply, false);
    this.acknowledgeTo = 0;
  }

  // --- Snapshots and compaction ---------------------------------------------------------------------

  /** Takes a snapshot that reaches beyond what is decided here. */
  protected install(snapshot: SnapshotMeta): void {
    const { id } = snapshot;
    if (id.index <= this.commit) return;
    if (this.log.termAt(id.index) === id.epoch) {
      this.commitTo(id.index);
      return;
    }
    this.log.restartAfter(id);
    this.writes.restarted(id.index);
    this.trail.reset(snapshot.membership, snapshot.membershipIndex);
    this.openStream(NO_SESSION);
    this.commit = id.index;
    this.handedOver = id.index;
    this.applied = id.index;
    this.snapshotToInstall = snapshot;
    this.membershipChanged();
  }

  protected compactTo(index: Index): void {
    invariant(index <= this.commit, () => `compaction to ${index} is above the commit index ${this.commit}`);
    this.log.compact(Math.min(index, this.applied, this.writes.handed));
  }
}
