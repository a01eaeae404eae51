// One consensus group on one node: drives an engine with the write-ahead log, the peers and the state
// machine, and offers it to the API as a Proposer. One turn of the event loop takes everything that
// arrived: one propose, one append, one message a peer, one slice of applying.

import type { DurableBatch, Engine, Failure, Ready } from "../consensus/engine.js";
import { decodeMembership } from "../consensus/membership/codec.js";
import {
  EntryKind,
  type Index,
  type LogMark,
  type MembershipChange,
  type NodeId,
  type ProposalId,
  type SnapshotMeta,
  type Term,
} from "../consensus/types.js";
import { Applier } from "./applier.js";
import type { GroupOptions } from "./group-options.js";
import { LeaderQuestions } from "./leader-questions.js";
import { LogTrimmer } from "./log-trimmer.js";
import { LogWriter } from "./log-writer.js";
import { MembershipDesk } from "./membership-desk.js";
import { type Batch, type Done, outcomeOf, ProposalQueue } from "./proposal-queue.js";
import { failure, type GroupFailure, type GroupStatus, type Proposer } from "./proposer.js";
import { ReadBarriers } from "./read-barriers.js";
import { RemoteRequests } from "./remote-requests.js";
import { SnapshotDesk } from "./snapshot-desk.js";
import type { SnapshotSink } from "./state-machine.js";

/** Bounds of what waits for the log on one node. */
const queueLimits = { maxBatchBytes: 1 << 20, maxCommands: 200_000, maxBytes: 256 << 20 };

export class Group<M> implements Proposer {
  private readonly engine: Engine<M>;
  private readonly queue: ProposalQueue;
  private readonly barriers: ReadBarriers;
  /** What only the leader can answer: asked by this node, and by others of it. */
  readonly questions: LeaderQuestions;
  private readonly applier: Applier;
  private readonly log: LogWriter<M>;
  private readonly trimmer: LogTrimmer;
  private readonly desk: MembershipDesk<M>;
  private turnScheduled = false;
  private tickDue = false;
  /** Refused work waits for the next tick or for another leader. */
  private holdProposals = false;
  private holdReads = false;
  private installing = false;
  private stopped = false;
  /** Index of the membership of the applied state. */
  private membershipApplied: Index;
  private readonly remote = new RemoteRequests();
  private readonly snapshots: SnapshotDesk;
  /** Who leads, as far as this node knows; 0 when nobody. */
  leader: NodeId;
  /** Current epoch (Raft: term). */
  epoch: Term;

  constructor(private readonly options: GroupOptions<M>) {
    const { node, incarnation, stateMachine, scheduler, requestTimeoutMs } = options;
    this.engine = options.engine;
    const status = this.engine.status();
    this.leader = status.leader;
    this.epoch = status.epoch;
    this.membershipApplied = stateMachine.applied.membershipIndex;
    this.queue = new ProposalQueue({ node, incarnation, timeoutMs: requestTimeoutMs, ...queueLimits });
    this.barriers = new ReadBarriers(requestTimeoutMs, queueLimits.maxCommands, incarnation);
    this.questions = new LeaderQuestions(options, () => this.schedule());
    this.applier = new Applier({
      node,
      incarnation,
      stateMachine,
      queue: this.queue,
      scheduler,
      answer: (batch, results) => this.answer(batch, results),
      epochAdvanced: (epoch) => this.queue.lostBefore(epoch),
      progressed: () => this.progressed(),
      fatal: options.fatal,
    });
    this.log = new LogWriter<M>(options.group, options.wal, (message) => options.transport.send(message));
    this.trimmer = new LogTrimmer(options.retainedLogBytes, options.retainedLogEntries);
    for (const entry of options.restoredEntries) this.trimmer.appended(entry);
    this.desk = new MembershipDesk<M>(this.engine, options, () => this.schedule());
    this.snapshots = new SnapshotDesk({
      stateMachine,
      send: (to, epoch, state) => options.transport.sendSnapshot(to, epoch, state),
      delivered: (to, ok, index) => {
        if (this.stopped) return;
        this.engine.step({ kind: "snapshotSent", to, ok, index });
        this.schedule();
      },
      warn: (message, fields) => options.observer?.warn?.(message, fields),
      fatal: options.fatal,
    });
    this.schedule();
  }

  get status(): GroupStatus {
    return { ...this.engine.status(), appliedIndex: this.applier.appliedIndex };
  }

  /** Commands of this node that wait for the log or are under way. */
  get pendingCommands(): number {
    return this.queue.size;
  }

  /** True while this node leads. */
  get leads(): boolean {
    return this.leader === this.options.node;
  }

  // ------------------------------------------------------------------ what the API asks

