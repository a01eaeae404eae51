// What a group is built from.

import type { Engine } from "../consensus/engine.js";
import type { Entry, MembershipChange, NodeId } from "../consensus/types.js";
import type { Wal } from "../wal/types.js";
import type { AnswerQuestion } from "./leader-questions.js";
import type { GroupObserver, Scheduler, Transport } from "./ports.js";
import type { GroupFailure } from "./proposer.js";
import type { StateMachine } from "./state-machine.js";

export interface GroupOptions<M> {
  /** Group number; 0 for the first. */
  readonly group: number;
  readonly node: NodeId;
  /** Drawn at every start of the process. */
  readonly incarnation: number;
  readonly engine: Engine<M>;
  readonly wal: Wal;
  readonly stateMachine: StateMachine;
  readonly transport: Transport<M>;
  readonly scheduler: Scheduler;
  /** Answers what nodes ask this one, taking it for the leader (Group.questions). Default: refuses. */
  readonly answerQuestion?: AnswerQuestion;
  readonly observer?: GroupObserver;
  /** Milliseconds after which a request that found no answer fails. etcd: 5 s + 2 election timeouts. */
  readonly requestTimeoutMs: number;
  readonly electionTimeoutMs: number;
  /** Payload bytes of the log kept in memory and on disk for followers that lag. */
  readonly retainedLogBytes: number;
  /** Entries kept likewise; the smaller of both bounds counts. */
  readonly retainedLogEntries: number;
  /** Entries found in the log at start. */
  readonly restoredEntries: readonly Entry[];
  /** Members removed or demoted only while enough others are connected (etcd's strict-reconfig-check). */
  readonly strictReconfiguration: boolean;
  /** What the applied state has against a change; asked on the leader when no other change is under way. */
  readonly objection?: (change: MembershipChange) => GroupFailure["reason"] | undefined;
  /** A bug of our own or a broken state machine: the process must end. */
  readonly fatal: (error: Error) => void;
}
