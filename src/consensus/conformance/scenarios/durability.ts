// What was acknowledged is on disk, and only that is.

import { expect, expectEqual } from "../expect.js";
import { Invariants } from "../invariants.js";
import { text } from "../network.js";
import { cluster, electionTicks, type Scenario, untilLeader } from "../scenario.js";

export const durability: readonly Scenario[] = [
  {
    name: "an entry that no majority has on disk is not committed, however often heartbeats are answered",
    run(create) {
      const net = cluster(create, 3);
      net.crash(3);
      net.node(2).diskHeld = true;
      net.propose(1, "a");
      net.run(5);
      expectEqual(net.node(1).applied.map(text).includes("a"), false, "applied while node 2 has not written");
      net.node(2).diskHeld = false;
      net.persist(2);
      net.settle();
      expectEqual(net.node(1).applied.map(text).at(-1), "a", "applied once node 2 has written");
    },
  },
  {
    name: "a leader with a slow disk commits what its followers have written, and its crash loses nothing",
    run(create) {
      const net = cluster(create, 3);
      net.node(1).diskHeld = true;
      for (let i = 0; i < 5; i++) {
        net.propose(1, `${i}`);
        net.run(1);
      }
      expectEqual(
        net.node(1).applied.map(text).slice(-5),
        ["0", "1", "2", "3", "4"],
        "applied by the leader",
      );
      net.crash(1);
      const next = untilLeader(net, 8 * electionTicks);
      net.restart(1);
      net.node(1).diskHeld = false;
      net.propose(next, "5");
      net.run(5);
      for (const id of net.nodes.keys()) {
        const texts = net
          .node(id)
          .applied.map(text)
          .filter((each) => each !== "");
        expectEqual(texts, ["0", "1", "2", "3", "4", "5"], `applied by node ${id}`);
      }
    },
  },
  {
    name: "nothing that promises leaves before the disk has written: no vote, no acknowledgement",
    run(create) {
      const net = cluster(create, 3);
      const { epoch } = net.status(1);
      for (const id of [2, 3]) net.node(id).diskHeld = true;
      net.crash(1);
      for (let i = 0; i < 5 * electionTicks; i++) net.run();
      expectEqual(net.leaders, [], "leaders while no disk writes");
      for (const id of [2, 3]) {
        net.node(id).diskHeld = false;
        net.persist(id);
      }
      const next = untilLeader(net, 8 * electionTicks);
      expect(net.status(next).epoch > epoch, "a later epoch");
    },
  },
  {
    name: "every node loses power at any moment with writes under way: what was applied anywhere survives",
    run(create) {
      for (let seed = 1; seed <= 40; seed++) {
        const net = cluster(create, 3, { seed });
        const invariants = new Invariants(net);
        for (const id of net.nodes.keys()) net.node(id).diskHeld = true;
        for (let i = 0; i < 60; i++) {
          for (const leader of net.leaders) net.propose(leader, `${i}`);
          for (const id of net.nodes.keys()) {
            net.process(id);
            if (net.random() % 3 === 0) net.persist(id, 1);
          }
          for (const packet of net.packets.splice(0)) net.deliver(packet);
          invariants.check();
        }
        const before = Math.max(...[...net.nodes.values()].map((node) => node.applied.length));
        net.packets = [];
        for (const id of net.nodes.keys()) {
          net.crash(id);
          // The applied state is lost with everything that was not on disk.
          net.node(id).forgetApplied();
          net.restart(id);
          net.node(id).diskHeld = false;
        }
        untilLeader(net, 10 * electionTicks);
        net.run(3);
        invariants.check();
        for (const node of net.nodes.values()) {
          expect(node.applied.length > before, `${node.applied.length} entries after, ${before} before`);
        }
      }
    },
  },
];
