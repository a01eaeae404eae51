// What only Multi-Paxos can lose, and how it comes back: single messages of phases 1 and 2, a log that
// is behind, a stop-sign, and connections that leave some pairs of nodes apart.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Invariants } from "../conformance/invariants.js";
import { membershipOf, Network, type Packet, text } from "../conformance/network.js";
import { cluster, electionTicks, untilLeader } from "../conformance/scenario.js";
import { EntryKind } from "../types.js";
import type { PaxosMessage } from "./messages.js";
import { createPaxos } from "./paxos.js";

type Kind = PaxosMessage["kind"];

/** Loses the first message of this kind to this node, and says how often one was sent after that. */
function loseOnce(net: Network<PaxosMessage>, kind: Kind, to: number): () => number {
  let seen = 0;
  net.drop = (packet) => packet.message.kind === kind && packet.to === to && ++seen === 1;
  return () => seen - 1;
}

function kindsBetween(packets: readonly Packet<PaxosMessage>[], a: number, b: number): Kind[] {
  return packets
    .filter(({ from, to }) => (from === a && to === b) || (from === b && to === a))
    .map(({ message }) => message.kind)
    .filter((kind) => kind !== "heartbeat" && kind !== "heartbeatReply");
}

function applied(net: Network<PaxosMessage>, id: number): string[] {
  return net
    .node(id)
    .applied.map(text)
    .filter((each) => each !== "");
}

describe("a lost message", () => {
  test("of the steady state is missed, asked for by PrepareRequest, and made up for by AcceptSync", () => {
    const net = cluster(createPaxos, 3);
    loseOnce(net, "accept", 3);
    net.sent.length = 0;
    net.propose(1, "a");
    net.settle();
    net.propose(1, "b");
    net.settle();
    assert.deepEqual(applied(net, 3), []);
    net.run(3);
    assert.deepEqual(applied(net, 3), ["a", "b"]);
    const kinds = kindsBetween(net.sent, 1, 3);
    const at = kinds.indexOf("prepareRequest");
    assert.ok(at > 0, kinds.join());
    assert.deepEqual(kinds.slice(at, at + 4), ["prepareRequest", "prepare", "promise", "acceptSync"]);
  });

  test("at the end of the stream is found without a further proposal", () => {
    const net = cluster(createPaxos, 3);
    loseOnce(net, "accept", 3);
    net.propose(1, "a");
    net.run(4);
    assert.deepEqual(applied(net, 3), ["a"]);
  });

  for (const kind of ["prepare", "promise", "acceptSync", "accepted", "decide"] as const) {
    test(`of kind ${kind} delays a follower and does not keep it out`, () => {
      for (const receiver of [1, 2, 3]) {
        const net = new Network<PaxosMessage>({ create: createPaxos, nodes: [1, 2, 3] });
        const invariants = new Invariants(net);
        loseOnce(net, kind, receiver);
        const leader = untilLeader(net, 6 * electionTicks);
        net.propose(leader, "a");
        for (let i = 0; i < 6; i++) {
          net.run();
          invariants.check();
        }
        for (const id of [1, 2, 3]) assert.deepEqual(applied(net, id), ["a"], `node ${id}`);
      }
    });
  }

  test("that was merely overtaken is waited for: nothing is sent twice", () => {
    const net = cluster(createPaxos, 3);
    const held: Packet<PaxosMessage>[] = [];
    net.drop = (packet) => {
      if (packet.to !== 3 || packet.message.kind !== "accept" || held.length > 0) return false;
      held.push(packet);
      return true;
    };
    net.sent.length = 0;
    for (const each of ["a", "b", "c"]) {
      net.propose(1, each);
      net.settle();
    }
    for (const packet of held) net.deliver(packet);
    net.settle();
    assert.deepEqual(applied(net, 3), ["a", "b", "c"]);
    const kinds = kindsBetween(net.sent, 1, 3);
    assert.equal(kinds.filter((kind) => kind === "accept").length, 3);
    assert.equal(kinds.includes("prepareRequest"), false);
  });
});

describe("a node that missed the Prepare of its leader", () => {
  test("accepts nothing, asks to be prepared, and then takes the whole log", () => {
    const net = new Network<PaxosMessage>({ create: createPaxos, nodes: [1, 2, 3] });
    net.drop = ({ to, message }) => to === 3 && message.kind === "prepare" && !message.leading;
    net.elect(1);
    assert.deepEqual(net.leaders, [1]);
    net.drop = () => false;
    net.propose(1, "a");
    net.run(4);
    assert.equal(net.status(3).epoch, net.status(1).epoch);
    assert.deepEqual(applied(net, 3), ["a"]);
    assert.ok(net.sent.some(({ from, message }) => from === 3 && message.kind === "prepareRequest"));
  });
});

