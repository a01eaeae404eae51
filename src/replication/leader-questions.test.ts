import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AnswerQuestion, LeaderQuestions, openLimit } from "./leader-questions.js";
import { failure, type GroupFailure } from "./proposer.js";

const bytes = (text: string): Uint8Array => Buffer.from(text);

/** Node 1 of a cluster; what it sends is written down. */
class Desk {
  now = 0;
  sent: string[] = [];
  up = true;
  wakes = 0;
  readonly outcomes: (string | GroupFailure)[] = [];
  readonly questions: LeaderQuestions;

  constructor(answerQuestion?: AnswerQuestion) {
    this.questions = new LeaderQuestions(
      {
        node: 1,
        incarnation: 1000,
        requestTimeoutMs: 50,
        transport: {
          askLeader: (to, id, question) => {
            if (this.up) this.sent.push(`${to} ? ${id} ${Buffer.from(question)}`);
            return this.up;
          },
          answerQuestion: (to, id, answer) =>
            void this.sent.push(`${to} ! ${id} ${answer === undefined ? "refused" : Buffer.from(answer)}`),
        },
        scheduler: { now: () => this.now },
        ...(answerQuestion === undefined ? {} : { answerQuestion }),
      },
      () => this.wakes++,
    );
  }

  ask(question: string): void {
    this.questions.ask(bytes(question), (answer) =>
      this.outcomes.push(answer instanceof Uint8Array ? Buffer.from(answer).toString() : answer),
    );
  }

  /** What the next turn sends while this node leads. */
  turn(leader: number): string[] {
    this.sent = [];
    this.questions.askLeader(leader);
    return this.sent;
  }
}

const echo: AnswerQuestion = (question, reply) => reply(Buffer.concat([question, bytes("!")]));

describe("questions to the leader", () => {
  it("are asked once, answered once, and numbered from the incarnation on", () => {
    const desk = new Desk();
    desk.ask("one");
    desk.ask("two");
    assert.equal(desk.wakes, 2);
    assert.deepEqual(desk.turn(0), []);
    assert.deepEqual(desk.turn(2), ["2 ? 1001 one", "2 ? 1002 two"]);
    assert.deepEqual(desk.turn(2), []);
    desk.questions.answered(2, 1002, bytes("two!"));
    desk.questions.answered(2, 1002, bytes("again"));
    desk.questions.answered(2, 7, bytes("to an earlier life"));
    assert.deepEqual(desk.outcomes, ["two!"]);
  });

  it("are answered here while this node leads, and refused by nodes that have no answers", () => {
    const desk = new Desk(echo);
    desk.ask("own");
    assert.deepEqual(desk.turn(1), []);
    assert.deepEqual(desk.outcomes, ["own!"]);
    desk.questions.receive(3, 5, bytes("theirs"));
    assert.deepEqual(desk.sent, ["3 ! 5 theirs!"]);
    const without = new Desk();
    without.questions.receive(3, 5, bytes("theirs"));
    assert.deepEqual(without.sent, ["3 ! 5 refused"]);
  });

  it("are asked again at the tick after the leader that was asked refused", () => {
    const desk = new Desk();
    desk.ask("one");
    desk.turn(2);
    desk.questions.answered(3, 1001, undefined);
    desk.questions.tick(2);
    assert.deepEqual(desk.turn(2), [], "another node's refusal means nothing");
    desk.questions.answered(2, 1001, undefined);
    desk.questions.answered(2, 1001, undefined);
    assert.deepEqual(desk.turn(2), []);
    desk.questions.tick(2);
    assert.deepEqual(desk.turn(2), ["2 ? 1001 one"]);
  });

  it("wait for the tick when the link is down", () => {
    const desk = new Desk();
    desk.up = false;
    desk.ask("one");
    desk.turn(2);
    desk.up = true;
    assert.deepEqual(desk.turn(2), []);
    desk.questions.tick(2);
    assert.deepEqual(desk.turn(2), ["2 ? 1001 one"]);
  });

  it("are all asked again when leadership moves, and the first answer counts", () => {
    const desk = new Desk();
    desk.ask("one");
    desk.ask("two");
    desk.turn(2);
    desk.questions.askAgain();
    desk.questions.answered(2, 1001, bytes("of the old leader"));
    assert.deepEqual(desk.turn(3), ["3 ? 1002 two"]);
    desk.questions.answered(3, 1001, bytes("of the new one"));
    assert.deepEqual(desk.outcomes, ["of the old leader"]);
  });

  it("fail when their time is over, when too many are open, and when the node stops", () => {
    const desk = new Desk();
    desk.ask("one");
    desk.now = 49;
    desk.questions.tick(2);
    desk.ask("two");
    assert.deepEqual(desk.outcomes, []);
    desk.now = 50;
    desk.questions.tick(0);
    desk.questions.stop();
    desk.ask("three");
    assert.deepEqual(desk.outcomes, [
      failure("noLeader", "unknown"),
      failure("stopped", "unknown"),
      failure("stopped", "refused"),
    ]);
    const full = new Desk();
    for (let count = 0; count <= openLimit; count++) full.ask("x");
    assert.deepEqual(full.outcomes, [failure("tooManyRequests", "refused")]);
  });
});
