// The consensus protocols a cluster can be founded with, by the name its identity record keeps. What
// a protocol's messages are stays between its engine and its codec.

import type { Engine, EngineConfig } from "../consensus/engine.js";
import { createPaxos } from "../consensus/paxos/paxos.js";
import { createRaft } from "../consensus/raft/raft.js";
import type { MessageCodec } from "../replication/peers/exchange-codec.js";
import { paxosCodec } from "../replication/peers/paxos-codec.js";
import { raftCodec } from "../replication/peers/raft-codec.js";

export type ProtocolName = "raft" | "multi-paxos";

export interface Protocol<M> {
  readonly codec: MessageCodec<M>;
  createEngine(config: EngineConfig): Engine<M>;
}

export function protocolOf(name: ProtocolName): Protocol<unknown> {
  switch (name) {
    case "raft":
      return { codec: raftCodec, createEngine: (config) => createRaft(config) };
    case "multi-paxos":
      return { codec: paxosCodec, createEngine: (config) => createPaxos(config) };
    default:
      throw new Error(`no protocol ${String(name satisfies never)}`);
  }
}
