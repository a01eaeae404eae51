import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LeaderQuestions } from "./leader-questions.js";
import { failure, type GroupFailure } from "./proposer.js";

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe("questions to the leader", () => {
  const open = (): { questions: LeaderQuestions; answers: (string | GroupFailure)[] } => {
    const answers: (string | GroupFailure)[] = [];
    const questions = new LeaderQuestions(1000, 50, 2);
    const done = (answer: Uint8Array | GroupFailure): void =>
      void answers.push(answer instanceof Uint8Array ? Buffer.from(answer).toString() : answer);
    assert.ok(questions.add(bytes("one"), done, 0));
    assert.ok(questions.add(bytes("two"), done, 10));
    assert.equal(questions.add(bytes("three"), done, 10), false, "bounded");
    return { questions, answers };
  };

  it("are asked once, answered once, and numbered from the incarnation on", () => {
    const { questions, answers } = open();
    assert.deepEqual(
      questions.toAsk(4, 1).map(({ id }) => id),
      [1001, 1002],
    );
    assert.equal(questions.hasUnasked, false);
    assert.deepEqual(questions.toAsk(4, 1), []);
    questions.answered(1002, bytes("two!"));
    questions.answered(1002, bytes("again"));
    questions.answered(7, bytes("of an earlier life"));
    assert.deepEqual(answers, ["two!"]);
  });

  it("are asked again after a refusal of the leader that was asked, and of no other", () => {
    const { questions } = open();
    questions.toAsk(4, 1);
    questions.refused(1001, 2);
    assert.equal(questions.hasUnasked, false);
    questions.refused(1001, 1);
    questions.refused(1001, 1);
    assert.equal(questions.hasUnasked, true);
    assert.deepEqual(
      questions.toAsk(4, 1).map(({ id }) => id),
      [1001],
    );
    assert.equal(questions.hasUnasked, false);
  });

  it("are all asked again when leadership moves, and the first answer counts", () => {
    const { questions, answers } = open();
    questions.toAsk(4, 1);
    questions.askAgain();
    questions.answered(1001, bytes("of the old leader"));
    assert.deepEqual(
      questions.toAsk(5, 2).map(({ id }) => id),
      [1002],
    );
    questions.answered(1001, bytes("of the new one"));
    assert.deepEqual(answers, ["of the old leader"]);
    assert.equal(questions.hasUnasked, false);
  });

  it("fail when their time is over", () => {
    const { questions, answers } = open();
    const timeout = failure("timeout", "unknown");
    questions.expire(49, timeout);
    assert.deepEqual(answers, []);
    questions.expire(50, timeout);
    assert.deepEqual(answers, [timeout]);
    questions.expire(Number.POSITIVE_INFINITY, timeout);
    assert.deepEqual(answers, [timeout, timeout]);
    assert.equal(questions.hasUnasked, false);
  });
});
