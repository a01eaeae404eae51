// A small cluster of engines in one thread, for tests: messages, disks and snapshots move only when
// told to, in an order the test decides. Knows the engine interface and no protocol.

import type { DurableBatch, Engine, EngineConfig, Failure, Input, Outbound, Ready } from "../engine.js";
import { decodeMembership } from "../membership/codec.js";
import {
  type Entry,
  type EntryId,
  EntryKind,
  type HardState,
  type Index,
  type Membership,
  type NodeId,
  type SnapshotMeta,
  type Term,
} from "../types.js";

export interface Packet<M> {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: M;
  readonly urgent: boolean;
}

export interface NetworkOptions<M> {
  readonly create: (config: EngineConfig) => Engine<M>;
  readonly nodes: readonly NodeId[];
  readonly learners?: readonly NodeId[];
  readonly seed?: number;
  readonly config?: Partial<EngineConfig>;
  /** What a node holds before its first start: entries as terms, from index 1. */
  readonly logs?: ReadonlyMap<
    NodeId,
    { readonly terms: readonly Term[]; readonly term?: Term; readonly vote?: NodeId; readonly commit?: Index }
  >;
}

interface PendingWrite<M> {
  readonly batch: DurableBatch | undefined;
  readonly after: readonly Outbound<M>[];
}

const zeroId: EntryId = { index: 0, epoch: 0 };
const noBallot = { round: 0, node: 0 };

export function membershipOf(voters: readonly NodeId[], learners: readonly NodeId[] = []): Membership {
  return { voters: [...voters], outgoing: [], learners: [...learners], learnersNext: [], autoLeave: false };
}

