// What an invariant sees and when it is asked. Every one is told of each change as it happens and keeps
// what it needs to judge the next: nothing is searched from the beginning at every step.

import type { DurableBatch, EngineStatus } from "../../consensus/engine.js";
import type { Entry, HardState, NodeId } from "../../consensus/types.js";
import type { SimulatedLog } from "../log.js";
import type { MachineState } from "../state-machine.js";
import type { Ledger } from "./ledger.js";

/** One node as the invariants see it, crashed or not. */
export interface NodeView {
  readonly id: NodeId;
  readonly running: boolean;
  /** How often the node was started. */
  readonly incarnation: number;
  /** Of the engine, after the present step; of no meaning while the node is down. */
  readonly status: EngineStatus;
  /** What the engine handed over so far. */
  readonly log: SimulatedLog;
  readonly hardState: HardState;
  readonly machine: MachineState;
  /** What a crash at this moment leaves. */
  readonly durableLog: SimulatedLog;
}

export interface ClusterView {
  readonly nodes: ReadonlyMap<NodeId, NodeView>;
  readonly ledger: Ledger;
}

/** A property that holds at every moment of every run. The hooks throw Violation when it does not. */
export interface Invariant {
  readonly name: string;
  /** The node was started, for the first time or again, from what its disk holds. */
  started?(node: NodeView): void;
  /** The engine took one input; `node.status` is what it says now. */
  stepped?(node: NodeView): void;
  /** The engine handed over a batch; `node.log` does not hold it yet. */
  appending?(node: NodeView, batch: DurableBatch): void;
  /** The batch is in `node.log`; not yet durable. */
  appended?(node: NodeView, batch: DurableBatch): void;
  /** The engine handed an entry over to be applied. `first`: no node did so before for this index. */
  committed?(node: NodeView, entry: Entry, first: boolean): void;
  /** The state machine took the entry, or the state of a snapshot. */
  applied?(node: NodeView): void;
}

/** What was expected, and what was found. The simulation adds seed, step and place. */
export class Violation extends Error {
  override readonly name = "Violation";

  constructor(
    readonly expected: string,
    readonly found: string,
    /** What was violated, when it is not an invariant of this folder. */
    readonly property?: "client oracle" | "liveness" | "rules of Ready",
  ) {
    super(`expected ${expected}; found ${found}`);
  }
}

export function violated(expected: string, found: string, property?: Violation["property"]): never {
  throw new Violation(expected, found, property);
}
