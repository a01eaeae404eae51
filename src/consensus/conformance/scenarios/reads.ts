// Linearizable reads: never older than what anybody was told before the read was asked.

import { expect, expectEqual } from "../expect.js";
import { text } from "../network.js";
import { cluster, electionTicks, type Scenario, untilLeader } from "../scenario.js";

export const reads: readonly Scenario[] = [
  {
    name: "a read is answered with the commit index once a quorum has confirmed the leader",
    run(create) {
      const net = cluster(create, 3);
      net.propose(1, "a");
      net.settle();
      net.step(1, { kind: "read", ids: [1, 2] });
      net.process(1);
      expectEqual(net.node(1).reads.size, 0, "answered before anybody confirmed");
      net.settle();
      const { commit } = net.status(1);
      expectEqual(
        [...net.node(1).reads],
        [
          [1, commit],
          [2, commit],
        ],
        "answers",
      );
    },
  },
  {
    name: "a follower refuses a read",
    run(create) {
      const net = cluster(create, 3);
      net.step(2, { kind: "read", ids: [9] });
      net.settle();
      const failure = net.node(2).failed.at(-1);
      expectEqual([failure?.of, failure?.id, failure?.reason], ["read", 9, "notLeader"], "failure");
    },
  },
  {
    name: "a new leader answers no read until it has committed an entry of its own epoch",
    run(create) {
      const net = cluster(create, 3);
      net.propose(1, "a");
      net.settle();
      const floor = net.status(1).commit;
      net.crash(1);
      for (const id of [2, 3]) net.node(id).diskHeld = false;
      // Node 2 wins, but what it appends as leader does not become durable on node 3.
      for (let i = 0; i < 100 && net.status(2).role !== "leader"; i++) {
        net.tick(2);
        net.tick(3);
        for (let k = 0; k < 20 && net.status(2).role !== "leader"; k++) {
          net.process(2);
          net.process(3);
          for (const packet of net.packets.splice(0)) {
            net.deliver(packet);
            if (net.status(2).role === "leader") break;
          }
        }
        if (net.leaders.includes(3)) return;
      }
      net.node(3).diskHeld = true;
      net.step(2, { kind: "read", ids: [1] });
      net.run(3);
      expectEqual(net.node(2).reads.size, 0, "answered before its own entry was committed");
      net.node(3).diskHeld = false;
      net.persist(3);
      net.run(2);
      const index = net.node(2).reads.get(1);
      expect(index !== undefined && index > floor, `answered at ${index}, the floor is ${floor}`);
    },
  },
  {
    name: "a deposed leader in the minority answers no read",
    run(create) {
      const net = cluster(create, 3);
      net.isolate(1);
      net.step(1, { kind: "read", ids: [4] });
      net.run(2 * electionTicks);
      expectEqual(net.node(1).reads.size, 0, "answered");
      expectEqual(net.node(1).failed.at(-1)?.reason, "lostLeadership", "the reason");
    },
  },
  {
    name: "late answers to an earlier round do not confirm a later read (etcd #20418)",
    run(create) {
      const net = cluster(create, 3);
      net.step(1, { kind: "read", ids: [1] });
      net.process(1);
      for (const packet of net.packets.splice(0)) net.deliver(packet);
      for (const id of [2, 3]) net.process(id);
      // The answers are under way when the leader is cut off and others go on.
      const late = net.packets.splice(0);
      net.isolate(1);
      const next = untilLeader(net, 8 * electionTicks, [2, 3]);
      net.propose(next, "newer");
      net.run(1);
      if (net.status(1).role === "leader") net.step(1, { kind: "read", ids: [2] });
      for (const packet of [...late, ...late]) net.deliver(packet);
      net.settle();
      expectEqual(net.node(1).reads.has(2), false, "a later read was answered");
    },
  },
  {
    name: "answers of an earlier round confirm the reads of that round and none after it",
    run(create) {
      const net = cluster(create, 3);
      net.step(1, { kind: "read", ids: [1] });
      net.process(1);
      for (const packet of net.packets.splice(0)) net.deliver(packet);
      for (const id of [2, 3]) net.process(id);
      const late = net.packets.splice(0);
      net.isolate(1);
      net.step(1, { kind: "read", ids: [2] });
      net.process(1);
      for (const packet of [...late, ...late]) net.deliver(packet);
      net.process(1);
      expectEqual([...net.node(1).reads.keys()], [1], "answered reads");
    },
  },
  {
    name: "a read keeps to the index of its own arrival when another waits before it (tikv #7995)",
    run(create) {
      const net = cluster(create, 3);
      const earlier = net.status(1).commit;
      net.drop = (packet) => packet.urgent;
      net.step(1, { kind: "read", ids: [1] });
      net.settle();
      net.propose(1, "a");
      net.settle();
      expectEqual(net.node(1).applied.map(text).at(-1), "a", "committed between the reads");
      net.step(1, { kind: "read", ids: [2] });
      net.settle();
      net.heal();
      net.run(2);
      expectEqual(net.node(1).reads.get(1), earlier, "the first read");
      expectEqual(net.node(1).reads.get(2), earlier + 1, "the second read");
    },
  },
  {
    name: "a single voter that restarts with a commit index that lags answers no stale read (etcd raft#105)",
    run(create) {
      const net = cluster(create, 1);
      net.propose(1, "a", "b", "c");
      net.settle();
      const acknowledged = net.status(1).commit;
      net.crash(1);
      net.node(1).disk.hardState = { ...net.node(1).disk.hardState, commit: 0 };
      net.node(1).forgetApplied();
      net.restart(1);
      net.step(1, { kind: "read", ids: [1] });
      net.run(3);
      net.step(1, { kind: "read", ids: [2] });
      net.run(1);
      const answered = net.node(1).reads.get(2) ?? 0;
      expect(answered >= acknowledged, `answered at ${answered}, acknowledged was ${acknowledged}`);
      expect((net.node(1).reads.get(1) ?? acknowledged) >= acknowledged, "the first read is stale");
    },
  },
];
