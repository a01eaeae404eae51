// The trace of a run: always folded into a hash, which two runs of one seed must share, and written out
// as text lines when somebody listens.

import type { EngineStatus, Input } from "../consensus/engine.js";
import type { NodeId } from "../consensus/types.js";
import type { Agenda } from "./agenda.js";

const inputCodes: Readonly<Record<Input<unknown>["kind"], number>> = {
  tick: 1,
  message: 2,
  propose: 3,
  read: 4,
  changeMembership: 5,
  transferLeadership: 6,
  persisted: 7,
  applied: 8,
  compact: 9,
  snapshotReceived: 10,
  snapshotSent: 11,
  unreachable: 12,
};

export class Trace {
  private low = 0x811c9dc5;
  private high = 0x9e3779b9;
  /** Inputs and events so far; a failure names the one that caused it. */
  steps = 0;

  constructor(
    private readonly agenda: Agenda,
    private readonly write: ((line: string) => void) | undefined,
  ) {}

  /** Of everything that happened so far. */
  get hash(): string {
    return [this.high, this.low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }

  event(node: NodeId, what: string, a: number, b: number): void {
    this.steps++;
    this.fold(node);
    this.fold(what.length * 31 + what.charCodeAt(0));
    this.fold(a);
    this.fold(b);
    this.write?.(`${this.head(node)} ${what} ${a} ${b}`);
  }

  input(node: NodeId, input: Input<unknown>): void {
    this.steps++;
    this.fold(this.agenda.now);
    this.fold(node * 16 + inputCodes[input.kind]);
    this.write?.(`${this.head(node)} ${JSON.stringify(input, brief)}`);
  }

  status({ role, epoch, commit, lastIndex, lastEpoch, applied }: EngineStatus): void {
    this.fold(role.length);
    this.fold(epoch);
    this.fold(commit);
    this.fold(applied);
    this.fold(lastIndex * 64 + lastEpoch);
    this.write?.(`${" ".repeat(18)}${role} term ${epoch} last ${lastIndex}@${lastEpoch} commit ${commit}`);
  }

  private fold(value: number): void {
    this.low = Math.imul(this.low ^ value, 0x01000193);
    this.high = Math.imul((this.high << 5) ^ (this.high >>> 27) ^ value, 0x85ebca6b);
  }

  private head(node: NodeId): string {
    return `${String(this.steps).padStart(7)} ${(this.agenda.now / 1000).toFixed(1).padStart(8)}ms n${node}`;
  }
}

/** Payloads as their length: what they say is of no interest to a reader. */
function brief(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? `<${value.length}>` : value;
}
