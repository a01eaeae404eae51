// The log reaches everybody, whatever is lost, late or slow.

import { expect, expectEqual } from "../expect.js";
import { Invariants } from "../invariants.js";
import { text } from "../network.js";
import { cluster, electionTicks, type Scenario, untilLeader } from "../scenario.js";

export const replication: readonly Scenario[] = [
  {
    name: "followers learn at once that an entry is committed, without a tick or a further proposal",
    run(create) {
      const net = cluster(create, 3);
      net.propose(1, "a");
      net.settle();
      for (const id of net.nodes.keys())
        expectEqual(net.node(id).applied.map(text).at(-1), "a", `node ${id}`);
    },
  },
  {
    name: "an idle cluster exchanges nothing but what proves that the leader lives",
    run(create) {
      const net = cluster(create, 3);
      net.propose(1, "a");
      net.run(3);
      net.sent.length = 0;
      net.run(5);
      expectEqual(
        net.sent.every((packet) => packet.urgent),
        true,
        "only urgent messages",
      );
      expect(net.sent.length <= 5 * 4, `${net.sent.length} messages in 5 ticks`);
    },
  },
  {
    name: "a window of which every message was lost is sent again, without a further proposal",
    run(create) {
      const net = cluster(create, 3, { config: { maxInflightMessages: 3, maxAppendBytes: 1 } });
      net.drop = (packet) => packet.to === 3 && !packet.urgent;
      for (const each of ["a", "b", "c", "d", "e"]) {
        net.propose(1, each);
        net.settle();
      }
      net.drop = () => false;
      net.run(3);
      expectEqual(net.node(3).applied.map(text).slice(-5), ["a", "b", "c", "d", "e"], "applied by node 3");
    },
  },
  {
    name: "a follower that was told to be unreachable is served again as soon as it answers",
    run(create) {
      const net = cluster(create, 3);
      net.cut(1, 3);
      net.propose(1, "a");
      net.settle();
      net.step(1, { kind: "unreachable", peer: 3 });
      net.propose(1, "b");
      net.settle();
      net.heal();
      net.run(2);
      expectEqual(net.node(3).applied.map(text).slice(-2), ["a", "b"], "applied by node 3");
      const peer = net.status(1).progress.find((progress) => progress.node === 3);
      expectEqual(peer?.state, "replicate", "state of node 3");
    },
  },
  {
    name: "a follower learns the commit index from heartbeats when the message that carried it was lost",
    run(create) {
      const net = cluster(create, 3);
      let cutOff = false;
      net.drop = (packet) => packet.to === 3 && cutOff && !packet.urgent;
      net.propose(1, "a");
      net.process(1);
      for (const packet of net.packets.splice(0)) net.deliver(packet);
      cutOff = true;
      net.settle();
      expectEqual(net.node(3).applied.map(text).includes("a"), false, "node 3 does not know yet");
      net.run(1);
      expectEqual(net.node(3).applied.map(text).at(-1), "a", "applied by node 3");
    },
  },
  {
    name: "thirty percent of all messages lost and the rest late or twice: everybody ends with the same log",
    run(create) {
      for (let seed = 1; seed <= 5; seed++) {
        const net = cluster(create, 3, { seed });
        const invariants = new Invariants(net);
        net.drop = () => net.random() % 100 < 30;
        for (let i = 0; i < 200; i++) {
          for (const leader of net.leaders) net.propose(leader, `${i}`);
          for (const id of net.nodes.keys()) {
            net.tick(id);
            net.process(id);
          }
          for (let k = net.packets.length; k > 0; k--) {
            const packet = net.packets[net.random() % net.packets.length]!;
            net.deliver(packet);
            if (net.random() % 10 > 0) net.packets.splice(net.packets.indexOf(packet), 1);
          }
          invariants.check();
        }
        net.heal();
        const leader = untilLeader(net, 10 * electionTicks);
        net.run(5);
        invariants.check();
        for (const id of net.nodes.keys()) {
          expectEqual(net.status(id).commit, net.status(leader).lastIndex, `commit of ${id}`);
        }
      }
    },
  },
  {
    name: "proposals above the limit of uncommitted bytes are refused, and accepted again after healing",
    run(create) {
      const net = cluster(create, 3, { config: { maxUncommittedBytes: 100 } });
      net.cut(1, 2);
      net.cut(1, 3);
      for (let i = 0; i < 12; i++) net.propose(1, "0123456789");
      net.settle();
      expectEqual(
        net.node(1).failed.map(({ reason }) => reason),
        ["overloaded", "overloaded"],
        "failures",
      );
      net.heal();
      net.run(2);
      const [id] = net.propose(1, "0123456789");
      net.run(1);
      expect(net.node(1).appended.has(id!), "accepted after healing");
      expectEqual(net.node(1).failed.length, 2, "failures after healing");
    },
  },
  {
    name: "one entry larger than the limit of uncommitted bytes is accepted when nothing else waits",
    run(create) {
      const net = cluster(create, 3, { config: { maxUncommittedBytes: 10 } });
      net.propose(1, "x".repeat(1000));
      net.run(1);
      expectEqual(net.node(3).applied.at(-1)?.payload.length, 1000, "applied");
    },
  },
  {
    name: "everything proposed in one turn travels together, one message to each follower",
    run(create) {
      const net = cluster(create, 3);
      net.sent.length = 0;
      for (let i = 0; i < 10; i++) net.propose(1, `${i}`);
      const ready = net.process(1);
      expectEqual(ready?.append?.entries.length, 10, "entries in the batch");
      expectEqual(net.sent.length, 2, "messages");
      net.settle();
      expectEqual(net.sent.filter(({ from, to }) => from === 2 && to === 1).length, 1, "answers of node 2");
    },
  },
];
