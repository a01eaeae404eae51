// What a group needs of the state machine it drives. Apply is synchronous and deterministic: equal
// logs give equal states on every node. Durability follows behind, a prefix of the log at a time.

import type { EntryId, Membership, SnapshotMeta } from "../consensus/types.js";

/** Outcome of one command on the node that asked for it; opaque to the group. */
export type CommandResult = unknown;

export interface StateMachine {
  /** Id of the last applied entry, and the membership as of then. */
  readonly applied: SnapshotMeta;
  /** Highest index whose effects survive a power loss; the log is never cut above it. */
  readonly durableIndex: number;
  /** True when the disk lags so far that proposals must wait. */
  readonly overloaded: boolean;

  /**
   * Fetches what apply() needs and memory does not hold. Undefined (the usual case) when apply()
   * can run at once. The state does not change between prepare and apply of one command.
   * @param wantResult as apply() will be told: without it, less may be needed.
   */
  prepare(command: Uint8Array, wantResult: boolean): Promise<void> | undefined;
  /**
   * Whether apply() could make sense of these bytes; asked of what another node wants appended. True of
   * everything when left out.
   */
  understands?(command: Uint8Array): boolean;
  /**
   * Applies one command of the entry `id`. Errors of the request are results, not exceptions; an
   * exception is a bug and stops the process.
   * @param wantResult false on nodes where nobody waits for the outcome.
   * @param request what the proposer passed to propose(), on the node that proposed; spares decoding.
   */
  apply(command: Uint8Array, id: EntryId, wantResult: boolean, request: unknown): CommandResult;
  /** A membership entry was committed; `context` is what the change carried. */
  applyMembership(membership: Membership, context: Uint8Array, id: EntryId): void;
  /** All commands of the entry were applied; called once for every entry, no-ops included. */
  endEntry(id: EntryId): void;

  /** Makes everything applied so far durable. */
  flush(): Promise<void>;
  /** A consistent picture of the state at `meta`; abandoning the iteration releases it. */
  snapshot(): Promise<{ readonly meta: SnapshotMeta; readonly chunks: AsyncIterable<Uint8Array> }>;
  /** Prepares to receive a snapshot beside the present state, which stays in force. */
  receiveSnapshot(meta: SnapshotMeta): Promise<SnapshotSink>;
  close(): Promise<void>;
}

export interface SnapshotSink {
  /** Takes the next chunk, as cut by snapshot(). Resolves when more is welcome. */
  write(chunk: Uint8Array): Promise<void>;
  /** All chunks are there and verified: makes them durable, still beside the present state. */
  finish(): Promise<void>;
  /** Replaces the present state, atomically and durably. Only after finish(). */
  install(): Promise<void>;
  /** Forgets what was received. */
  abort(): Promise<void>;
}
