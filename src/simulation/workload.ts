// The clients: each keeps a few operations under way, on the node it believes to lead, and moves on when
// one is answered, refused, or takes too long. A put is answered when the node that took it applies the
// very entry it became.

import type { Failure } from "../consensus/engine.js";
import type { Entry, EntryId, Index, NodeId, ProposalId, ReadId, Term } from "../consensus/types.js";
import type { Agenda } from "./agenda.js";
import type { Coverage } from "./coverage.js";
import type { NodeListener, SimulatedNode } from "./node.js";
import type { Oracle } from "./oracle.js";
import type { Random } from "./random.js";
import { encodePut, keyCount } from "./state-machine.js";
import type { WorkloadOptions } from "./swarm.js";

type Outcome = "answered" | "refused" | "unknown";

interface Operation {
  readonly kind: "put" | "read";
  readonly key: number;
  /** Of a put: its serial. */
  readonly serial: number;
  /** Of a read: what it must see. */
  readonly floor: Index;
  readonly node: NodeId;
  readonly settled: (outcome: Outcome) => void;
  entry: EntryId | undefined;
}

interface Client {
  target: NodeId;
  underWay: number;
  /** After a refusal a client rests, as the nodes may be choosing a leader. */
  restsUntilUs: number;
}

export class Workload<M> implements NodeListener<M> {
  private readonly puts = new Map<number, Operation>();
  private readonly reads = new Map<number, Operation>();
  /** Puts by the entry they became, on the node that took them. */
  private readonly positions = new Map<
    NodeId,
    Map<Index, { readonly epoch: Term; readonly id: ProposalId }>
  >();
  private readonly clients: Client[] = [];
  private nextId = 1;
  private stopped = false;

  constructor(
    private readonly agenda: Agenda,
    private readonly random: Random,
    private readonly options: WorkloadOptions,
    private readonly oracle: Oracle,
    private readonly coverage: Coverage,
    private readonly nodes: ReadonlyMap<NodeId, SimulatedNode<M>>,
  ) {}

  start(): void {
    for (let i = 0; i < this.options.clients; i++) {
      const client: Client = { target: 1, underWay: 0, restsUntilUs: 0 };
      this.clients.push(client);
      this.schedule(client);
    }
  }

  /** No new operations; those under way may still be answered. */
  stop(): void {
    this.stopped = true;
  }

  /** One put of its own on this node. */
  put(node: SimulatedNode<M>, settled: (outcome: Outcome) => void): void {
    this.ask(node, [this.begin("put", node.id, settled)]);
  }

  read(node: SimulatedNode<M>, settled: (outcome: Outcome) => void): void {
    const { id } = this.begin("read", node.id, settled);
    node.ask({ kind: "read", ids: [id] });
  }

  private schedule(client: Client): void {
    this.agenda.after(this.random.exponential(this.options.thinkUs), () => {
      if (this.stopped) return;
      this.turn(client);
      this.schedule(client);
    });
  }

  private turn(client: Client): void {
    if (this.agenda.now < client.restsUntilUs) return;
    const node = this.nodes.get(client.target);
    if (node?.running !== true) {
      this.redirect(client, 0);
      return;
    }
    const { window, readShare } = this.options;
    const free = window - client.underWay;
    if (free <= 0) return;
    const count = this.random.chance(0.3) ? free : 1;
    client.underWay += count;
    const settled = (outcome: Outcome) => {
      client.underWay--;
      if (outcome !== "answered") this.redirect(client, node.leaderHint);
    };
    const reads = this.random.chance(readShare);
    const begun = Array.from({ length: count }, () => this.begin(reads ? "read" : "put", node.id, settled));
    if (reads) node.ask({ kind: "read", ids: begun.map(({ id }) => id) });
    else this.ask(node, begun);
  }

  private ask(node: SimulatedNode<M>, puts: readonly { id: number; operation: Operation }[]): void {
    const padding = this.random.below(this.options.maxPaddingBytes + 1);
    node.ask({
      kind: "propose",
      proposals: puts.map(({ id, operation }) => ({ id, payload: encodePut(operation, padding) })),
    });
  }

