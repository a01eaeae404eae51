// One simulated node: an engine, the driver that obeys the rules of Ready, a disk, a state machine and a
// clock. Crashes, pauses and restarts it as told; what is volatile dies with the incarnation.

import type {
  DurableBatch,
  Engine,
  EngineConfig,
  EngineStatus,
  Failure,
  Input,
  Outbound,
  Ready,
} from "../consensus/engine.js";
import type {
  Entry,
  EntryId,
  HardState,
  LogMark,
  Membership,
  NodeId,
  ProposalId,
  ReadId,
  Role,
} from "../consensus/types.js";
import type { Agenda } from "./agenda.js";
import type { Checker } from "./checker.js";
import type { Coverage } from "./coverage.js";
import { SimulatedDisk } from "./disk.js";
import { type NodeView, violated } from "./invariants/invariant.js";
import { SimulatedLog } from "./log.js";
import type { SimulatedNetwork } from "./network.js";
import type { Random } from "./random.js";
import { initialMachine, type MachineState, SimulatedMachine } from "./state-machine.js";
import type { Swarm } from "./swarm.js";
import type { Trace } from "./trace.js";

/** What became of requests on a node; the workload listens. */
export interface NodeListener<M> {
  proposalAppended(node: SimulatedNode<M>, id: ProposalId, entry: EntryId): void;
  failed(node: SimulatedNode<M>, failure: Failure): void;
  readReady(node: SimulatedNode<M>, id: ReadId): void;
  applied(node: SimulatedNode<M>, entry: Entry): void;
  snapshotInstalled(node: SimulatedNode<M>): void;
  /** Everything under way on this node is lost. */
  crashed(node: SimulatedNode<M>): void;
}

/** The world around a node. */
export interface Surroundings<M> {
  readonly agenda: Agenda;
  readonly network: SimulatedNetwork;
  readonly coverage: Coverage;
  readonly checker: Checker;
  readonly listener: NodeListener<M>;
  readonly trace: Trace;
  /** What holds now: the drawn one, or the calm one of the liveness phase. */
  readonly swarm: Swarm;
  node(id: NodeId): SimulatedNode<M> | undefined;
  createEngine(config: EngineConfig): Engine<M>;
  /** An entry was committed anywhere for the first time. */
  committedFirst(entry: Entry): void;
  elected(node: SimulatedNode<M>): void;
}

interface WriteUnderWay<M> {
  readonly messages: Outbound<M>[];
}

export class SimulatedNode<M> implements NodeView {
  running = false;
  incarnation = 0;
  status!: EngineStatus;
  log = new SimulatedLog();
  hardState: HardState;
  /** Last role that the driver was told of. */
  leaderHint: NodeId = 0;
  readonly disk: SimulatedDisk;

  private engine: Engine<M> | undefined;
  private stateMachine: SimulatedMachine;
  private lastRole: Role = "follower";
  private paused = false;
  /** What arrived during a pause. */
  private backlog: (() => void)[] = [];
  private inputs: Input<M>[] = [];
  private stepping = false;
  private lastWrite: WriteUnderWay<M> | undefined;
  private unapplied: Entry[] = [];
  private applying = false;
  private waitingReads: { readonly id: ReadId; readonly index: number }[] = [];
  /** Received snapshots by index and term, waiting for the engine to install them. */
  private staged = new Map<string, MachineState>();

  constructor(
    readonly id: NodeId,
    membership: Membership,
    private readonly world: Surroundings<M>,
    private readonly random: Random,
  ) {
    const { agenda, swarm, coverage } = world;
    const initial = initialMachine(membership);
    this.stateMachine = new SimulatedMachine(initial);
    this.disk = new SimulatedDisk(initial, agenda, random.fork(), () => world.swarm.disk, coverage);
    this.hardState = this.disk.hardState;
    this.tickUs = Math.round(swarm.tickUs * (1 + (random.float() * 2 - 1) * swarm.clockDrift));
  }

  private readonly tickUs: number;

  get machine(): MachineState {
    return this.stateMachine.state;
  }

  get durableLog(): SimulatedLog {
    return this.disk.log;
  }

  // Life and death.

