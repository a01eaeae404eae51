// Majority and joint arithmetic against a naive oracle and against etcd-raft's published vectors.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Index, NodeId } from "../types.js";
import { type DatadrivenCase, parseDatadriven } from "./datadriven.js";
import { jointCommittedIndex, jointVoteResult } from "./joint.js";
import { committedIndex, everything, majorityOf, type VoteOutcome, voteResult } from "./majority.js";

const folder = resolve("../shared/vectors/etcd-raft/quorum/testdata");
const skip = existsSync(folder) ? false : "etcd-raft's vectors are not here";

/** The definition: the highest index that more than half of the voters have. */
function naiveCommitted(voters: readonly NodeId[], acked: (id: NodeId) => Index): Index {
  if (voters.length === 0) return everything;
  const candidates = [0, ...voters.map(acked)];
  return Math.max(
    ...candidates.filter(
      (index) => index === 0 || voters.filter((id) => acked(id) >= index).length * 2 > voters.length,
    ),
  );
}

/** The definition: try every way in which the missing votes may still arrive. */
function naiveVote(
  voters: readonly NodeId[],
  outgoing: readonly NodeId[],
  votes: ReadonlyMap<NodeId, boolean>,
): VoteOutcome {
  const all = [...new Set([...voters, ...outgoing])];
  const missing = all.filter((id) => !votes.has(id));
  const outcomes = new Set<boolean>();
  for (let bits = 0; bits < 2 ** missing.length; bits++) {
    const full = (id: NodeId) => votes.get(id) ?? ((bits >> missing.indexOf(id)) & 1) === 1;
    outcomes.add(
      [voters, outgoing].every((half) => half.length === 0 || half.filter(full).length * 2 > half.length),
    );
  }
  if (outcomes.size === 2) return "pending";
  return outcomes.has(true) ? "won" : "lost";
}

const nodes = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 });
const table = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 10, maxLength: 10 });
const ballots = fc.array(fc.constantFrom(true, false, undefined), { minLength: 10, maxLength: 10 });

describe("a majority", () => {
  it("is more than half", () => {
    assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(majorityOf), [1, 2, 2, 3, 3, 4, 4]);
  });

  it("of nobody agrees to everything", () => {
    assert.equal(
      committedIndex([], () => 0),
      Number.MAX_SAFE_INTEGER,
    );
    assert.equal(
      voteResult([], () => undefined),
      "won",
    );
  });

  it("commits what the definition says", () => {
    fc.assert(
      fc.property(nodes, table, (voters, acks) => {
        const acked = (id: NodeId) => acks[id]!;
        assert.equal(committedIndex(voters, acked), naiveCommitted(voters, acked));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a joint majority", () => {
  it("commits the lower of what both halves have", () => {
    fc.assert(
      fc.property(nodes, nodes, table, (voters, outgoing, acks) => {
        const acked = (id: NodeId) => acks[id]!;
        assert.equal(
          jointCommittedIndex({ voters, outgoing }, acked),
          Math.min(naiveCommitted(voters, acked), naiveCommitted(outgoing, acked)),
        );
      }),
      { numRuns: 2000 },
    );
  });

  it("decides a vote exactly when the missing votes cannot change it", () => {
    fc.assert(
      fc.property(nodes, nodes, ballots, (voters, outgoing, given) => {
        const votes = new Map<NodeId, boolean>();
        given.forEach((vote, id) => {
          if (vote !== undefined) votes.set(id, vote);
        });
        const expected = naiveVote(voters, outgoing, votes);
        assert.equal(
          jointVoteResult({ voters, outgoing }, (id) => votes.get(id)),
          expected,
        );
        if (outgoing.length === 0)
          assert.equal(
            voteResult(voters, (id) => votes.get(id)),
            expected,
          );
      }),
      { numRuns: 2000 },
    );
  });

  it("needs both halves: (1)&&(2), appendix of the specification", () => {
    const joint = { voters: [1], outgoing: [2] };
    const vote = (one?: boolean, two?: boolean) => jointVoteResult(joint, (id) => (id === 1 ? one : two));
    assert.equal(vote(true, undefined), "pending");
    assert.equal(vote(true, true), "won");
    assert.equal(vote(false, undefined), "lost");
    assert.equal(vote(true, false), "lost");
    assert.equal(
      jointCommittedIndex(joint, (id) => (id === 1 ? 100 : 0)),
      0,
    );
    assert.equal(
      jointCommittedIndex(joint, (id) => (id === 1 ? 13 : 100)),
      13,
    );
  });
});

describe("etcd-raft's quorum vectors", { skip }, () => {
  for (const name of skip === false ? readdirSync(folder).sort() : []) {
    it(name, () => {
      const cases = parseDatadriven(readFileSync(join(folder, name), "utf8"));
      assert.ok(cases.length > 0);
      for (const example of cases) check(example, `${name}:${example.line}`);
    });
  }
});

function check({ command, options, expected }: DatadrivenCase, where: string): void {
  const list = (key: string) => (options.get(key) ?? []).filter((word) => word !== "zero");
  const voters = list("cfg").map(Number);
  const outgoing = list("cfgj").map(Number);
  const values = new Map<NodeId, string>();
  const given = [...list("idx"), ...list("votes")];
  for (const id of new Set([...voters, ...outgoing])) values.set(id, given[values.size] ?? "_");
  const result = expected.split("\n").at(-1)!;
  switch (command) {
    case "committed": {
      const acked = (id: NodeId) => (values.get(id) === "_" ? 0 : Number(values.get(id)));
      const index = result.endsWith("∞") ? everything : Number(result);
      assert.equal(jointCommittedIndex({ voters, outgoing }, acked), index, where);
      if (outgoing.length > 0) break;
      assert.equal(committedIndex(voters, acked), index, where);
      assert.equal(jointCommittedIndex({ voters, outgoing: voters }, acked), index, where);
      break;
    }
    case "vote": {
      const votes = (id: NodeId) => (values.get(id) === "_" ? undefined : values.get(id) === "y");
      const outcome = result.slice("Vote".length).toLowerCase();
      assert.equal(jointVoteResult({ voters, outgoing }, votes), outcome, where);
      if (outgoing.length > 0) break;
      assert.equal(voteResult(voters, votes), outcome, where);
      assert.equal(jointVoteResult({ voters, outgoing: voters }, votes), outcome, where);
      break;
    }
    default:
      assert.fail(`${where}: ${command} is not a command of the quorum vectors`);
  }
}
