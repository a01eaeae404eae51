// Questions that only the leader can answer because it alone keeps what they are about, and in memory
// only. A question is asked of whoever leads until it is answered or its time is over; an answer may
// get lost, so asking twice must do no harm.

import type { NodeId, Term } from "../consensus/types.js";
import type { GroupFailure } from "./proposer.js";

/** Answers a question on the leader; with undefined when it cannot, or not yet: it is asked again. */
export type AnswerQuestion = (question: Uint8Array, reply: (answer: Uint8Array | undefined) => void) => void;

type Done = (answer: Uint8Array | GroupFailure) => void;

export interface Question {
  readonly id: number;
  readonly payload: Uint8Array;
  readonly done: Done;
  readonly deadlineAt: number;
  /** Epoch of the leader that was asked; 0: ask (again) at the next turn. */
  askedIn: Term;
  /** Who was asked. */
  askedOf: NodeId;
}

export class LeaderQuestions {
  private lastId: number;
  private readonly open = new Map<number, Question>();
  private unasked = 0;

  constructor(
    /** Ids begin here, so that answers to an earlier life of this node are not taken for ours. */
    incarnation: number,
    private readonly timeoutMs: number,
    /** Open questions, at most. */
    private readonly limit: number,
  ) {
    this.lastId = incarnation;
  }

  get hasUnasked(): boolean {
    return this.unasked > 0;
  }

  /** False when too many are open already. */
  add(payload: Uint8Array, done: Done, now: number): boolean {
    if (this.open.size >= this.limit) return false;
    const id = ++this.lastId;
    this.open.set(id, { id, payload, done, deadlineAt: now + this.timeoutMs, askedIn: 0, askedOf: 0 });
    this.unasked++;
    return true;
  }

  /** What is to be asked of the leader of `epoch` now. */
  toAsk(epoch: Term, leader: NodeId): Question[] {
    const questions: Question[] = [];
    for (const question of this.open.values()) {
      if (question.askedIn !== 0) continue;
      question.askedIn = epoch;
      question.askedOf = leader;
      questions.push(question);
    }
    this.unasked = 0;
    return questions;
  }

  answered(id: number, answer: Uint8Array): void {
    const question = this.open.get(id);
    if (question === undefined) return;
    this.forget(question);
    question.done(answer);
  }

  /** It was not asked, or whoever was asked could not answer. A refusal by an earlier leader means nothing. */
  refused(id: number, by: NodeId): void {
    const question = this.open.get(id);
    if (question === undefined || question.askedIn === 0 || question.askedOf !== by) return;
    question.askedIn = 0;
    this.unasked++;
  }

  /** Leadership moved or the link broke: everything is asked again. */
  askAgain(): void {
    for (const question of this.open.values()) question.askedIn = 0;
    this.unasked = this.open.size;
  }

  private forget(question: Question): void {
    this.open.delete(question.id);
    if (question.askedIn === 0) this.unasked--;
  }

  /** Fails what has waited too long; with `now` infinite, everything. */
  expire(now: number, failure: GroupFailure): void {
    for (const question of this.open.values()) {
      if (question.deadlineAt > now) break;
      this.forget(question);
      question.done(failure);
    }
  }
}