  start(): void {
    const { world, disk } = this;
    this.incarnation++;
    this.running = true;
    this.paused = false;
    if (this.incarnation > 1) world.coverage.count("restarts");
    if (disk.recover()) world.coverage.count("stateAheadOfLog");
    this.log = disk.log.copy();
    this.hardState = disk.hardState;
    this.stateMachine = new SimulatedMachine(disk.machine);
    const { swarm } = world;
    this.engine = world.createEngine({
      id: this.id,
      electionTicks: swarm.electionTicks,
      heartbeatTicks: swarm.heartbeatTicks,
      random: () => this.random.next32(),
      maxInflightMessages: swarm.maxInflightMessages,
      maxInflightBytes: swarm.maxInflightBytes,
      maxAppendBytes: swarm.maxAppendBytes,
      maxUncommittedBytes: swarm.maxUncommittedBytes,
      restored: {
        hardState: disk.hardState,
        snapshot: disk.machine.meta,
        entries: disk.log.entries.slice(),
        entriesAfter: disk.log.after,
      },
    });
    this.status = this.engine.status();
    this.lastRole = this.status.role;
    world.trace.event(this.id, "start", this.status.epoch, this.log.lastIndex);
    world.checker.started(this);
    this.drain();
    this.scheduleTick();
  }

  /** Ends the process; the disk loses what was not synced. */
  crash(): void {
    if (!this.running) return;
    this.world.trace.event(this.id, "crash", this.status.epoch, this.log.lastIndex);
    this.engine = undefined;
    this.backlog = [];
    this.inputs = [];
    this.lastWrite = undefined;
    this.unapplied = [];
    this.applying = false;
    this.waitingReads = [];
    this.staged.clear();
    // What was applied may have reached the disk by itself in time.
    if (this.random.chance(0.7)) this.flushState();
    this.running = false;
    this.disk.crash();
    this.world.network.senderDied(this.id);
    this.world.listener.crashed(this);
  }

  /** The process stands still: nothing is taken in, nothing is sent, ticks are lost. */
  pause(durationUs: number): void {
    if (!this.running || this.paused) return;
    this.paused = true;
    this.world.trace.event(this.id, "pause", this.status.epoch, 0);
    const { incarnation } = this;
    this.world.agenda.after(durationUs, () => {
      if (incarnation === this.incarnation && this.running) this.resume();
    });
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.world.trace.event(this.id, "resume", this.status.epoch, this.backlog.length);
    const backlog = this.backlog;
    this.backlog = [];
    for (const event of backlog) if (this.running) event();
    if (this.running) this.step({ kind: "tick" });
  }

  /** Runs the event in this incarnation: now, after the pause, or never. */
  private enter(incarnation: number, event: () => void): void {
    if (incarnation !== this.incarnation || !this.running) return;
    if (this.paused) this.backlog.push(event);
    else event();
  }

  /** As an event from outside that finds whatever incarnation there is. */
  ask(input: Input<M>): void {
    this.enter(this.incarnation, () => this.step(input));
  }

  private scheduleTick(): void {
    const { incarnation } = this;
    this.world.agenda.after(this.tickUs, () => {
      if (incarnation !== this.incarnation || !this.running) return;
      if (!this.paused) this.step({ kind: "tick" });
      if (this.running) this.scheduleTick();
    });
  }

  // The driver.

  receive(from: NodeId, message: M): void {
    this.enter(this.incarnation, () => this.step({ kind: "message", from, message }));
  }

  receiveSnapshot(from: NodeId, epoch: number, state: MachineState): void {
    this.enter(this.incarnation, () => {
      this.staged.set(keyOf(state.meta.id), state);
      this.step({ kind: "snapshotReceived", from, epoch, snapshot: state.meta });
    });
  }

  private step(input: Input<M>): void {
    this.inputs.push(input);
    if (!this.stepping) this.drain();
  }