  propose(command: Uint8Array, request: unknown, done: Done): void {
    if (this.stopped) return done(failure("stopped", "refused"));
    const now = this.options.scheduler.now();
    if (!this.queue.add(command, request, done, now)) {
      this.options.observer?.commandsFailed?.(1);
      return done(failure("tooManyRequests", "refused"));
    }
    this.schedule();
  }

  readBarrier(done: (failure: GroupFailure | undefined) => void): void {
    if (this.stopped) return done(failure("stopped", "refused"));
    if (!this.barriers.add(done, this.options.scheduler.now())) {
      return done(failure("tooManyRequests", "refused"));
    }
    this.schedule();
  }

  changeMembership(change: MembershipChange): Promise<GroupFailure | undefined> {
    if (this.stopped) return Promise.resolve(failure("stopped", "refused"));
    if (this.leads) return this.receiveControl(change);
    if (this.leader === 0) return Promise.resolve(failure("noLeader", "refused"));
    return this.options.transport.control(this.leader, change);
  }

  transferLeadership(to: NodeId): Promise<GroupFailure | undefined> {
    if (!this.leads) return Promise.resolve(failure("notLeader", "refused"));
    return this.desk.transfer(to);
  }

  // ------------------------------------------------------------------ what peers say

  /** A consensus message arrived. */
  receive(from: NodeId, message: M): void {
    if (this.stopped) return;
    this.engine.step({ kind: "message", from, message });
    this.schedule();
  }

  /** Another node hands its batches over because it believes that we lead `epoch`. */
  receiveForwarded(
    from: NodeId,
    epoch: Term,
    batches: readonly Uint8Array[],
    sequences: readonly number[],
  ): void {
    if (this.stopped) return;
    if (!this.leads || epoch !== this.epoch)
      return this.options.transport.refuse(from, epoch, sequences, "notLeader");
    if (this.overloaded) return this.options.transport.refuse(from, epoch, sequences, "overloaded");
    this.engine.step({ kind: "propose", proposals: this.remote.propose(from, epoch, batches, sequences) });
    this.schedule();
  }

  /** The node we forwarded to did not append these. */
  receiveRefusal(epoch: Term, sequences: readonly number[]): void {
    for (const sequence of sequences) {
      const batch = this.queue.get(sequence);
      // A late refusal of an earlier attempt says nothing about the present one.
      if (batch?.sentIn === epoch) this.queue.sendAgain(batch);
    }
    this.holdProposals = true;
  }

  /** Another node asks for a read index. */
  receiveReadBarrier(from: NodeId, id: number): void {
    if (this.stopped) return;
    if (!this.leads) return this.options.transport.answerReadIndex(from, id, undefined);
    this.engine.step({ kind: "read", ids: [this.remote.read(from, id)] });
    this.schedule();
  }

  /** The leader answered askReadIndex. */
  receiveReadIndex(id: number, index: Index | undefined): void {
    if (index === undefined) {
      this.barriers.refused(id);
      this.holdReads = true;
      return;
    }
    this.barriers.confirmed(id, index);
    this.barriers.release(this.applier.appliedIndex);
  }

  /** The link to a peer broke: what was on its way is lost, or at least not answered. */
  peerUnreachable(peer: NodeId): void {
    if (this.stopped) return;
    this.engine.step({ kind: "unreachable", peer });
    if (peer === this.leader) this.barriers.askAgain();
    if (peer === this.leader) this.questions.askAgain();
    this.remote.forgetReadsOf(peer);
    this.schedule();
  }

  /** A snapshot arrived complete and verified; resolves true when it was installed or is not needed. */
  receiveSnapshot(from: NodeId, epoch: Term, meta: SnapshotMeta, sink: SnapshotSink): Promise<boolean> {
    if (this.stopped || this.snapshots.holds) return sink.abort().then(() => false);
    const outcome = this.snapshots.hold(meta, sink);
    this.engine.step({ kind: "snapshotReceived", from, epoch, snapshot: meta });
    this.schedule();
    return outcome;
  }

  /** A membership change that this or another node was asked for; judged by what the leader has applied. */
  async receiveControl(change: MembershipChange): Promise<GroupFailure | undefined> {
    const refusal = await new Promise<GroupFailure | undefined>((resolve) => this.readBarrier(resolve));
    if (refusal !== undefined) return refusal;
    if (!this.leads) return failure("notLeader", "refused");
    return this.desk.change(change);
  }

  /** One heartbeat interval passed. Ticks that came late are not made up for. */
  tick(): void {
    this.tickDue = true;
    this.schedule();
  }

