// The engines that can be simulated, by the name the command line knows them under.

import { createPaxos } from "../consensus/paxos/paxos.js";
import { createRaft } from "../consensus/raft/raft.js";
import type { SimulationOptions } from "./simulate.js";

/** Runs `use` with the engine of this name; undefined when there is none. The type of its messages stays inside. */
export function withEngine<T>(name: string, use: <M>(options: SimulationOptions<M>) => T): T | undefined {
  switch (name) {
    case "raft":
      return use({ engine: name, createEngine: createRaft });
    case "multi-paxos":
      return use({ engine: name, createEngine: (config) => createPaxos(config) });
    default:
      return undefined;
  }
}

export const engineNames: readonly string[] = ["raft", "multi-paxos"];