export function payload(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(entry: Entry): string {
  return new TextDecoder().decode(entry.payload);
}

/** xorshift32: enough for timeouts and delivery order, and the same everywhere. */
export function seededRandom(seed: number): () => number {
  let state = (seed * 2654435761 + 1013904223) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/** What a node has on disk. */
class Disk {
  hardState: HardState = { promised: noBallot, accepted: noBallot, commit: 0 };
  after: EntryId = zeroId;
  entries: Entry[] = [];

  write(batch: DurableBatch): void {
    const { truncateAfter, hardState, snapshot } = batch;
    if (snapshot !== undefined) {
      this.after = snapshot.id;
      this.entries = [];
    }
    if (truncateAfter !== undefined) this.entries.length = truncateAfter - this.after.index;
    for (const entry of batch.entries) {
      const expected = this.after.index + this.entries.length + 1;
      if (entry.index !== expected) throw new Error(`disk: entry ${entry.index} where ${expected} belongs`);
      this.entries.push(entry);
    }
    if (hardState !== undefined) {
      const last = this.entries.at(-1)?.epoch ?? this.after.epoch;
      if (hardState.promised.round < this.hardState.promised.round) throw new Error("disk: the term fell");
      if (hardState.promised.round < last) throw new Error("disk: entries of a term before the term");
      this.hardState = hardState;
    }
  }
}

export class NetworkNode<M> {
  engine: Engine<M>;
  readonly disk = new Disk();
  readonly writes: PendingWrite<M>[] = [];
  /** Entries applied, in order. After a snapshot they are those of its sender. */
  applied: Entry[] = [];
  state: SnapshotMeta;
  private readonly born: SnapshotMeta;
  readonly reads = new Map<number, Index>();
  readonly appended = new Map<number, EntryId>();
  readonly failed: Failure[] = [];
  readonly staged = new Map<Index, Entry[]>();
  alive = true;
  /** True: writes stay under way until persist(). */
  diskHeld = false;
  /** False: needSnapshot is recorded and not acted on. */
  readonly snapshotsAsked: { to: NodeId; atLeast: Index }[] = [];
  lastReady: Ready<M> | undefined;
  applyHeld = false;

  constructor(
    readonly config: Omit<EngineConfig, "restored">,
    private readonly create: (config: EngineConfig) => Engine<M>,
    membership: Membership,
    prepare?: (disk: Disk) => void,
  ) {
    this.born = { id: zeroId, membership, membershipIndex: 0 };
    this.state = this.born;
    prepare?.(this.disk);
    this.engine = this.start();
  }

  private start(): Engine<M> {
    const { hardState, entries, after } = this.disk;
    return this.create({
      ...this.config,
      restored: { hardState, snapshot: this.state, entries: [...entries], entriesAfter: after },
    });
  }

  /**
   * Comes back with what was durable; applied state survives, as if flushed. It may be ahead of the log,
   * or know better what was committed: then the log begins anew behind it.
   */
  restart(): void {
    this.writes.length = 0;
    const { id } = this.state;
    const { after, entries } = this.disk;
    const there = id.index === after.index ? after : entries[id.index - after.index - 1];
    if (there?.epoch !== id.epoch) {
      this.disk.after = id;
      this.disk.entries = [];
    }
    this.alive = true;
    this.engine = this.start();
  }

  /** Nothing that was applied had reached the disk. */
  forgetApplied(): void {
    if (this.disk.after.index > 0) return;
    this.applied = [];
    this.state = this.born;
  }

  get log(): readonly Entry[] {
    return this.disk.entries;
  }
}

export class Network<M> {
  readonly nodes = new Map<NodeId, NetworkNode<M>>();
  packets: Packet<M>[] = [];
  private readonly cutLinks = new Set<string>();
  /** Packets for which this answers true are lost. */
  drop: (packet: Packet<M>) => boolean = () => false;
  /** Every packet ever sent, also those lost. */
  readonly sent: Packet<M>[] = [];
  /** Snapshots travel at once unless this is set. */
  snapshotsHeld = false;
  readonly random: () => number;

  constructor(private readonly options: NetworkOptions<M>) {
    this.random = seededRandom(options.seed ?? 1);
    const membership = membershipOf(options.nodes, options.learners);
    for (const id of [...options.nodes, ...(options.learners ?? [])]) this.add(id, membership);
  }

  add(id: NodeId, membership: Membership): NetworkNode<M> {
    const random = seededRandom((this.options.seed ?? 1) * 31 + id);
    const initial = this.options.logs?.get(id);
    const node = new NetworkNode<M>(
      {
        electionTicks: 10,
        heartbeatTicks: 1,
        maxInflightMessages: 256,
        maxInflightBytes: 1 << 20,
        maxAppendBytes: 1 << 16,
        maxUncommittedBytes: 1 << 24,
        ...this.options.config,
        id,
        random,
      },
      this.options.create,
      membership,
      initial === undefined
        ? undefined
        : (disk) => {
            const { terms, term = terms.at(-1) ?? 0, vote = 0, commit = 0 } = initial;
            disk.hardState = { promised: { round: term, node: vote }, accepted: noBallot, commit };
            disk.entries = terms.map((epoch, i) => ({
              index: i + 1,
              epoch,
              kind: EntryKind.command,
              payload: payload(`${i + 1}@${epoch}`),
            }));
          },
    );
    this.nodes.set(id, node);
    return node;
  }

  node(id: NodeId): NetworkNode<M> {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  engine(id: NodeId): Engine<M> {
    return this.node(id).engine;
  }

  status(id: NodeId) {
    return this.engine(id).status();
  }

  step(id: NodeId, input: Input<M>): void {
    const node = this.node(id);
    if (node.alive) node.engine.step(input);
  }

  tick(id: NodeId, times = 1): void {
    for (let i = 0; i < times; i++) this.step(id, { kind: "tick" });
  }

  private proposals = 0;

  /** Proposes texts; returns the ids of the proposals. */
  propose(id: NodeId, ...texts: string[]): number[] {
    const proposals = texts.map((each) => ({ id: ++this.proposals, payload: payload(each) }));
    this.step(id, { kind: "propose", proposals });
    return proposals.map((proposal) => proposal.id);
  }

  /** Takes one Ready and acts on it; disk writes complete at once unless the disk is held. */
  process(id: NodeId): Ready<M> | undefined {
    const node = this.node(id);
    if (!node.alive || !node.engine.hasReady()) return undefined;
    const ready = node.engine.ready();
    node.lastReady = ready;
    this.post(id, ready.messages);
    if (ready.append !== undefined || node.writes.length > 0) {
      node.writes.push({ batch: ready.append, after: ready.messagesAfterAppend });
    } else {
      this.post(id, ready.messagesAfterAppend);
    }
    this.apply(node, ready);
    for (const { id: read, index } of ready.reads) node.reads.set(read, index);
    for (const { id: proposal, entry } of ready.appended) node.appended.set(proposal, entry);
    node.failed.push(...ready.failed);
    for (const wanted of ready.needSnapshot) {
      node.snapshotsAsked.push(wanted);
      if (!this.snapshotsHeld) this.sendSnapshot(id, wanted.to);
    }
    if (!node.diskHeld) this.persist(id);
    return ready;
  }

  private apply(node: NetworkNode<M>, ready: Ready<M>): void {
    const snapshot = ready.append?.snapshot;
    if (snapshot !== undefined) {
      const content = node.staged.get(snapshot.id.index);
      if (content === undefined) throw new Error(`snapshot ${snapshot.id.index} was never staged`);
      node.applied = [...content];
      node.state = snapshot;
    }
    for (const entry of ready.committed) {
      const { id, membership } = node.state;
      if (entry.index !== id.index + 1) throw new Error(`applied ${entry.index} after ${id.index}`);
      node.applied.push(entry);
      const changed = entry.kind === EntryKind.membership;
      node.state = {
        id: { index: entry.index, epoch: entry.epoch },
        membership: changed ? decodeMembership(entry.payload).membership : membership,
        membershipIndex: changed ? entry.index : node.state.membershipIndex,
      };
    }
    if (ready.committed.length > 0 && !node.applyHeld) {
      node.engine.step({ kind: "applied", index: node.state.id.index });
    }
  }

  /** Completes `count` disk writes of the node (all by default). */
  persist(id: NodeId, count = Number.POSITIVE_INFINITY): void {
    const node = this.node(id);
    for (let i = 0; i < count; i++) {
      const write = node.writes.shift();
      if (write === undefined) return;
      if (write.batch !== undefined) {
        node.disk.write(write.batch);
        node.engine.step({ kind: "persisted", mark: write.batch.mark });
      }
      this.post(id, write.after);
    }
  }

  /** Sends a snapshot of what `from` has applied. */
  sendSnapshot(from: NodeId, to: NodeId): void {
    const sender = this.node(from);
    const receiver = this.nodes.get(to);
    const meta = sender.state;
    if (receiver === undefined || !receiver.alive || this.isCut(from, to)) {
      sender.engine.step({ kind: "snapshotSent", to, ok: false, index: 0 });
      return;
    }
    receiver.staged.set(meta.id.index, [...sender.applied]);
    const epoch = sender.engine.status().epoch;
    receiver.engine.step({ kind: "snapshotReceived", from, epoch, snapshot: meta });
    sender.engine.step({ kind: "snapshotSent", to, ok: true, index: meta.id.index });
  }

  private post(from: NodeId, messages: readonly Outbound<M>[]): void {
    for (const { to, message, urgent } of messages) {
      const packet = { from, to, message, urgent };
      this.sent.push(packet);
      if (this.isCut(from, to) || this.drop(packet)) continue;
      this.packets.push(packet);
    }
  }

  deliver(packet: Packet<M>): void {
    if (this.nodes.has(packet.to)) {
      this.step(packet.to, { kind: "message", from: packet.from, message: packet.message });
    }
  }

  /** Delivers what is under way and takes every Ready until nothing moves any more. */
  settle(limit = 10_000): void {
    for (let round = 0; round < limit; round++) {
      let moved = false;
      for (const id of this.nodes.keys()) if (this.process(id) !== undefined) moved = true;
      const packets = this.packets;
      this.packets = [];
      for (const packet of packets) this.deliver(packet);
      if (!moved && packets.length === 0) return;
    }
    throw new Error("the network does not come to rest");
  }

  /** One tick everywhere, and everything that follows from it; `times` over. */
  run(times = 1): void {
    for (let i = 0; i < times; i++) {
      for (const id of this.nodes.keys()) this.tick(id);
      this.settle();
    }
  }

  /** Ticks only this node until it campaigns, and lets the others answer. */
  elect(id: NodeId): void {
    for (let i = 0; i < 100 && this.status(id).role !== "leader"; i++) {
      this.tick(id);
      this.settle();
    }
  }

  get leaders(): NodeId[] {
    return [...this.nodes.values()]
      .filter((node) => node.alive && node.engine.status().role === "leader")
      .map((node) => node.config.id);
  }

  // --- Faults ---------------------------------------------------------------------------------------

  private isCut(from: NodeId, to: NodeId): boolean {
    return this.cutLinks.has(`${from}>${to}`);
  }

  /** Loses everything from one to the other. */
  cutOneWay(from: NodeId, to: NodeId): void {
    this.cutLinks.add(`${from}>${to}`);
  }

  cut(a: NodeId, b: NodeId): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  isolate(id: NodeId): void {
    for (const other of this.nodes.keys()) if (other !== id) this.cut(id, other);
  }

  heal(): void {
    this.cutLinks.clear();
    this.drop = () => false;
  }

  crash(id: NodeId): void {
    this.node(id).alive = false;
  }

  restart(id: NodeId): void {
    this.node(id).restart();
  }
}
