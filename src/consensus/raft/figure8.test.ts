// Figure 8 of the paper: why replicas of an entry of an earlier term prove nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Invariants } from "../conformance/invariants.js";
import { Network, type Packet } from "../conformance/network.js";
import type { EngineConfig } from "../engine.js";
import type { RaftMessage } from "./messages.js";
import { createRaft, Raft } from "./raft.js";

class CommitsEarlierTerms extends Raft {
  protected override committable(): boolean {
    return true;
  }
}

/** Up to (c) of figure 8: node 1, leading term 4, has copied entry 2 of term 2 to a majority. */
function figure8(create: (config: EngineConfig) => Raft): Network<RaftMessage> {
  const net = new Network<RaftMessage>({
    create,
    nodes: [1, 2, 3, 4, 5],
    logs: new Map([
      [1, { terms: [1, 2], term: 3 }],
      [2, { terms: [1, 2], term: 3 }],
      [3, { terms: [1], term: 3 }],
      [4, { terms: [1], term: 3 }],
      [5, { terms: [1, 3], term: 3 }],
    ]),
  });
  net.cut(1, 5);
  // Nothing of term 4 reaches anybody, nor what node 1 believes to be committed.
  const censored = ({ message, ...rest }: Packet<RaftMessage>): Packet<RaftMessage> => {
    if (message.kind === "heartbeat") return { ...rest, message: { ...message, commit: 0 } };
    if (message.kind !== "append") return { ...rest, message };
    const entries = message.entries.filter(({ index }) => index <= 2);
    return { ...rest, message: { ...message, entries, commit: 0 } };
  };
  for (let i = 0; i < 40; i++) {
    if (net.status(1).role !== "leader") net.tick(1);
    else if (i % 4 === 0) net.tick(1);
    for (let moved = true; moved; ) {
      moved = false;
      for (const id of net.nodes.keys()) moved = net.process(id) !== undefined || moved;
      for (const packet of net.packets.splice(0)) {
        moved = true;
        if (packet.to === 4 && packet.message.kind === "append") continue;
        net.deliver(censored(packet));
      }
    }
  }
  assert.deepEqual(net.leaders, [1]);
  assert.equal(net.status(1).epoch, 4);
  assert.deepEqual(
    net.node(3).log.map(({ epoch }) => epoch),
    [1, 2],
  );
  return net;
}

/** Node 1 dies; the others have forgotten that they heard it and would vote. */
function leaderDies(net: Network<RaftMessage>): void {
  net.crash(1);
  for (const id of [2, 3, 4]) {
    net.crash(id);
    net.restart(id);
  }
}

test("figure 8: an entry of an earlier term on a majority is not committed by counting", () => {
  const net = figure8(createRaft as (config: EngineConfig) => Raft);
  const invariants = new Invariants(net);
  assert.equal(net.status(1).commit, 0);
  invariants.check();
  // (d): node 1 dies, node 5 wins and overwrites entry 2 everywhere, which is legal.
  leaderDies(net);
  net.elect(5);
  net.run(3);
  invariants.check();
  assert.deepEqual(
    net.node(3).log.map(({ epoch }) => epoch),
    [1, 3, net.status(5).epoch],
  );
});

test("figure 8 (e): once an entry of the own term is on a majority, node 5 cannot win any more", () => {
  const net = figure8(createRaft as (config: EngineConfig) => Raft);
  net.run(3);
  assert.equal(net.status(1).commit, 3);
  leaderDies(net);
  for (let i = 0; i < 100; i++) {
    net.tick(5);
    net.settle();
    assert.notEqual(net.status(5).role, "leader");
  }
});

test("figure 8 shows an engine that commits entries of earlier terms", () => {
  const net = figure8((config) => new CommitsEarlierTerms(config));
  const invariants = new Invariants(net);
  assert.equal(net.status(1).commit, 2);
  invariants.check();
  leaderDies(net);
  assert.throws(() => {
    net.elect(5);
    net.run(3);
    invariants.check();
  });
});
