import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { membershipOf } from "../conformance/network.js";
import type { Membership, NodeId } from "../types.js";
import { Quorums } from "./quorums.js";

const size = fc.integer({ min: 1, max: 7 });
const sizes = fc.record({ acceptors: fc.integer({ min: 0, max: 7 }), incoming: size, outgoing: size });
const subset = (count: number) => fc.subarray(Array.from({ length: count }, (_, i) => i + 1));

const has = (nodes: readonly NodeId[]) => (node: NodeId) => nodes.includes(node);

test("every promise quorum shares a node with every accept quorum and with every promise quorum", () => {
  fc.assert(
    fc.property(
      sizes.chain(({ acceptors, incoming }) =>
        fc.record({
          quorums: fc.constant(new Quorums(acceptors)),
          membership: fc.constant(membershipOf(Array.from({ length: incoming }, (_, i) => i + 1))),
          a: subset(incoming),
          b: subset(incoming),
        }),
      ),
      ({ quorums, membership, a, b }) => {
        if (!quorums.promised([membership], has(a))) return;
        const met = quorums.hears([membership], has(b)) || quorums.promised([membership], has(b));
        if (met)
          assert.ok(
            a.some((node) => b.includes(node)),
            `${a} and ${b}`,
          );
      },
    ),
    { numRuns: 2000 },
  );
});

test("accepted() is the highest number that an accept quorum of every membership has reached", () => {
  fc.assert(
    fc.property(
      sizes.chain(({ acceptors, incoming, outgoing }) =>
        fc.record({
          quorums: fc.constant(new Quorums(acceptors)),
          memberships: fc.constant<readonly Membership[]>([
            membershipOf(Array.from({ length: incoming }, (_, i) => i + 1)),
            {
              ...membershipOf(Array.from({ length: outgoing }, (_, i) => i + 1)),
              outgoing: Array.from({ length: incoming }, (_, i) => i + 4),
            },
          ]),
          reached: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 12, maxLength: 12 }),
        }),
      ),
      ({ quorums, memberships, reached }) => {
        const of = (node: NodeId) => reached[node]!;
        let naive = 0;
        for (let index = 0; index <= 9; index++) {
          if (quorums.hears(memberships, (node) => of(node) >= index)) naive = index;
        }
        assert.equal(quorums.accepted(memberships, of), naive);
      },
    ),
  );
});

test("a membership without voters has no quorum of any kind", () => {
  const quorums = new Quorums(0);
  for (const memberships of [[membershipOf([])], [membershipOf([]), membershipOf([1])]]) {
    assert.equal(
      quorums.promised(memberships, () => true),
      false,
    );
    assert.equal(
      quorums.hears(memberships, () => true),
      false,
    );
    assert.equal(
      quorums.accepted(memberships, () => 7),
      0,
    );
  }
});

test("two of five accept when asked for, and then four promise", () => {
  const quorums = new Quorums(2);
  assert.deepEqual([quorums.acceptSize(5), quorums.promiseSize(5)], [2, 4]);
  assert.deepEqual([quorums.acceptSize(3), quorums.promiseSize(3)], [2, 2]);
  assert.deepEqual([quorums.acceptSize(1), quorums.promiseSize(1)], [1, 1]);
});
