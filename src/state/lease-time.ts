// Connects the lessor with its node: the log and the questions of the group, the leases of the state.

import { Lessor } from "../lease/lessor.js";
import { encodeCheckpoint, encodeExpiry, encodeRenewal } from "../lease/messages.js";
import type { LeaderQuestions } from "../replication/leader-questions.js";
import type { GroupFailure, Proposer } from "../replication/proposer.js";
import { CommandKind, encodeCommand } from "./commands.js";
import type { ReplicatedState } from "./replicated-state.js";

/** What a lessor needs of a group. */
export interface LeaseGroup extends Pick<Proposer, "epoch" | "propose" | "readBarrier"> {
  readonly leads: boolean;
  readonly questions: Pick<LeaderQuestions, "ask">;
}

export interface LeaseTimeOptions {
  readonly state: ReplicatedState;
  /** Called when it is needed: the group is built with the lessor's answers. */
  readonly group: () => LeaseGroup;
  readonly now: () => number;
  readonly defer: (run: () => void) => void;
  readonly electionTimeoutMs: number;
}

/** The lessor hears of leases and epochs from the state; changes of the role and ticks are the caller's. */
export function createLessor(options: LeaseTimeOptions): Lessor<GroupFailure> {
  const { state, group } = options;
  const propose = (kind: CommandKind, request: Uint8Array, done: (applied: boolean) => void): void =>
    group().propose(encodeCommand(kind, request), undefined, (outcome) =>
      done((outcome as { readonly kind: string }).kind !== "failed"),
    );
  const lessor = new Lessor<GroupFailure>({
    leases: () => state.leases,
    applied: () => state.applied.id,
    leads: () => group().leads,
    epoch: () => group().epoch,
    now: options.now,
    defer: options.defer,
    expire: (expiry, done) => propose(CommandKind.leaseExpiry, encodeExpiry(expiry), done),
    checkpoint: (checkpoint, done) =>
      propose(CommandKind.leaseCheckpoint, encodeCheckpoint(checkpoint), done),
    renew: (ids, done) => propose(CommandKind.leaseRenewal, encodeRenewal(ids), done),
    barrier: (done) => group().readBarrier((failure) => done(failure === undefined)),
    ask: (question, done) => group().questions.ask(question, done),
    electionTimeoutMs: options.electionTimeoutMs,
  });
  state.leaseObserver = lessor;
  state.onEpoch = () => lessor.reconsider();
  return lessor;
}
