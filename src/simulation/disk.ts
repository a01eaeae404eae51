// A node's disk. A batch is written, then synced; only then is it durable. Batches that arrive while a
// write is under way go with the next one, as in the real log. A crash keeps what was synced and, of the
// rest, an arbitrary prefix of whole batches: the one after it is lost or torn, which recovery cuts off.

import type { DurableBatch } from "../consensus/engine.js";
import type { HardState } from "../consensus/types.js";
import type { Agenda } from "./agenda.js";
import type { Coverage } from "./coverage.js";
import { SimulatedLog } from "./log.js";
import type { Random } from "./random.js";
import type { MachineState } from "./state-machine.js";
import type { DiskOptions } from "./swarm.js";

interface Write {
  readonly batch: DurableBatch;
  /** State that the batch's snapshot stands for. */
  readonly machine: MachineState | undefined;
  readonly done: (lastOfWrite: boolean) => void;
}

export const noHardState: HardState = {
  promised: { round: 0, node: 0 },
  accepted: { round: 0, node: 0 },
  commit: 0,
};

export class SimulatedDisk {
  /** What survives any crash. */
  readonly log = new SimulatedLog();
  hardState: HardState = noHardState;

  /** Handed over and not durable, oldest first; the first `underWay` of them are being written. */
  private writes: Write[] = [];
  private underWay = 0;
  /** Written without a sync: ahead of `writes`, gone at a power loss. */
  private unsynced: Write[] = [];
  private generation = 0;

  constructor(
    /** Durable state of the state machine. */
    public machine: MachineState,
    private readonly agenda: Agenda,
    private readonly random: Random,
    private readonly options: () => DiskOptions,
    private readonly coverage: Coverage,
  ) {}

  /**
   * `done` runs when the batch is durable, or merely written when neither it nor another of the same
   * write need be synced; it is told whether it is the last of that write.
   */
  append(batch: DurableBatch, machine: MachineState | undefined, done: (lastOfWrite: boolean) => void): void {
    this.writes.push({ batch, machine, done });
    if (this.underWay === 0) this.startWriting();
  }

  /** Loses what was not synced, in part or whole. The disk is then as a restart finds it. */
  crash(): void {
    this.generation++;
    const rest = [...this.unsynced, ...this.writes];
    const kept = rest.length === 0 || this.random.chance(0.5) ? 0 : this.random.between(0, rest.length);
    for (const write of rest.slice(0, kept)) this.makeDurable(write);
    if (kept < rest.length) this.coverage.count(this.random.chance(0.5) ? "tornWrites" : "lostWrites");
    else if (kept > 0) this.coverage.count("unacknowledgedWritesKept");
    this.writes = [];
    this.unsynced = [];
    this.underWay = 0;
  }

  /**
   * What a driver does before it starts an engine: a log that does not hold the last applied entry (the
   * state machine became durable first) restarts after it. True when that was so.
   */
  recover(): boolean {
    const { id } = this.machine.meta;
    if (this.log.covers(id.index, id.epoch)) return false;
    this.log.after = id;
    this.log.entries = [];
    return true;
  }

  private startWriting(): void {
    this.underWay = this.writes.length;
    const { meanUs, stallProbability, stallUs } = this.options();
    const delay = this.random.chance(stallProbability)
      ? this.random.exponential(stallUs)
      : this.random.exponential(meanUs);
    const generation = this.generation;
    this.agenda.after(delay, () => {
      if (generation === this.generation) this.finishWriting();
    });
  }

  private finishWriting(): void {
    const written = this.writes.slice(0, this.underWay);
    this.writes = this.writes.slice(this.underWay);
    this.underWay = 0;
    this.unsynced.push(...written);
    if (written.some((write) => write.batch.mustSync)) {
      for (const write of this.unsynced) this.makeDurable(write);
      this.unsynced = [];
    }
    if (this.writes.length > 0) this.startWriting();
    const generation = this.generation;
    for (const write of written) {
      // What one completion sets off may end the process.
      if (generation === this.generation) write.done(write === written.at(-1));
    }
  }

  private makeDurable({ batch, machine }: Write): void {
    this.log.apply(batch);
    if (batch.hardState !== undefined) this.hardState = batch.hardState;
    if (machine !== undefined) this.machine = machine;
  }
}
