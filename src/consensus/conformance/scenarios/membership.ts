// Members come and go, and snapshots bring the far behind up to date.

import type { MembershipStep, NodeId } from "../../types.js";
import { expect, expectEqual } from "../expect.js";
import { Invariants } from "../invariants.js";
import { membershipOf, type Network, text } from "../network.js";
import { cluster, electionTicks, type Scenario, untilLeader } from "../scenario.js";

function change<M>(net: Network<M>, at: NodeId, steps: readonly MembershipStep[], joint?: boolean): number {
  const node = net.node(at);
  const id = 1_000_000 + node.appended.size + node.failed.length;
  const context = new Uint8Array(0);
  net.step(at, {
    kind: "changeMembership",
    id,
    change: joint === undefined ? { steps, context } : { steps, joint, context },
  });
  return id;
}

function compactAll<M>(net: Network<M>): void {
  for (const node of net.nodes.values()) {
    if (node.alive) node.engine.step({ kind: "compact", upTo: node.engine.status().applied });
  }
}

export const membership: readonly Scenario[] = [
  {
    name: "a follower behind the first index gets a snapshot, then the entries after it",
    run(create) {
      const net = cluster(create, 3);
      net.isolate(3);
      net.propose(1, "a", "b");
      net.run(2);
      compactAll(net);
      net.propose(1, "c");
      net.run(1);
      net.heal();
      net.run(3);
      expectEqual(net.node(3).applied.map(text).slice(-3), ["a", "b", "c"], "applied by node 3");
      const peer = net.status(1).progress.find((progress) => progress.node === 3);
      expectEqual(
        [peer?.state, peer?.match],
        ["replicate", net.status(1).lastIndex],
        "node 3 as the leader sees it",
      );
    },
  },
  {
    name: "a snapshot that fails is asked for again; one nobody reports is too, in time",
    run(create) {
      const net = cluster(create, 3);
      net.snapshotsHeld = true;
      net.isolate(3);
      net.propose(1, "a");
      net.run(2);
      compactAll(net);
      net.heal();
      net.run(3);
      const { snapshotsAsked } = net.node(1);
      expectEqual(snapshotsAsked.length, 1, "asked once");
      net.step(1, { kind: "snapshotSent", to: 3, ok: false, index: 0 });
      net.run(2);
      expectEqual(snapshotsAsked.length, 2, "asked again after a failure");
      // The target goes away without a report.
      net.isolate(3);
      net.run(3 * electionTicks);
      expectEqual(snapshotsAsked.length, 2, "not asked while the target is away");
      net.heal();
      net.run(3);
      expectEqual(snapshotsAsked.length, 3, "asked again when the target is back");
      net.sendSnapshot(1, 3);
      net.run(2);
      expectEqual(net.status(3).commit, net.status(1).commit, "commit of node 3");
    },
  },
  {
    name: "a slow follower whose entries under way are lost and compacted away gets a snapshot",
    run(create) {
      const net = cluster(create, 3, { config: { maxInflightMessages: 3, maxAppendBytes: 1 } });
      net.drop = (packet) => packet.to === 3 && !packet.urgent;
      for (const each of ["a", "b", "c", "d", "e", "f"]) {
        net.propose(1, each);
        net.settle();
      }
      compactAll(net);
      net.drop = () => false;
      net.run(4);
      expectEqual(net.node(1).snapshotsAsked.length, 1, "snapshots");
      expectEqual(net.node(3).applied.map(text).slice(-2), ["e", "f"], "applied by node 3");
      const peer = net.status(1).progress.find((progress) => progress.node === 3);
      expectEqual(peer?.state, "replicate", "state of node 3");
    },
  },
  {
    name: "a snapshot that arrives when the log no longer reaches back to it is followed by another",
    run(create) {
      const net = cluster(create, 3);
      net.snapshotsHeld = true;
      net.isolate(3);
      net.propose(1, "a");
      net.run(2);
      compactAll(net);
      net.heal();
      net.run(2);
      const early = net.node(1).state;
      net.node(3).staged.set(early.id.index, [...net.node(1).applied]);
      net.propose(1, "b", "c");
      net.run(2);
      compactAll(net);
      const { epoch } = net.status(1);
      net.step(3, { kind: "snapshotReceived", from: 1, epoch, snapshot: early });
      net.settle();
      net.snapshotsHeld = false;
      net.step(1, { kind: "snapshotSent", to: 3, ok: true, index: early.id.index });
      net.run(3);
      expectEqual(net.node(3).applied.map(text).slice(-3), ["a", "b", "c"], "applied by node 3");
    },
  },
  {
    name: "a snapshot counts as delivered when the follower acknowledges it, reported or not",
    run(create) {
      const net = cluster(create, 3);
      net.snapshotsHeld = true;
      net.isolate(3);
      net.propose(1, "a");
      net.run(2);
      compactAll(net);
      net.heal();
      net.run(3);
      const sender = net.node(1);
      net.node(3).staged.set(sender.state.id.index, [...sender.applied]);
      const { epoch } = net.status(1);
      net.step(3, { kind: "snapshotReceived", from: 1, epoch, snapshot: sender.state });
      net.propose(1, "b");
      net.settle();
      expectEqual(net.node(3).applied.map(text).slice(-2), ["a", "b"], "applied by node 3");
    },
  },
  {
    name: "two snapshots in quick succession leave the later one (etcd #18055)",
    run(create) {
      const net = cluster(create, 3);
      net.snapshotsHeld = true;
      net.isolate(3);
      net.propose(1, "a");
      net.run(2);
      const first = net.node(1).state;
      const firstContent = [...net.node(1).applied];
      net.propose(1, "b");
      net.run(2);
      compactAll(net);
      const second = net.node(1).state;
      const { epoch } = net.status(1);
      net.heal();
      net.node(3).staged.set(first.id.index, firstContent);
      net.node(3).staged.set(second.id.index, [...net.node(1).applied]);
      net.step(3, { kind: "snapshotReceived", from: 1, epoch, snapshot: first });
      net.step(3, { kind: "snapshotReceived", from: 1, epoch, snapshot: second });
      net.step(3, { kind: "snapshotReceived", from: 1, epoch, snapshot: first });
      net.settle();
      expectEqual(net.node(3).state.id, second.id, "state of node 3");
      net.propose(1, "c");
      net.run(3);
      expectEqual(net.node(3).applied.map(text).slice(-3), ["a", "b", "c"], "applied by node 3");
    },
  },
  {
    name: "a learner added while out of reach, with the log purged and no writes, still catches up (openraft #1828)",
    run(create) {
      const net = cluster(create, 3);
      net.propose(1, "a");
      net.run(1);
      net.add(4, membershipOf([]));
      net.isolate(4);
      change(net, 1, [{ op: "addLearner", node: 4 }]);
      net.run(2);
      compactAll(net);
      net.run(3 * electionTicks);
      net.heal();
      net.run(4);
      expectEqual(net.status(4).commit, net.status(1).commit, "commit of the learner");
      expectEqual(net.status(4).role, "learner", "role of the new member");
      expectEqual(net.node(4).applied.map(text).includes("a"), true, "its state");
    },
  },
  {
    name: "a voter is added and counts from the moment its entry is appended",
    run(create) {
      const net = cluster(create, 3);
      net.add(4, membershipOf([]));
      change(net, 1, [{ op: "addVoter", node: 4 }]);
      net.run(3);
      for (const id of [1, 2, 3, 4])
        expectEqual(net.status(id).membership.voters, [1, 2, 3, 4], `node ${id}`);
      net.crash(2);
      net.crash(3);
      net.propose(1, "a");
      net.run(3);
      expectEqual(net.node(1).applied.map(text).includes("a"), false, "committed by two of four");
    },
  },
  {
    name: "a second change waits for the first, and none is taken before an own entry is committed",
    run(create) {
      const net = cluster(create, 3);
      net.isolate(1);
      const first = change(net, 1, [{ op: "remove", node: 3 }]);
      const second = change(net, 1, [{ op: "remove", node: 2 }]);
      net.settle();
      expect(net.node(1).appended.has(first), "the first change was appended");
      const failure = net.node(1).failed.at(-1);
      expectEqual(
        [failure?.of, failure?.id, failure?.reason],
        ["membership", second, "changePending"],
        "failure",
      );
    },
  },
  {
    name: "an impossible change is refused with the reason",
    run(create) {
      const net = cluster(create, 1);
      change(net, 1, [{ op: "remove", node: 1 }]);
      change(net, 1, [{ op: "remove", node: 7 }]);
      net.settle();
      expectEqual(
        net.node(1).failed.map(({ reason }) => reason),
        ["invalidChange", "invalidChange"],
        "failures",
      );
      expect(
        net.node(1).failed.every(({ detail }) => detail !== undefined),
        "each says why",
      );
    },
  },
  {
    name: "a removed leader leads until its removal is committed, then the others go on without it",
    run(create) {
      const net = cluster(create, 3);
      change(net, 1, [{ op: "remove", node: 1 }]);
      net.process(1);
      expectEqual(net.leaders, [1], "leads while its removal is not committed");
      net.settle();
      expect(!net.leaders.includes(1), "still leads after its removal was committed");
      const next = untilLeader(net, 6 * electionTicks, [2, 3]);
      net.propose(next, "a");
      net.run(2);
      for (const id of [2, 3]) {
        expectEqual(net.status(id).membership.voters, [2, 3], `membership of ${id}`);
        expectEqual(net.node(id).applied.map(text).at(-1), "a", `applied by ${id}`);
      }
      const { epoch } = net.status(next);
      net.run(10 * electionTicks);
      expectEqual([net.leaders, net.status(next).epoch], [[next], epoch], "the removed node disturbs nobody");
    },
  },
  {
    name: "a removed follower learns of its removal and disturbs nobody",
    run(create) {
      const net = cluster(create, 3);
      const { epoch } = net.status(1);
      change(net, 1, [{ op: "remove", node: 3 }]);
      net.run(2);
      expectEqual(net.status(3).membership.voters, [1, 2], "what node 3 knows");
      expect(
        net.node(3).applied.some((entry) => entry.kind === 2),
        "node 3 applied its removal",
      );
      net.run(10 * electionTicks);
      expectEqual([net.leaders, net.status(1).epoch], [[1], epoch], "leader and epoch");
      expectEqual(
        net.status(1).progress.map(({ node }) => node),
        [2],
        "whom the leader serves",
      );
    },
  },
  {
    name: "a follower removed while out of reach comes back and disturbs nobody",
    run(create) {
      const net = cluster(create, 3);
      const { epoch } = net.status(1);
      net.isolate(3);
      change(net, 1, [{ op: "remove", node: 3 }]);
      net.run(10 * electionTicks);
      net.heal();
      net.run(10 * electionTicks);
      expectEqual([net.leaders, net.status(1).epoch], [[1], epoch], "leader and epoch");
    },
  },
  {
    name: "a joint change that replaces two of three voters leaves the joint membership by itself",
    run(create) {
      const net = cluster(create, 3);
      for (const id of [4, 5]) net.add(id, membershipOf([]));
      change(net, 1, [
        { op: "addVoter", node: 4 },
        { op: "addVoter", node: 5 },
        { op: "remove", node: 2 },
        { op: "remove", node: 3 },
      ]);
      net.run(3);
      for (const id of [1, 4, 5]) {
        expectEqual(net.status(id).membership, membershipOf([1, 4, 5]), `membership of ${id}`);
      }
      net.crash(2);
      net.crash(3);
      net.propose(1, "a");
      net.run(2);
      expectEqual(net.node(5).applied.map(text).at(-1), "a", "applied without the removed");
    },
  },
  {
    name: "an explicit joint membership needs both majorities and is left on request",
    run(create) {
      const net = cluster(create, 3);
      net.add(4, membershipOf([]));
      change(
        net,
        1,
        [
          { op: "addVoter", node: 4 },
          { op: "remove", node: 3 },
        ],
        true,
      );
      net.run(3);
      const joint = net.status(1).membership;
      expect(joint.outgoing.length === 3 || joint.autoLeave === false, "joint membership");
      if (joint.outgoing.length > 0) {
        change(net, 1, []);
        net.run(3);
      }
      expectEqual(net.status(4).membership, membershipOf([1, 2, 4]), "membership in the end");
    },
  },
  {
    name: "whoever crashes at whatever moment of a joint change, there is never a second quorum and it ends",
    run(create) {
      for (let moment = 0; moment < 24; moment++) {
        for (const victim of [1, 2, 4]) {
          const net = cluster(create, 3);
          const invariants = new Invariants(net);
          for (const id of [4, 5]) net.add(id, membershipOf([]));
          change(net, 1, [
            { op: "addVoter", node: 4 },
            { op: "addVoter", node: 5 },
            { op: "remove", node: 1 },
            { op: "remove", node: 2 },
          ]);
          let steps = 0;
          for (let round = 0; round < 12; round++) {
            for (const id of net.nodes.keys()) {
              if (steps++ === moment) net.crash(victim);
              net.process(id);
              invariants.check();
            }
            for (const packet of net.packets.splice(0)) net.deliver(packet);
          }
          net.run(6 * electionTicks);
          net.restart(victim);
          net.run(6 * electionTicks);
          invariants.check();
          const leader = untilLeader(net, 10 * electionTicks);
          net.run(5);
          invariants.check();
          const { outgoing, voters } = net.status(leader).membership;
          const ended = outgoing.length === 0;
          expect(ended, `crash of ${victim} at ${moment}: still joint, ${voters} and ${outgoing}`);
          const id = net.propose(leader, "after")[0]!;
          net.run(3);
          expect(net.node(leader).appended.has(id), "a write after the change");
          expectEqual(net.node(leader).applied.map(text).at(-1), "after", "applied after the change");
          invariants.check();
        }
      }
    },
  },
  {
    name: "a learner that was promoted but does not know it yet votes when asked",
    run(create) {
      const net = cluster(create, 2, { learners: [3] });
      net.cut(1, 3);
      net.cut(2, 3);
      change(net, 1, [{ op: "addVoter", node: 3 }]);
      net.run(2);
      expectEqual(net.status(2).membership.voters, [1, 2, 3], "node 2 knows");
      expectEqual(net.status(3).role, "learner", "node 3 does not");
      net.crash(1);
      net.heal();
      const leader = untilLeader(net, 10 * electionTicks);
      expectEqual(leader, 2, "elected with the vote of node 3");
      net.run(3);
      expectEqual(net.status(3).role, "follower", "role of node 3 in the end");
    },
  },
  {
    name: "learners receive everything, never lead, and do not count",
    run(create) {
      const net = cluster(create, 3, { learners: [4, 5] });
      net.crash(2);
      net.crash(3);
      net.propose(1, "a");
      net.run(3);
      expectEqual(net.node(1).applied.map(text).includes("a"), false, "committed with learners");
      net.crash(1);
      net.run(10 * electionTicks);
      expectEqual(net.leaders, [], "leaders among learners");
      for (const id of [1, 2, 3]) net.restart(id);
      const leader = untilLeader(net, 10 * electionTicks);
      net.propose(leader, "b");
      net.run(2);
      expectEqual(net.node(5).applied.map(text).at(-1), "b", "applied by the learner");
    },
  },
];