  /** One input, all its readies, then the next: inputs that a Ready sets off wait their turn. */
  private drain(): void {
    this.stepping = true;
    try {
      for (;;) {
        const { engine } = this;
        if (engine === undefined) return;
        while (engine.hasReady()) {
          this.handle(engine.ready());
          if (this.engine !== engine) return;
        }
        this.world.checker.stepped(this);
        this.world.trace.status(this.status);
        const input = this.inputs.shift();
        if (input === undefined) return;
        this.world.trace.input(this.id, input);
        engine.step(input);
        this.status = engine.status();
      }
    } finally {
      this.stepping = false;
    }
  }

  private handle(ready: Ready<M>): void {
    const { listener } = this.world;
    if (ready.role !== undefined) {
      this.leaderHint = ready.role.leader;
      this.countRole(ready.role.role);
    }
    if (ready.append !== undefined) this.append(ready.append, ready.messagesAfterAppend);
    else if (this.lastWrite !== undefined) this.lastWrite.messages.push(...ready.messagesAfterAppend);
    else for (const outbound of ready.messagesAfterAppend) this.send(outbound);
    for (const outbound of ready.messages) this.send(outbound);
    for (const { id, entry } of ready.appended) listener.proposalAppended(this, id, entry);
    for (const failure of ready.failed) listener.failed(this, failure);
    this.waitingReads.push(...ready.reads);
    this.takeCommitted(ready.committed);
    this.answerReads();
    for (const { to, atLeast } of ready.needSnapshot) this.sendSnapshot(to, atLeast);
  }

  private append(batch: DurableBatch, after: readonly Outbound<M>[]): void {
    const { checker, coverage } = this.world;
    checker.appending(this, batch);
    const { truncateAfter, hardState, snapshot } = batch;
    if (truncateAfter !== undefined && truncateAfter < this.log.lastIndex) {
      coverage.count("truncations");
      if (this.log.entries.some((entry) => entry.kind === 2 && entry.index > truncateAfter)) {
        coverage.count("membershipsRolledBack");
      }
    }
    this.log.apply(batch);
    if (hardState !== undefined) this.hardState = hardState;
    checker.appended(this, batch);
    const state = snapshot === undefined ? undefined : this.install(snapshot.id);
    const write: WriteUnderWay<M> = { messages: [...after] };
    this.lastWrite = write;
    const { incarnation } = this;
    this.disk.append(batch, state, (last) => {
      this.enter(incarnation, () => this.written(write, last ? batch.mark : undefined));
    });
  }

  /** @param mark of the last batch of one sync, which speaks for all of them. */
  private written(write: WriteUnderWay<M>, mark: LogMark | undefined): void {
    if (this.lastWrite === write) this.lastWrite = undefined;
    for (const outbound of write.messages) this.send(outbound);
    if (mark !== undefined) this.step({ kind: "persisted", mark });
  }

  private send({ to, message }: Outbound<M>): void {
    const { world, id } = this;
    const sent = world.network.send(id, to, () => world.node(to)?.receive(id, message));
    if (!sent && this.random.chance(0.3)) {
      const { incarnation } = this;
      world.agenda.after(this.tickUs, () => {
        this.enter(incarnation, () => this.step({ kind: "unreachable", peer: to }));
      });
    }
  }

  private countRole(role: Role): void {
    if (role === "leader" && this.lastRole !== "leader") {
      this.world.coverage.count("elections");
      this.world.elected(this);
    }
    if (role !== "leader" && this.lastRole === "leader") this.world.coverage.count("leadersDeposed");
    this.lastRole = role;
  }

  // The state machine.

  private takeCommitted(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const { world } = this;
    for (const entry of entries) {
      if (world.checker.committed(this, entry)) world.committedFirst(entry);
      if (this.disk.log.epochAt(entry.index) !== entry.epoch) {
        world.coverage.count("committedBeforeLocallyDurable");
      }
      this.unapplied.push(entry);
    }
    const { applyUs } = world.swarm;
    if (applyUs === 0) this.apply(this.unapplied.length);
    else this.scheduleApply();
  }

  private scheduleApply(): void {
    if (this.applying) return;
    this.applying = true;
    const { incarnation } = this;
    this.world.agenda.after(this.random.exponential(this.world.swarm.applyUs + 1), () => {
      this.enter(incarnation, () => {
        this.applying = false;
        this.apply(this.random.between(1, this.unapplied.length));
        if (this.unapplied.length > 0) this.scheduleApply();
      });
    });
  }