  private begin(
    kind: Operation["kind"],
    node: NodeId,
    settled: (outcome: Outcome) => void,
  ): { id: number; operation: Operation } {
    const id = this.nextId++;
    const key = this.random.below(keyCount);
    const floor = kind === "read" ? this.oracle.beginRead(key) : 0;
    const operation: Operation = { kind, key, serial: id, floor, node, settled, entry: undefined };
    if (kind === "put") this.oracle.beginPut(id);
    this.coverage.count(kind === "put" ? "writesAsked" : "readsAsked");
    (kind === "put" ? this.puts : this.reads).set(id, operation);
    this.agenda.after(this.options.patienceUs, () => this.settle(id, operation, "unknown"));
    return { id, operation };
  }

  private settle(id: number, operation: Operation, outcome: Outcome): void {
    const table = operation.kind === "put" ? this.puts : this.reads;
    if (!table.delete(id)) return;
    if (operation.entry !== undefined) this.positions.get(operation.node)?.delete(operation.entry.index);
    if (operation.kind === "put") {
      if (outcome === "answered") this.oracle.acknowledged(operation.serial);
      if (outcome === "refused") this.oracle.refused(operation.serial);
    }
    this.count(operation.kind, outcome);
    operation.settled(outcome);
  }

  private count(kind: Operation["kind"], outcome: Outcome): void {
    switch (outcome) {
      case "answered":
        this.coverage.count(kind === "put" ? "writesAcknowledged" : "readsAnswered");
        break;
      case "refused":
        this.coverage.count(kind === "put" ? "writesRefused" : "readsRefused");
        break;
      case "unknown":
        if (kind === "put") this.coverage.count("writesUnknown");
        break;
      default:
        outcome satisfies never;
    }
  }

  private redirect(client: Client, hint: NodeId): void {
    client.restsUntilUs = this.agenda.now + this.random.exponential(this.options.restUs);
    const useHint = hint !== 0 && this.random.chance(0.8);
    client.target = useHint ? hint : this.random.pick([...this.nodes.keys()]);
  }

  // What nodes report.

  proposalAppended(node: SimulatedNode<M>, id: ProposalId, entry: EntryId): void {
    const operation = this.puts.get(id);
    if (operation === undefined) return;
    operation.entry = entry;
    let positions = this.positions.get(node.id);
    if (positions === undefined) this.positions.set(node.id, (positions = new Map()));
    positions.set(entry.index, { epoch: entry.epoch, id });
  }

  failed(_node: SimulatedNode<M>, { of, id, reason }: Failure): void {
    if (of === "membership") this.coverage.count("membershipChangesRefused");
    const operation = of === "proposal" ? this.puts.get(id) : of === "read" ? this.reads.get(id) : undefined;
    if (operation === undefined) return;
    // A proposal that entered the log of a leader deposed since may still be committed by the next one.
    const certain = of === "read" || (operation.entry === undefined && reason !== "lostLeadership");
    this.settle(id, operation, certain ? "refused" : "unknown");
  }

  readReady(node: SimulatedNode<M>, id: ReadId): void {
    const operation = this.reads.get(id);
    if (operation === undefined) return;
    this.oracle.answered(operation.key, operation.floor, node.machine.values[operation.key]!);
    this.settle(id, operation, "answered");
  }

  applied(node: SimulatedNode<M>, entry: Entry): void {
    const position = this.positions.get(node.id)?.get(entry.index);
    if (position === undefined) return;
    const operation = this.puts.get(position.id);
    // Another entry took its place: this one cannot be committed any more.
    if (operation !== undefined) {
      this.settle(position.id, operation, position.epoch === entry.epoch ? "answered" : "refused");
    }
  }

  snapshotInstalled(node: SimulatedNode<M>): void {
    const { index } = node.machine.meta.id;
    for (const [at, { id }] of this.positions.get(node.id) ?? []) {
      const operation = this.puts.get(id);
      if (at <= index && operation !== undefined) this.settle(id, operation, "unknown");
    }
  }

  crashed(node: SimulatedNode<M>): void {
    for (const table of [this.puts, this.reads]) {
      for (const [id, operation] of table) {
        if (operation.node === node.id) this.settle(id, operation, "unknown");
      }
    }
    this.positions.delete(node.id);
  }
}