  /** Fails everything that waits; nothing is done afterwards. */
  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.applier.stop();
    for (const batch of this.queue.drain()) this.fail(batch, failure("stopped", outcomeOf(batch)));
    this.barriers.expire(Number.POSITIVE_INFINITY, failure("stopped", "refused"));
    this.questions.stop();
    this.desk.stop();
  }

  // ------------------------------------------------------------------ the turn

  private schedule(): void {
    if (this.turnScheduled || this.stopped) return;
    this.turnScheduled = true;
    this.options.scheduler.defer(() => {
      this.turnScheduled = false;
      if (this.stopped) return;
      try {
        this.turn();
      } catch (error) {
        this.options.fatal(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  private turn(): void {
    if (this.tickDue) this.onTick();
    if (this.installing) return;
    this.sendProposals();
    this.askReads();
    this.questions.askLeader(this.leader);
    while (!this.installing && this.engine.hasReady()) this.handle(this.engine.ready());
    // The log writes at the end of this turn, perhaps on this thread: messages must be gone by then.
    this.options.transport.flush();
    this.applier.run();
    this.options.transport.flush();
    if (!this.installing) this.snapshots.drop(this.applier.appliedIndex);
  }

  private onTick(): void {
    this.tickDue = false;
    this.holdProposals = false;
    this.holdReads = false;
    if (!this.installing) this.engine.step({ kind: "tick" });
    const now = this.options.scheduler.now();
    this.barriers.askAgainBefore(now - this.options.electionTimeoutMs);
    for (const batch of this.queue.expired(now)) {
      this.fail(batch, failure(this.leader === 0 ? "noLeader" : "timeout", outcomeOf(batch)));
    }
    this.barriers.expire(now, failure(this.leader === 0 ? "noLeader" : "timeout", "refused"));
    this.questions.tick(this.leader);
    this.desk.tick(now);
    this.trim();
  }

  private get overloaded(): boolean {
    return this.options.stateMachine.overloaded || this.applier.backlog > 5000;
  }

  private sendProposals(): void {
    if (this.holdProposals || !this.queue.hasUnsent || this.leader === 0 || this.overloaded) return;
    const batches = this.queue.takeUnsent(this.epoch, this.options.scheduler.now());
    if (this.leads) {
      const proposals = batches.map((batch) => ({ id: batch.sequence, payload: batch.payload! }));
      this.engine.step({ kind: "propose", proposals });
      return;
    }
    for (const batch of batches) {
      if (this.options.transport.forward(this.leader, this.epoch, [batch.payload!])) continue;
      this.queue.sendAgain(batch);
      this.holdProposals = true;
    }
  }

  private askReads(): void {
    if (this.holdReads || this.leader === 0 || !this.barriers.hasUnasked) return;
    const ids = this.barriers.toAsk(this.epoch, this.options.scheduler.now());
    if (this.leads) return this.engine.step({ kind: "read", ids });
    for (const id of ids) {
      if (this.options.transport.askReadIndex(this.leader, id)) continue;
      this.barriers.refused(id);
      this.holdReads = true;
    }
  }

  private handle(ready: Ready<M>): void {
    const { transport, observer } = this.options;
    for (const message of ready.messages) transport.send(message);
    // Before the role: who asked this node while it led is refused, not forgotten.
    if (ready.failed.length > 0) for (const failed of ready.failed) this.onFailure(failed);
    if (ready.role !== undefined) this.roleChanged(ready.role.leader, ready.role.epoch);
    if (ready.role !== undefined) observer?.roleChanged?.(ready.role);
    for (const { id, entry } of ready.appended) this.onAppended(id, entry.index, entry.epoch);
    if (ready.append?.snapshot !== undefined) return void this.install(ready, ready.append.snapshot);
    this.finish(ready);
  }

  /** Everything of a Ready that must wait for the snapshot it installs, if it installs one. */
  private finish(ready: Ready<M>): void {
    const { transport, observer } = this.options;
    if (ready.append !== undefined) this.append(ready, ready.append);
    else if (ready.messagesAfterAppend.length > 0) this.log.afterEverything(ready.messagesAfterAppend);
    if (ready.membership !== undefined) transport.membershipChanged(ready.membership);
    if (ready.committed.length > 0) {
      observer?.entriesCommitted?.(ready.committed);
      this.applier.enqueue(ready.committed);
    }
    for (const { id, index } of ready.reads) this.onReadConfirmed(id, index);
    if (ready.reads.length > 0) this.barriers.release(this.applier.appliedIndex);
    for (const { to } of ready.needSnapshot) this.snapshots.send(to, this.epoch);
  }

  private append(ready: Ready<M>, batch: DurableBatch): void {
    for (const entry of batch.entries) {
      this.trimmer.appended(entry);
      if (entry.kind !== EntryKind.membership) continue;
      this.options.transport.membershipAppended(decodeMembership(entry.payload).context);
    }
    const first = batch.entries[0]?.index ?? 0;
    const own = first === 0 ? [] : this.takeAppended();
    const written = this.options.scheduler.now();
    for (const waiting of own) waiting.times.written = written;
    this.log.append(batch, ready.messagesAfterAppend, (mark) => this.onDurable(mark, own));
  }

  /** Own batches that entered the log in this Ready. */
  private appendedNow: Batch[] = [];

  private takeAppended(): Batch[] {
    const batches = this.appendedNow;
    this.appendedNow = [];
    return batches;
  }

  private onAppended(id: ProposalId, index: Index, epoch: Term): void {
    if (id < 0) return void this.remote.takeProposal(id);
    const batch = this.queue.get(id);
    if (batch !== undefined) {
      batch.sentIn = epoch;
      this.appendedNow.push(batch);
    } else this.desk.appended(id, index, epoch);
  }

  private onDurable(mark: LogMark, own: readonly Batch[]): void {
    if (this.stopped) return;
    const now = this.options.scheduler.now();
    for (const batch of own) batch.times.durable = now;
    this.options.transport.flush();
    this.engine.step({ kind: "persisted", mark });
    this.schedule();
  }

  private roleChanged(leader: NodeId, epoch: Term): void {
    const moved = leader !== this.leader || epoch !== this.epoch;
    this.leader = leader;
    this.epoch = epoch;
    if (!moved) return;
    this.holdProposals = false;
    this.holdReads = false;
    this.barriers.askAgain();
    this.questions.askAgain();
    this.desk.leaderChanged(leader);
    if (!this.leads) this.remote.forgetReads();
    this.schedule();
  }

  private onFailure(failed: Failure): void {
    switch (failed.of) {
      case "proposal": {
        const forwarded = this.remote.takeProposal(failed.id);
        if (forwarded !== undefined) {
          this.options.transport.refuse(forwarded.from, forwarded.epoch, [forwarded.sequence], failed.reason);
          return;
        }
        const batch = this.queue.get(failed.id);
        if (batch === undefined) return;
        this.queue.sendAgain(batch);
        this.holdProposals = true;
        return;
      }
      case "read": {
        const remote = this.remote.takeRead(failed.id);
        if (remote !== undefined)
          return this.options.transport.answerReadIndex(remote.from, remote.id, undefined);
        this.barriers.refused(failed.id);
        this.holdReads = true;
        return;
      }
      case "membership":
      case "transfer":
        return this.desk.failed(failed);
      default:
        throw new Error(`unknown failure ${String(failed.of satisfies never)}`);
    }
  }

  private onReadConfirmed(id: number, index: Index): void {
    const remote = this.remote.takeRead(id);
    if (remote === undefined) return this.barriers.confirmed(id, index);
    this.options.transport.answerReadIndex(remote.from, remote.id, index);
  }

  // ------------------------------------------------------------------ applying and answering

  private answer(batch: Batch, results: readonly unknown[]): void {
    const { done, times } = batch;
    for (let at = 0; at < done.length; at++) done[at]!(results[at]);
    times.answered = this.options.scheduler.now();
    this.options.observer?.batchDone?.(times, done.length);
  }

  private fail(batch: Batch, reason: GroupFailure): void {
    this.options.observer?.commandsFailed?.(batch.done.length);
    for (const done of batch.done) done(reason);
  }

  private progressed(): void {
    const applied = this.applier.appliedIndex;
    this.engine.step({ kind: "applied", index: applied });
    this.barriers.release(applied);
    const state = this.options.stateMachine.applied;
    this.desk.applied(applied, state);
    if (state.membershipIndex !== this.membershipApplied) {
      this.membershipApplied = state.membershipIndex;
      this.options.observer?.membershipApplied?.(state.membership);
    }
    this.schedule();
  }

  private trim(): void {
    const limit = Math.min(this.options.stateMachine.durableIndex, this.applier.appliedIndex);
    let held = Number.POSITIVE_INFINITY;
    for (const { active, state, match } of this.engine.status().progress) {
      if (active || state === "snapshot") held = Math.min(held, match);
    }
    const point = this.trimmer.due(limit, held);
    if (point === undefined) return;
    this.engine.step({ kind: "compact", upTo: point.index });
    this.options.wal.compact(this.options.group, point);
    this.schedule();
  }

  // ------------------------------------------------------------------ snapshots

  /** Puts the received snapshot in the place of the state, then lets the rest of the Ready happen. */
  private async install(ready: Ready<M>, meta: SnapshotMeta): Promise<void> {
    this.installing = true;
    try {
      await this.applier.drained();
      if (this.stopped) return;
      await this.snapshots.install(meta);
      this.applier.restart(meta.id.index, meta.id.epoch);
      // What was under way may or may not be part of the snapshot.
      for (const batch of this.queue.takeSent()) this.fail(batch, failure("leaderChanged", "unknown"));
      this.trimmer.restart();
      this.finish(ready);
      this.snapshots.installed();
    } catch (error) {
      this.options.fatal(error instanceof Error ? error : new Error(String(error)));
      return;
    } finally {
      this.installing = false;
    }
    this.progressed();
  }
}
