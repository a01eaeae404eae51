// Membership changes and their encoding, against etcd-raft's published vectors and by property.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseDatadriven } from "../quorum/datadriven.js";
import type { Membership, MembershipStep } from "../types.js";
import {
  applyChange,
  type ChangeResult,
  changeDirectly,
  emptyMembership,
  enterJoint,
  isJoint,
  isMember,
  isVoter,
  leaveJoint,
  members,
} from "./change.js";
import { decodeMembership, encodeMembership, MembershipCodecError } from "./codec.js";

const folder = resolve("../shared/vectors/etcd-raft/confchange/testdata");
const skip = existsSync(folder) ? false : "etcd-raft's vectors are not here";
const none = new Uint8Array();

const of = (voters: number[], learners: number[] = []): Membership => ({
  ...emptyMembership,
  voters,
  learners,
});
const add = (node: number): MembershipStep => ({ op: "addVoter", node });
const learn = (node: number): MembershipStep => ({ op: "addLearner", node });
const remove = (node: number): MembershipStep => ({ op: "remove", node });

function accepted(result: ChangeResult): Membership {
  assert.ok(result.ok, result.ok ? "" : result.reason);
  return result.membership;
}

function refused(result: ChangeResult): string {
  assert.ok(!result.ok, "the change is refused");
  return result.reason;
}

const step = fc.record({
  op: fc.constantFrom("addVoter" as const, "addLearner" as const, "remove" as const),
  node: fc.oneof(fc.integer({ min: 1, max: 7 }), fc.constant(Number.MAX_SAFE_INTEGER)),
});
/** Memberships reached from one voter by arbitrary accepted changes. */
const reachable = fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 8 }).map((changes) =>
  changes.reduce(
    (current, steps) => {
      const result = applyChange(current, { steps, joint: steps.length % 2 === 0, context: none });
      return result.ok ? result.membership : current;
    },
    of([1]),
  ),
);

