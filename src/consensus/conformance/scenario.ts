// A named course of events that every engine must survive with the stated outcome. Scenarios speak of
// ticks, links, disks and proposals, never of a protocol's messages.

import type { Engine, EngineConfig } from "../engine.js";
import type { NodeId } from "../types.js";
import { expect } from "./expect.js";
import { Network, type NetworkOptions } from "./network.js";

export type Create<M> = (config: EngineConfig) => Engine<M>;

export interface Scenario {
  /** A sentence about behaviour. */
  readonly name: string;
  run<M>(create: Create<M>): void;
}

/** Ticks of an election timeout, at least; the longest is just below twice this. */
export const electionTicks = 10;

/** A cluster of voters 1..size that has elected somebody. */
export function cluster<M>(
  create: Create<M>,
  size: number,
  options: Omit<Partial<NetworkOptions<M>>, "create" | "nodes"> = {},
): Network<M> {
  const nodes = Array.from({ length: size }, (_, i) => i + 1);
  const net = new Network<M>({ ...options, create, nodes });
  net.elect(1);
  net.run(2);
  expect(net.leaders.length === 1 && net.leaders[0] === 1, `node 1 leads, found ${net.leaders}`);
  return net;
}

/** Runs until exactly one node among `among` (default: all) leads, at most `ticks` ticks. */
export function untilLeader<M>(net: Network<M>, ticks: number, among?: readonly NodeId[]): NodeId {
  for (let i = 0; i < ticks; i++) {
    net.run();
    const leaders = net.leaders.filter((id) => among === undefined || among.includes(id));
    if (leaders.length === 1) return leaders[0]!;
  }
  throw new Error(`no single leader after ${ticks} ticks: ${net.leaders}`);
}

/** The other nodes. */
export function others<M>(net: Network<M>, id: NodeId): NodeId[] {
  return [...net.nodes.keys()].filter((other) => other !== id);
}
