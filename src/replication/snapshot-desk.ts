// Snapshots of a group, both ways: sends one to each follower that the engine says is behind the log,
// and holds the one that was received until the engine has decided whether to install it.

import type { EngineStatus } from "../consensus/engine.js";
import type { Index, NodeId, SnapshotMeta, Term } from "../consensus/types.js";
import type { SnapshotSink, StateMachine } from "./state-machine.js";

interface Staged {
  readonly meta: SnapshotMeta;
  readonly sink: SnapshotSink;
  readonly done: (installed: boolean) => void;
}

export interface SnapshotDeskOptions {
  readonly stateMachine: StateMachine;
  readonly send: (to: NodeId, epoch: Term, stateMachine: StateMachine) => Promise<Index>;
  /** A delivery ended, well (with the index installed there) or not. */
  readonly delivered: (to: NodeId, ok: boolean, index: Index) => void;
  readonly warn: (message: string, fields: Record<string, unknown>) => void;
  readonly fatal: (error: Error) => void;
}

export class SnapshotDesk {
  private readonly sendingTo = new Set<NodeId>();
  private staged: Staged | undefined;

  constructor(private readonly options: SnapshotDeskOptions) {}

  /** Sends the present state, unless that is under way already. */
  send(to: NodeId, epoch: EngineStatus["epoch"]): void {
    if (this.sendingTo.has(to)) return;
    this.sendingTo.add(to);
    const { send, stateMachine, delivered, warn } = this.options;
    send(to, epoch, stateMachine).then(
      (index) => {
        this.sendingTo.delete(to);
        delivered(to, true, index);
      },
      (error: unknown) => {
        this.sendingTo.delete(to);
        warn("snapshot not delivered", { to: to.toString(16), error: String(error) });
        delivered(to, false, 0);
      },
    );
  }

  /** True while a received snapshot waits for the engine's decision. */
  get holds(): boolean {
    return this.staged !== undefined;
  }

  /** Keeps a received snapshot; resolves true when it was installed or is not needed. */
  hold(meta: SnapshotMeta, sink: SnapshotSink): Promise<boolean> {
    return new Promise((done) => {
      this.staged = { meta, sink, done };
    });
  }

  /** Puts the held snapshot in the place of the state. */
  async install(meta: SnapshotMeta): Promise<void> {
    const { staged } = this;
    if (staged?.meta.id.index !== meta.id.index || staged.meta.id.epoch !== meta.id.epoch) {
      throw new Error(`the engine wants snapshot ${meta.id.index} installed, which is not there`);
    }
    await staged.sink.install();
  }

  /** The installed snapshot is part of the log now: the sender may be told. */
  installed(): void {
    const staged = this.staged;
    this.staged = undefined;
    staged?.done(true);
  }

  /** The engine did not want the held snapshot. */
  drop(applied: Index): void {
    const staged = this.staged;
    if (staged === undefined) return;
    this.staged = undefined;
    staged.sink.abort().then(
      () => staged.done(staged.meta.id.index <= applied),
      (error: unknown) => this.options.fatal(error instanceof Error ? error : new Error(String(error))),
    );
  }
}