describe("a membership change", () => {
  it("of one step is applied directly", () => {
    assert.deepEqual(
      accepted(applyChange(of([1, 2, 3]), { steps: [add(4)], context: none })),
      of([1, 2, 3, 4]),
    );
    assert.deepEqual(
      accepted(applyChange(of([1, 2, 3]), { steps: [learn(3)], context: none })),
      of([1, 2], [3]),
    );
    assert.deepEqual(
      accepted(applyChange(of([1, 2], [3]), { steps: [add(3)], context: none })),
      of([1, 2, 3]),
    );
    assert.deepEqual(accepted(applyChange(of([1, 2, 3]), { steps: [remove(1)], context: none })), of([2, 3]));
  });

  it("of several steps is joint and left by the leader", () => {
    const joint = accepted(
      applyChange(of([1]), { steps: [remove(1), add(2), add(3), learn(4)], context: none }),
    );
    assert.deepEqual(joint, {
      voters: [2, 3],
      outgoing: [1],
      learners: [4],
      learnersNext: [],
      autoLeave: true,
    });
    assert.deepEqual(leaveJoint(joint), of([2, 3], [4]));
  });

  it("that asks to be joint is left by a change without steps", () => {
    const joint = accepted(applyChange(of([1]), { steps: [add(2)], joint: true, context: none }));
    assert.deepEqual(joint, {
      voters: [1, 2],
      outgoing: [1],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    });
    assert.deepEqual(accepted(applyChange(joint, { steps: [], context: none })), of([1, 2]));
  });

  it("demotes an outgoing voter only when the joint membership is left", () => {
    const joint = accepted(applyChange(of([1]), { steps: [add(2), learn(1)], context: none }));
    assert.deepEqual(joint.learnersNext, [1]);
    assert.ok(isVoter(joint, 1) && !joint.learners.includes(1));
    assert.deepEqual(leaveJoint(joint), of([2], [1]));
  });

  it("is refused when it is impossible", () => {
    assert.match(refused(applyChange(of([1]), { steps: [remove(1)], context: none })), /removed all voters/);
    assert.match(refused(applyChange(of([1]), { steps: [remove(9)], context: none })), /9 is not a member/);
    assert.match(refused(applyChange(of([1]), { steps: [add(0)], context: none })), /0 does not name a node/);
    assert.match(refused(applyChange(of([1]), { steps: [add(1.5)], context: none })), /does not name a node/);
    assert.match(refused(applyChange(of([1]), { steps: [], context: none })), /can't leave a non-joint/);
    const joint = accepted(applyChange(of([1]), { steps: [add(2)], joint: true, context: none }));
    assert.match(refused(applyChange(joint, { steps: [add(3)], context: none })), /joint/);
    assert.match(refused(applyChange(joint, { steps: [add(3), add(4)], context: none })), /already joint/);
  });

  it("keeps every set ascending and every node on one side", () => {
    fc.assert(
      fc.property(reachable, (membership) => {
        const { voters, outgoing, learners, learnersNext } = membership;
        for (const list of [voters, outgoing, learners, learnersNext, members(membership)]) {
          assert.deepEqual(
            list,
            [...new Set(list)].sort((a, b) => a - b),
          );
        }
        assert.ok(voters.length > 0);
        assert.ok(learners.every((id) => !isVoter(membership, id) && isMember(membership, id)));
        assert.ok(learnersNext.every((id) => outgoing.includes(id) && !voters.includes(id)));
        if (isJoint(membership)) assert.deepEqual(leaveJoint(membership).voters, voters);
      }),
    );
  });

  it("of one voter leaves any two majorities, old and new, with a common node", () => {
    fc.assert(
      fc.property(reachable, step, (membership, one) => {
        const result = changeDirectly(membership, [one]);
        if (!result.ok) return;
        const before = membership.voters;
        const after = result.membership.voters;
        const all = new Set([...before, ...after]).size;
        assert.ok(Math.floor(before.length / 2) + 1 + Math.floor(after.length / 2) + 1 > all);
      }),
    );
  });
});

describe("the encoding of a membership", () => {
  const context = fc.uint8Array({ maxLength: 300 });

  it("gives back what was put in", () => {
    fc.assert(
      fc.property(reachable, context, (membership, bytes) => {
        const decoded = decodeMembership(encodeMembership(membership, bytes));
        assert.deepEqual(decoded.membership, membership);
        assert.deepEqual([...decoded.context], [...bytes]);
      }),
    );
  });

  it("does not change between versions of the program", () => {
    const membership = { voters: [2, 300], outgoing: [1], learners: [4], learnersNext: [1], autoLeave: true };
    assert.equal(
      Buffer.from(encodeMembership(membership, new Uint8Array([7, 8]))).toString("hex"),
      "0101" + "0202aa02" + "0101" + "0104" + "0101" + "020708",
    );
    assert.equal(Buffer.from(encodeMembership(emptyMembership, none)).toString("hex"), "01000000000000");
  });

  it("refuses every truncation and every extension", () => {
    const payload = encodeMembership(of([1, 2, Number.MAX_SAFE_INTEGER], [5]), new Uint8Array([1, 2, 3]));
    for (let length = 0; length < payload.length; length++) {
      assert.throws(() => decodeMembership(payload.subarray(0, length)), MembershipCodecError);
    }
    assert.throws(() => decodeMembership(new Uint8Array([...payload, 0])), MembershipCodecError);
  });

  it("decodes arbitrary bytes to nothing but itself, or throws its own error", () => {
    const damaged = fc
      .tuple(reachable, context, fc.nat(), fc.nat(255))
      .map(([membership, bytes, at, value]) => {
        const payload = encodeMembership(membership, bytes);
        payload[at % payload.length] = value;
        return payload;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), damaged), (bytes) => {
        try {
          const { membership, context: rest } = decodeMembership(bytes);
          assert.deepEqual([...encodeMembership(membership, rest)], [...bytes]);
        } catch (error) {
          assert.ok(error instanceof MembershipCodecError, String(error));
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe("etcd-raft's configuration-change vectors", { skip }, () => {
  for (const name of skip === false ? readdirSync(folder).sort() : []) {
    it(name, () => {
      let current = emptyMembership;
      for (const { line, command, options, input, expected } of parseDatadriven(
        readFileSync(join(folder, name), "utf8"),
      )) {
        const steps = input.split(/\s+/).flatMap(stepsOf);
        const result = run(command, current, steps, options.get("autoleave")?.[0] === "true");
        if (result.ok) current = result.membership;
        const outcome = result.ok ? describeMembership(current) : result.reason;
        assert.equal(outcome, expected.split("\n")[0], `${name}:${line}`);
        if (!result.ok) continue;
        const listed = expected
          .split("\n")
          .slice(1)
          .map((row) => Number(row.split(":")[0]));
        assert.deepEqual(members(current), listed, `${name}:${line}`);
      }
    });
  }
});

function run(
  command: string,
  current: Membership,
  steps: readonly MembershipStep[],
  autoLeave: boolean,
): ChangeResult {
  switch (command) {
    case "simple":
      return changeDirectly(current, steps);
    case "enter-joint":
      return enterJoint(current, steps, autoLeave);
    case "leave-joint":
      return applyChange(current, { steps: [], context: none });
    default:
      return assert.fail(`${command} is not a command of the configuration-change vectors`);
  }
}

/** "v1" adds a voter, "l1" a learner, "r1" removes; "u1" updates data that lives outside the engine. */
function stepsOf(word: string): MembershipStep[] {
  const node = Number(word.slice(1));
  switch (word[0]) {
    case "v":
      return [add(node)];
    case "l":
      return [learn(node)];
    case "r":
      return [remove(node)];
    case "u":
    case undefined:
      return [];
    default:
      return assert.fail(`${word} is not a step of the configuration-change vectors`);
  }
}

function describeMembership(membership: Membership): string {
  const list = (ids: readonly number[]) => `(${ids.join(" ")})`;
  let text = `voters=${list(membership.voters)}`;
  if (isJoint(membership)) text += `&&${list(membership.outgoing)}`;
  if (membership.learners.length > 0) text += ` learners=${list(membership.learners)}`;
  if (membership.learnersNext.length > 0) text += ` learners_next=${list(membership.learnersNext)}`;
  return membership.autoLeave ? `${text} autoleave` : text;
}