describe("a leader behind on decided entries", () => {
  for (const compacted of [false, true]) {
    const how = compacted ? "from a snapshot, the log being cut" : "from the best promiser, in bounded parts";
    test(`adopts them ${how}`, () => {
      const net = cluster(createPaxos, 3, { config: { maxAppendBytes: 4 } });
      const invariants = new Invariants(net);
      net.isolate(3);
      const texts = Array.from({ length: 20 }, (_, i) => `entry${i}`);
      net.propose(1, ...texts);
      net.run(2);
      if (compacted) net.engine(2).step({ kind: "compact", upTo: net.status(2).applied });
      net.crash(1);
      net.heal();
      net.sent.length = 0;
      // Node 2 does not campaign: its clock stands still.
      for (let i = 0; i < 10 * electionTicks && net.status(3).role !== "leader"; i++) {
        net.tick(3);
        if (i % 4 === 3) net.tick(2);
        net.settle();
        invariants.check();
      }
      assert.equal(net.status(3).role, "leader");
      net.propose(3, "after");
      net.run(3);
      invariants.check();
      assert.deepEqual(applied(net, 3), [...texts, "after"]);
      assert.deepEqual(applied(net, 2), [...texts, "after"]);
      const chunks = net.sent.filter(({ message }) => message.kind === "chunk");
      if (!compacted) assert.ok(chunks.length >= 20, `${chunks.length} parts`);
    });
  }
});

describe("partial connectivity", () => {
  /** Ticks until some leader decides something new, with the links as they are. */
  function recovery(net: Network<PaxosMessage>, limit: number): number {
    const invariants = new Invariants(net);
    const decided = () => Math.max(...[...net.nodes.values()].map((node) => node.applied.length));
    const before = decided();
    for (let ticks = 1; ticks <= limit; ticks++) {
      for (const leader of net.leaders) net.propose(leader, "x");
      net.run();
      invariants.check();
      if (decided() > before) return ticks;
    }
    return Number.POSITIVE_INFINITY;
  }

  const limit = 4 * electionTicks;

  test("quorum loss: all see only one node, which is not the leader; it takes over", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const net = cluster(createPaxos, 5, { seed });
      for (const a of [1, 3, 4, 5]) for (const b of [1, 3, 4, 5]) if (a !== b) net.cutOneWay(a, b);
      const ticks = recovery(net, limit);
      assert.ok(ticks <= limit, `seed ${seed}: ${ticks} ticks`);
      assert.ok(net.leaders.includes(2), `seed ${seed}: leaders ${net.leaders}`);
    }
  });

  test("constrained election: the one node that sees a quorum lacks what is decided; it adopts and leads", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const net = cluster(createPaxos, 5, { seed });
      net.isolate(2);
      net.propose(1, "kept");
      net.run(2);
      net.heal();
      net.isolate(1);
      for (const a of [3, 4, 5]) for (const b of [3, 4, 5]) if (a !== b) net.cutOneWay(a, b);
      const ticks = recovery(net, limit);
      assert.ok(ticks <= limit, `seed ${seed}: ${ticks} ticks`);
      assert.ok(net.leaders.includes(2), `seed ${seed}: leaders ${net.leaders}`);
      assert.ok(applied(net, 2).includes("kept"));
    }
  });

  test("chained: the leader and one follower lose sight of each other; nobody is unseated", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const net = cluster(createPaxos, 3, { seed });
      const { epoch } = net.status(1);
      net.cut(1, 3);
      net.run(8 * electionTicks);
      assert.deepEqual(net.leaders, [1]);
      assert.equal(net.status(1).epoch, epoch, `seed ${seed}`);
      assert.ok(recovery(net, limit) <= limit);
    }
  });

  test("chained: five in a line, led from its end; somebody in the middle takes over and stays", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const net = cluster(createPaxos, 5, { seed });
      for (let a = 1; a <= 5; a++) for (let b = a + 2; b <= 5; b++) net.cut(a, b);
      const ticks = recovery(net, limit);
      assert.ok(ticks <= limit, `seed ${seed}: ${ticks} ticks`);
      const [leader] = net.leaders;
      const { epoch } = net.status(leader!);
      net.run(10 * electionTicks);
      assert.deepEqual(net.leaders, [leader], `seed ${seed}`);
      assert.equal(net.status(leader!).epoch, epoch, `seed ${seed}`);
    }
  });
});

