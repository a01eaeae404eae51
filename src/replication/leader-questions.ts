// Questions that only the leader can answer because it alone keeps what they are about, and in memory
// only. A question is asked of whoever leads until it is answered or its time is over; an answer may
// get lost, so asking twice must do no harm.

import type { NodeId } from "../consensus/types.js";
import type { Scheduler, Transport } from "./ports.js";
import { failure, type GroupFailure } from "./proposer.js";

/**
 * Answers a question on the leader. With undefined when this node does not lead, or cannot answer yet:
 * then it is asked again.
 */
export type AnswerQuestion = (question: Uint8Array, reply: (answer: Uint8Array | undefined) => void) => void;

export interface LeaderQuestionsOptions {
  readonly node: NodeId;
  /** Ids begin here, so that answers to an earlier life of this node are not taken for ours. */
  readonly incarnation: number;
  readonly requestTimeoutMs: number;
  readonly transport: Pick<Transport<never>, "askLeader" | "answerQuestion">;
  readonly scheduler: Pick<Scheduler, "now">;
  /** Default: refuses everything. */
  readonly answerQuestion?: AnswerQuestion;
}

/** Open questions of this node, at most. */
export const openLimit = 200_000;

type Done = (answer: Uint8Array | GroupFailure) => void;

interface Question {
  readonly id: number;
  readonly payload: Uint8Array;
  readonly done: Done;
  readonly deadlineAt: number;
  /** Who was asked; 0: ask (again) at the next turn. */
  askedOf: NodeId;
}

export class LeaderQuestions {
  private lastId: number;
  private readonly open = new Map<number, Question>();
  private unasked = 0;
  /** Refused questions wait for the next tick or for another leader. */
  private hold = false;
  private stopped = false;

  /** @param wake has `askLeader` called soon. */
  constructor(
    private readonly options: LeaderQuestionsOptions,
    private readonly wake: () => void,
  ) {
    this.lastId = options.incarnation;
  }

  /** `done` runs once, with the answer of whoever leads or with the failure. */
  ask(payload: Uint8Array, done: Done): void {
    if (this.stopped) return done(failure("stopped", "refused"));
    if (this.open.size >= openLimit) return done(failure("tooManyRequests", "refused"));
    const deadlineAt = this.options.scheduler.now() + this.options.requestTimeoutMs;
    const id = ++this.lastId;
    this.open.set(id, { id, payload, done, deadlineAt, askedOf: 0 });
    this.unasked++;
    this.wake();
  }

  /** Another node takes this one for the leader. */
  receive(from: NodeId, id: number, question: Uint8Array): void {
    const { transport, answerQuestion } = this.options;
    const reply = (answer: Uint8Array | undefined): void => transport.answerQuestion(from, id, answer);
    if (this.stopped || answerQuestion === undefined) reply(undefined);
    else answerQuestion(question, reply);
  }

  /** The answer of a node that was asked; undefined: it could not. */
  answered(by: NodeId, id: number, answer: Uint8Array | undefined): void {
    const question = this.open.get(id);
    if (question === undefined) return;
    if (answer === undefined) return this.refused(question, by);
    this.forget(question);
    question.done(answer);
  }

  /** A refusal by an earlier leader means nothing. */
  private refused(question: Question, by: NodeId): void {
    if (question.askedOf !== by) return;
    question.askedOf = 0;
    this.unasked++;
    this.hold = true;
  }

  /** Asks what is to be asked. */
  askLeader(leader: NodeId): void {
    if (this.unasked === 0 || this.hold || leader === 0) return;
    const { node, transport, answerQuestion } = this.options;
    for (const question of [...this.open.values()]) {
      if (question.askedOf !== 0) continue;
      const { id, payload } = question;
      question.askedOf = leader;
      this.unasked--;
      if (leader !== node) {
        if (!transport.askLeader(leader, id, payload)) this.refused(question, leader);
      } else if (answerQuestion === undefined) this.refused(question, node);
      else answerQuestion(payload, (answer) => this.answered(node, id, answer));
    }
  }

  /** Leadership moved or the link to the leader broke: everything is asked again. */
  askAgain(): void {
    this.hold = false;
    for (const question of this.open.values()) question.askedOf = 0;
    this.unasked = this.open.size;
  }

  private forget(question: Question): void {
    this.open.delete(question.id);
    if (question.askedOf === 0) this.unasked--;
  }

  /** What was refused may be asked again; what has waited too long fails. */
  tick(leader: NodeId): void {
    this.hold = false;
    const now = this.options.scheduler.now();
    for (const question of this.open.values()) {
      if (question.deadlineAt > now) break;
      this.forget(question);
      question.done(failure(leader === 0 ? "noLeader" : "timeout", "unknown"));
    }
  }

  /** Fails everything that waits. */
  stop(): void {
    this.stopped = true;
    for (const question of this.open.values()) {
      this.forget(question);
      question.done(failure("stopped", "unknown"));
    }
  }
}