  private apply(count: number): void {
    const entries = this.unapplied.slice(0, count);
    this.unapplied = this.unapplied.slice(count);
    if (entries.length === 0) return;
    for (const entry of entries) {
      this.stateMachine.apply(entry);
      this.world.listener.applied(this, entry);
    }
    this.world.checker.applied(this);
    this.step({ kind: "applied", index: this.stateMachine.applied });
    this.answerReads();
  }

  private answerReads(): void {
    if (this.waitingReads.length === 0) return;
    const { applied } = this.stateMachine;
    const ready = this.waitingReads.filter(({ index }) => index <= applied);
    this.waitingReads = this.waitingReads.filter(({ index }) => index > applied);
    for (const { id } of ready) this.world.listener.readReady(this, id);
  }

  // Snapshots and compaction.

  private install(id: EntryId): MachineState {
    const state = this.staged.get(keyOf(id));
    if (state === undefined)
      broken("a snapshot that was received to be installed", `${id.index}@${id.epoch}`);
    this.staged.clear();
    if (id.index < this.stateMachine.applied) {
      broken(`a snapshot above ${this.stateMachine.applied}, which is applied`, `${id.index}`);
    }
    this.world.coverage.count("snapshotsInstalled");
    this.stateMachine.install(state);
    // The state is there before the log says so: the other way round a crash would leave a hole.
    if (this.world.swarm.stateAheadOfLog) this.disk.machine = state;
    this.unapplied = this.unapplied.filter(({ index }) => index > id.index);
    this.world.checker.applied(this);
    this.world.listener.snapshotInstalled(this);
    this.step({ kind: "applied", index: id.index });
    return state;
  }

  private sendSnapshot(to: NodeId, atLeast: number): void {
    const { world, id, incarnation } = this;
    const epoch = this.status.epoch;
    world.coverage.count("snapshotsSent");
    let reported = false;
    const report = (ok: boolean, index: number) => {
      if (reported) return;
      reported = true;
      this.enter(incarnation, () => this.step({ kind: "snapshotSent", to, ok, index }));
    };
    const attempt = () => {
      const state = this.machine;
      const { index } = state.meta.id;
      // The state is taken when it is sent: it may be past what was asked for.
      if (index < atLeast) return world.agenda.after(this.tickUs, () => this.enter(incarnation, attempt));
      const carried = world.network.send(id, to, () => {
        const target = world.node(to);
        if (target?.running !== true) return;
        target.receiveSnapshot(id, epoch, state);
        world.network.send(to, id, () => report(true, index));
      });
      if (!carried) world.coverage.count("snapshotsFailed");
      world.agenda.after(this.tickUs * (carried ? 20 : 2), () => report(false, index));
    };
    world.agenda.after(this.random.exponential(this.tickUs), () => this.enter(incarnation, attempt));
  }

  /** Makes the state machine durable as it is. */
  flushState(): void {
    if (!this.running || this.paused) return;
    const { index, epoch } = this.machine.meta.id;
    if (this.world.swarm.stateAheadOfLog || this.disk.log.covers(index, epoch))
      this.disk.machine = this.machine;
  }

  /** Cuts the log, keeping `keep` entries below what the state machine holds durably. */
  compact(keep: number): void {
    if (!this.running || this.paused) return;
    const upTo = this.disk.machine.meta.id.index - keep;
    const { log } = this.disk;
    // Cut where both logs hold the entry: the disk's may still lack it, or hold what it replaces.
    if (upTo <= this.log.after.index || upTo <= log.after.index) return;
    if (log.epochAt(upTo) === undefined || log.epochAt(upTo) !== this.log.epochAt(upTo)) return;
    this.world.coverage.count("compactions");
    this.log.compact(upTo);
    this.disk.log.compact(upTo);
    this.step({ kind: "compact", upTo });
  }
}

function keyOf({ index, epoch }: EntryId): string {
  return `${index}@${epoch}`;
}

function broken(expected: string, found: string): never {
  violated(expected, found, "rules of Ready");
}