describe("a stop-sign", () => {
  const addFour = {
    kind: "changeMembership",
    id: 500,
    change: { steps: [{ op: "addVoter", node: 4 }], context: new Uint8Array(0) },
  } as const;

  test("that reached nobody is lost with its leader, and the configuration goes on", () => {
    const net = cluster(createPaxos, 3);
    const invariants = new Invariants(net);
    net.add(4, membershipOf([]));
    net.isolate(1);
    net.step(1, addFour);
    net.settle();
    assert.deepEqual(net.status(1).membership.voters, [1, 2, 3, 4]);
    net.crash(1);
    const next = untilLeader(net, 6 * electionTicks, [2, 3]);
    net.propose(next, "a");
    net.run(2);
    net.heal();
    net.restart(1);
    net.run(4 * electionTicks);
    invariants.check();
    for (const id of [1, 2, 3]) {
      assert.deepEqual(net.status(id).membership.voters, [1, 2, 3], `node ${id}`);
      assert.deepEqual(applied(net, id), ["a"]);
    }
  });

  test("that reached a follower and was not decided is decided by the next leader, which adopts it", () => {
    const net = cluster(createPaxos, 3);
    const invariants = new Invariants(net);
    net.add(4, membershipOf([]));
    // Node 2 gets it and cannot say so.
    net.cutOneWay(2, 1);
    net.isolate(3);
    net.isolate(4);
    net.step(1, addFour);
    net.settle();
    assert.deepEqual(net.status(2).membership.voters, [1, 2, 3, 4]);
    net.crash(1);
    net.heal();
    const next = untilLeader(net, 8 * electionTicks, [2, 3]);
    net.propose(next, "a");
    net.run(5);
    invariants.check();
    for (const id of [2, 3, 4]) {
      assert.deepEqual(net.status(id).membership.voters, [1, 2, 3, 4], `node ${id}`);
      assert.deepEqual(applied(net, id).slice(-1), ["a"], `node ${id}`);
    }
  });

  test("on a node that joined does not let it lead for voters it never heard of", () => {
    const net = cluster(createPaxos, 3);
    const invariants = new Invariants(net);
    net.add(4, membershipOf([]));
    // Node 4 alone gets it, and with it all it knows of who takes part.
    net.drop = ({ to, urgent }) => (to === 2 || to === 3) && !urgent;
    net.step(1, addFour);
    net.run(2);
    assert.deepEqual(net.status(4).membership.voters, [1, 2, 3, 4]);
    assert.deepEqual(net.status(2).membership.voters, [1, 2, 3]);
    net.crash(1);
    net.heal();
    const { epoch } = net.status(4);
    // Nobody hears a leader any more; the clocks of nodes 2 and 3 stand still.
    for (const id of [2, 3]) {
      net.crash(id);
      net.restart(id);
    }
    net.tick(4, 20 * electionTicks);
    net.settle();
    assert.equal(net.status(4).role, "follower");
    assert.equal(net.status(4).epoch, epoch);
    const next = untilLeader(net, 8 * electionTicks);
    assert.notEqual(next, 4);
    net.propose(next, "a");
    net.run(5);
    invariants.check();
    assert.deepEqual(applied(net, next), ["a"]);
  });

  test("holds proposals back until it is decided, and nothing enters the log behind it before", () => {
    const net = cluster(createPaxos, 3);
    net.add(4, membershipOf([]));
    net.isolate(1);
    net.step(1, addFour);
    const [id] = net.propose(1, "waits");
    net.settle();
    assert.equal(net.node(1).log.at(-1)?.kind, EntryKind.membership);
    assert.equal(net.node(1).appended.has(id!), false);
    net.heal();
    net.run(3);
    assert.deepEqual(net.node(1).appended.get(id!)?.index, net.node(1).appended.get(500)!.index + 1);
    for (const each of [1, 2, 3, 4]) assert.deepEqual(applied(net, each).at(-1), "waits", `node ${each}`);
  });

  test("leaves what waits behind it refused when its leader is deposed", () => {
    const net = cluster(createPaxos, 3);
    net.add(4, membershipOf([]));
    net.isolate(1);
    net.step(1, addFour);
    const [id] = net.propose(1, "waits");
    net.run(electionTicks);
    const failure = net.node(1).failed.find((each) => each.id === id);
    assert.deepEqual([failure?.of, failure?.reason], ["proposal", "notLeader"]);
  });
});

describe("accept quorums smaller than a majority", () => {
  test("decide with two of five, and elect with four", () => {
    const create = (config: Parameters<typeof createPaxos>[0]) => createPaxos(config, { acceptQuorum: 2 });
    const net = cluster(create, 5);
    const invariants = new Invariants(net);
    for (const id of [3, 4, 5]) net.cut(1, id);
    for (const id of [3, 4, 5]) net.cut(2, id);
    net.propose(1, "a");
    net.run(2);
    assert.deepEqual(applied(net, 1), ["a"]);
    net.run(5 * electionTicks);
    assert.deepEqual(net.leaders, [1], "three of five elect nobody");
    net.crash(1);
    net.run(5 * electionTicks);
    assert.deepEqual(net.leaders, []);
    net.heal();
    const next = untilLeader(net, 8 * electionTicks);
    net.propose(next, "b");
    net.run(2);
    invariants.check();
    for (const id of [2, 3, 4, 5]) assert.deepEqual(applied(net, id), ["a", "b"], `node ${id}`);
  });
});
