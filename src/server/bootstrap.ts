// Decides who a node is at start: what its data folder says, or for a node without data, what its
// configuration and the peers it names say. A node that lost its data is never let in again under the
// identity it had, since it no longer knows what it voted for and acknowledged.

import { fromBinary } from "@bufbuild/protobuf";
import { DiscoverResponseSchema } from "../gen/quorate/consensus/v1/peer_pb.js";
import type { MemberInfo } from "../replication/peers/peer-service.js";
import { discoverPath } from "../replication/peers/peer-service.js";
import { type Channel, RpcError, Status } from "../rpc/call.js";
import { type Address, parseAddress } from "./address-book.js";
import type { ServerConfig } from "./config.js";
import { StartError } from "./errors.js";
import { clusterIdOf, initialMemberId } from "./identifiers.js";

/** Who a node is, and whom it starts with. */
export interface Birth {
  readonly clusterId: number;
  readonly memberId: number;
  /** Every member as known at birth, this one included. */
  readonly members: readonly MemberInfo[];
  /** The node is one of those that found the cluster; otherwise it joins a running one. */
  readonly founding: boolean;
}

/** A cluster as one of its nodes describes it. */
export interface DiscoveredCluster {
  readonly clusterId: number;
  readonly engine: string;
  readonly members: readonly MemberInfo[];
}

export type OpenChannel = (address: Address) => Channel;

/** Asks one node for its cluster. Rejects when it does not answer in time. */
export async function discover(
  address: Address,
  open: OpenChannel,
  timeoutMs: number,
): Promise<DiscoveredCluster> {
  const channel = open(address);
  try {
    await channel.connect();
    const answer = await new Promise<Uint8Array>((resolve, reject) => {
      channel.unary(discoverPath, new Uint8Array(0), { timeoutMs }, (end, message) => {
        if (end.code === Status.OK && message !== undefined)
          resolve(Uint8Array.prototype.slice.call(message));
        else reject(new RpcError(end.code, end.message));
      });
    });
    const response = fromBinary(DiscoverResponseSchema, answer);
    return {
      clusterId: Number(response.clusterId),
      engine: response.engine,
      members: response.members.map((member) => ({
        id: Number(member.ID),
        name: member.name,
        peerUrls: member.peerURLs,
        clientUrls: member.clientURLs,
        isLearner: member.isLearner,
      })),
    };
  } finally {
    channel.close();
  }
}

const sameUrls = (a: readonly string[], b: readonly string[]): boolean =>
  [...a].sort().join(" ") === [...b].sort().join(" ");

/** The birth of a node that has no data yet. Throws StartError when it must not start. */
export async function giveBirth(config: ServerConfig, open: OpenChannel): Promise<Birth> {
  const known = await askOthers(config, open);
  if (config.initialClusterState === "existing") return join(config, known);
  const members = config.initialCluster.map((member) => ({
    id: initialMemberId(member.peerUrls, config.initialClusterToken),
    name: member.name,
    peerUrls: member.peerUrls,
    // Published through the log later: the state at birth must be the same everywhere.
    clientUrls: [],
    isLearner: false,
  }));
  const own = members.find((member) => member.name === config.name);
  if (own === undefined) throw new StartError("config", `initial cluster does not name ${config.name}`);
  const clusterId = clusterIdOf(members.map((member) => member.id));
  for (const cluster of known) {
    if (cluster.clusterId !== clusterId) continue;
    const self = cluster.members.find((member) => member.id === own.id);
    // A member without client URLs has never been up: the cluster is still being born.
    if (self === undefined || self.clientUrls.length > 0) {
      throw new StartError(
        "alreadyBootstrapped",
        `member ${own.id.toString(16)} has already been bootstrapped, but its data is not in ${config.dataDir}: ` +
          "restore the folder, or remove the member from the cluster and add it again",
      );
    }
  }
  return { clusterId, memberId: own.id, members, founding: true };
}

async function askOthers(config: ServerConfig, open: OpenChannel): Promise<DiscoveredCluster[]> {
  const others = config.initialCluster.filter((member) => member.name !== config.name);
  const addresses = others.flatMap((member) => member.peerUrls).map(parseAddress);
  const timeoutMs = config.electionTimeoutMs;
  const answers = await Promise.allSettled(
    addresses.filter((address) => address !== undefined).map((address) => discover(address, open, timeoutMs)),
  );
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
}

function join(config: ServerConfig, known: readonly DiscoveredCluster[]): Birth {
  const cluster = known.toSorted((a, b) => b.members.length - a.members.length)[0];
  if (cluster === undefined) {
    throw new StartError(
      "noPeer",
      "no member named in --initial-cluster answers; an existing cluster can be joined only while it runs",
    );
  }
  if (cluster.engine !== config.consensus) {
    throw new StartError(
      "engine",
      `the cluster runs ${cluster.engine}, this node was started with ${config.consensus}`,
    );
  }
  const own = cluster.members.find((member) => sameUrls(member.peerUrls, config.initialAdvertisePeerUrls));
  if (own === undefined) {
    throw new StartError(
      "notMember",
      `the cluster has no member with peer URLs ${config.initialAdvertisePeerUrls.join(", ")}: add it first (member add)`,
    );
  }
  if (own.clientUrls.length > 0) {
    throw new StartError(
      "alreadyBootstrapped",
      `member ${own.id.toString(16)} has already been bootstrapped, but its data is not in ${config.dataDir}: ` +
        "restore the folder, or remove the member from the cluster and add it again",
    );
  }
  return { clusterId: cluster.clusterId, memberId: own.id, members: cluster.members, founding: false };
}
