// Who leads, and who must not.

import { expect, expectEqual } from "../expect.js";
import { Invariants } from "../invariants.js";
import { Network, text } from "../network.js";
import { cluster, electionTicks, others, type Scenario, untilLeader } from "../scenario.js";

export const elections: readonly Scenario[] = [
  {
    name: "five nodes that time out together never elect two leaders of one epoch, and soon elect one",
    run(create) {
      for (let seed = 1; seed <= 30; seed++) {
        const net = new Network({ create, nodes: [1, 2, 3, 4, 5], seed });
        const invariants = new Invariants(net);
        for (const id of net.nodes.keys()) net.tick(id, 2 * electionTicks);
        for (let i = 0; i < 400; i++) {
          for (const id of net.nodes.keys()) net.process(id);
          const at = net.packets.length === 0 ? -1 : net.random() % net.packets.length;
          for (const packet of at < 0 ? [] : net.packets.splice(at, 1)) net.deliver(packet);
          invariants.check();
        }
        untilLeader(net, 10 * electionTicks);
        invariants.check();
      }
    },
  },
  {
    name: "one voter alone leads at once and commits when its own disk has written",
    run(create) {
      const net = new Network({ create, nodes: [1] });
      net.run(2);
      expectEqual(net.leaders, [1], "leaders");
      net.node(1).diskHeld = true;
      net.propose(1, "a");
      net.settle();
      expectEqual(net.node(1).applied.map(text).includes("a"), false, "applied before the disk wrote");
      net.persist(1);
      net.settle();
      expectEqual(net.node(1).applied.at(-1)?.index, net.status(1).lastIndex, "applied");
    },
  },
  {
    name: "a node that was cut off and timed out many times comes back without unseating the leader",
    run(create) {
      const net = cluster(create, 3);
      const { epoch } = net.status(1);
      net.isolate(3);
      for (let i = 0; i < 10 * 2 * electionTicks; i++) net.run();
      net.propose(1, "a");
      net.run(2);
      net.heal();
      net.run(3 * electionTicks);
      expectEqual(net.leaders, [1], "leaders");
      expectEqual(net.status(1).epoch, epoch, "epoch");
      expectEqual(net.status(3).commit, net.status(1).commit, "commit of the returned node");
    },
  },
  {
    name: "a leader cut off from the majority stops within an election timeout and fails what waits",
    run(create) {
      const net = cluster(create, 5);
      const { epoch } = net.status(1);
      for (const far of [3, 4, 5]) for (const near of [1, 2]) net.cut(near, far);
      net.step(1, { kind: "read", ids: [77] });
      net.propose(1, "lost");
      net.run(electionTicks);
      expect(net.status(1).role !== "leader", "the cut off leader still leads");
      expectEqual(
        net.node(1).failed.map(({ of, id, reason }) => [of, id, reason]),
        [["read", 77, "lostLeadership"]],
        "failures",
      );
      const [refused] = net.propose(1, "refused");
      net.settle();
      expectEqual(net.node(1).failed.at(-1)?.id, refused, "the refused proposal");
      expectEqual(net.node(1).failed.at(-1)?.reason, "notLeader", "the reason");
      const next = untilLeader(net, 6 * electionTicks, [3, 4, 5]);
      expect(net.status(next).epoch > epoch, "the epoch did not grow");
      net.propose(next, "kept");
      net.run(2);
      net.heal();
      net.run(3 * electionTicks);
      for (const id of net.nodes.keys()) {
        const texts = net.node(id).applied.map(text);
        expect(texts.includes("kept") && !texts.includes("lost"), `node ${id} applied ${texts}`);
      }
    },
  },
  {
    name: "a leader that can send but not receive stops, and the others go on",
    run(create) {
      const net = cluster(create, 3);
      for (const id of [2, 3]) net.cutOneWay(id, 1);
      net.run(electionTicks);
      expect(net.status(1).role !== "leader", "the deaf leader still leads");
      const next = untilLeader(net, 6 * electionTicks, [2, 3]);
      net.propose(next, "a");
      net.run(2);
      expectEqual(net.node(2).applied.map(text).at(-1), "a", "applied");
    },
  },
  {
    name: "a leader that can receive but not send is replaced and stops",
    run(create) {
      const net = cluster(create, 3);
      for (const id of [2, 3]) net.cutOneWay(1, id);
      const next = untilLeader(net, 8 * electionTicks, [2, 3]);
      net.run(electionTicks);
      expectEqual(net.leaders, [next], "leaders");
    },
  },
  {
    name: "chained connections (each node sees only its neighbours) never elect two leaders of one epoch",
    run(create) {
      const net = cluster(create, 5);
      const invariants = new Invariants(net);
      for (let a = 1; a <= 5; a++) for (let b = a + 2; b <= 5; b++) net.cut(a, b);
      const { epoch } = net.status(1);
      for (let i = 0; i < 20 * electionTicks; i++) {
        net.run();
        invariants.check();
      }
      const highest = Math.max(...[...net.nodes.keys()].map((id) => net.status(id).epoch));
      expect(highest - epoch <= 20, `the epoch churned from ${epoch} to ${highest}`);
      net.heal();
      untilLeader(net, 10 * electionTicks);
    },
  },
  {
    name: "a restarted leader does not lead again in an epoch it led",
    run(create) {
      const net = cluster(create, 3);
      const { epoch } = net.status(1);
      net.crash(1);
      net.restart(1);
      expect(net.status(1).role !== "leader", "leads right after the restart");
      for (let i = 0; i < 6 * electionTicks; i++) {
        net.run();
        for (const id of net.leaders) {
          expect(id !== 1 || net.status(1).epoch > epoch, `node 1 leads epoch ${epoch} again`);
        }
      }
      expectEqual(net.leaders.length, 1, "leaders");
    },
  },
  {
    name: "a node whose log misses committed entries does not lead",
    run(create) {
      const net = cluster(create, 3);
      net.isolate(3);
      net.propose(1, "a", "b");
      net.run(2);
      net.crash(1);
      net.heal();
      net.elect(3);
      const leader = untilLeader(net, 8 * electionTicks);
      expectEqual(net.node(leader).applied.map(text).slice(-3, -1), ["a", "b"], "what the leader holds");
    },
  },
  {
    name: "leadership moves to a node that is up to date without waiting for a timeout",
    run(create) {
      const net = cluster(create, 3);
      net.step(1, { kind: "transferLeadership", to: 2 });
      net.settle();
      expectEqual(net.leaders, [2], "leaders");
    },
  },
  {
    name: "leadership moves to a slow node once it has caught up; meanwhile proposals are refused",
    run(create) {
      const net = cluster(create, 3);
      net.isolate(2);
      net.propose(1, "a");
      net.run(1);
      net.step(1, { kind: "transferLeadership", to: 2 });
      const [refused] = net.propose(1, "b");
      net.settle();
      const failure = net.node(1).failed.at(-1);
      expectEqual([failure?.id, failure?.reason], [refused, "transferring"], "failure");
      expectEqual(net.leaders, [1], "leaders");
      net.heal();
      net.run(3);
      expectEqual(net.leaders, [2], "leaders after healing");
      expectEqual(net.node(2).applied.map(text).includes("a"), true, "the entry survived");
    },
  },
  {
    name: "a transfer that does not succeed is given up after an election timeout and proposals go on",
    run(create) {
      const net = cluster(create, 3);
      net.isolate(2);
      net.step(1, { kind: "transferLeadership", to: 2 });
      net.run(electionTicks + 1);
      expectEqual(net.status(1).transferTarget, 0, "transfer target");
      expectEqual(net.node(1).failed.at(-1)?.of, "transfer", "the failure");
      net.propose(1, "a");
      net.run(2);
      expectEqual(net.node(3).applied.map(text).at(-1), "a", "applied");
    },
  },
  {
    name: "a transfer to a stranger or a learner is refused, one to the leader itself changes nothing",
    run(create) {
      const net = cluster(create, 3, { learners: [4] });
      for (const to of [4, 9]) {
        net.step(1, { kind: "transferLeadership", to });
        net.settle();
        const failure = net.node(1).failed.at(-1);
        expectEqual(
          [failure?.of, failure?.id, failure?.reason],
          ["transfer", to, "invalidChange"],
          "failure",
        );
      }
      net.step(1, { kind: "transferLeadership", to: 1 });
      net.settle();
      expectEqual([net.leaders, net.status(1).transferTarget], [[1], 0], "leaders and target");
      net.step(2, { kind: "transferLeadership", to: 1 });
      net.settle();
      expectEqual(net.node(2).failed.at(-1)?.reason, "notLeader", "asked of a follower");
    },
  },
  {
    name: "a leader that slept learns of its successor before it serves anybody",
    run(create) {
      const net = cluster(create, 3);
      const frozen = net.node(1);
      frozen.alive = false;
      const next = untilLeader(net, 8 * electionTicks, [2, 3]);
      net.propose(next, "new");
      net.run(2);
      const missed = net.sent.filter(({ from, to }) => from === next && to === 1);
      frozen.alive = true;
      frozen.engine.step({ kind: "read", ids: [5] });
      for (const packet of missed) net.deliver(packet);
      net.settle();
      expectEqual(frozen.reads.has(5), false, "a stale read was answered");
      expectEqual(frozen.failed.at(-1)?.reason, "lostLeadership", "the read failed");
      expectEqual(
        others(net, next).every((id) => net.status(id).leader === next),
        true,
        "everybody follows",
      );
    },
  },
];
