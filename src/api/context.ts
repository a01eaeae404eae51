// What the API services need from the node they are part of. The composition root builds it; tests
// put fakes in its place.

import type { RoleChange } from "../consensus/engine.js";
import type { NodeId } from "../consensus/types.js";
import type { RemainingAnswer } from "../lease/messages.js";
import type { KvReader } from "../mvcc/messages.js";
import type { WatchHub } from "../mvcc/watch/hub.js";
import type { GroupFailure, Proposer } from "../replication/proposer.js";

/** A member as the replicated state and the membership in force describe it. */
export interface ClusterMember {
  readonly id: NodeId;
  /** Empty until the member has started for the first time. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** Empty until the member has started for the first time. */
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface StorageSizes {
  /** Bytes the store occupies on disk. */
  readonly sizeBytes: number;
  /** Bytes of it that hold live data. */
  readonly sizeInUseBytes: number;
  /** Size above which writes are refused; 0: no limit. */
  readonly quotaBytes: number;
}

export interface ApiLimits {
  /** Largest request, in bytes of its protobuf encoding. */
  readonly maxRequestBytes: number;
  /** Compares, or operations of one branch, in a txn with all it nests. */
  readonly maxTxnOps: number;
  /** Learners a cluster may have at a time. */
  readonly maxLearners: number;
  /** Seconds; shorter leases get this time. etcd: one and a half election timeouts. */
  readonly minLeaseTtl: number;
}

/** etcd's defaults. */
export const defaultLimits: ApiLimits = {
  maxRequestBytes: 1_572_864,
  maxTxnOps: 128,
  maxLearners: 1,
  minLeaseTtl: 2,
};

/** Time for leases (lease/lessor.ts). An ID is given as two 32-bit halves where it matters for speed. */
export interface LeaseTime {
  /** Renews at once and returns the time to live in seconds; -1 when keepAlive must be called. */
  renewNow(high: number, low: number): number;
  /** Renews; `done` gets the time to live in seconds (0: no such lease) or the failure. */
  keepAlive(high: number, low: number, done: (outcome: number | GroupFailure) => void): void;
  /** What the leader says the lease has left. */
  timeToLive(id: bigint, done: (outcome: RemainingAnswer | GroupFailure) => void): void;
  /** Every lease: on the leader those that run out first at the front, elsewhere by ID. */
  list(): bigint[];
  /** Keys that hang on the lease as of what this node applied, in the order of their bytes. */
  keys(id: bigint): Uint8Array[];
}

export interface ApiContext {
  /** Unsigned 64-bit. */
  readonly clusterId: bigint;
  /** This node's, unsigned 64-bit. */
  readonly memberId: bigint;
  /** Goes into the IDs of members added later. */
  readonly clusterName: string;
  readonly proposer: Proposer;
  readonly reader: KvReader;
  readonly leases: LeaseTime;
  /** Feeds the watches of this node's clients. */
  readonly watches: WatchHub;
  /** Role, leader and epoch of this node now. Read on every request: must be cheap. */
  readonly role: RoleChange;
  /** All members including learners, as of what this node applied. */
  members(): readonly ClusterMember[];
  storageSizes(): StorageSizes;
  /** Hash over the whole store, unsigned 32-bit; for tests and comparison of stopped clusters. */
  hash(): Promise<number>;
  /** The store has outgrown its quota: requests that add to it are refused. */
  readonly spaceExceeded?: boolean;
  readonly limits: ApiLimits;
  /** False lets membership changes through that leave fewer started voters than a majority. Default true. */
  readonly strictReconfiguration?: boolean;
  /** A random positive int64. */
  randomId(): bigint;
  /** Milliseconds between progress notifications of quiet watches. Default ten minutes. */
  readonly watchProgressIntervalMs?: number;
  /** Milliseconds. Streams that require a leader end after three of them without one. Default 1000. */
  readonly electionTimeoutMs?: number;
  /** Milliseconds since 1970. */
  now(): number;
  /** Told of exceptions no request should cause; the caller got an internal error. */
  unexpected(path: string, error: unknown): void;
}
