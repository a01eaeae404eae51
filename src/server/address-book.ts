// Where the nodes of the cluster can be reached: what the applied membership says, and before that
// what entries still on their way through the log say about new members.

import { fromBinary } from "@bufbuild/protobuf";
import type { NodeId } from "../consensus/types.js";
import { MemberSchema } from "../gen/etcdserverpb/rpc_pb.js";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Parses "http://host:port"; undefined when it is nothing of the kind. */
export function parseAddress(url: string): Address | undefined {
  const match = /^http:\/\/(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]+)):(\d{1,5})\/?$/.exec(url);
  if (match === null) return undefined;
  return { host: match[1] ?? match[2]!, port: Number(match[3]) };
}

export class AddressBook {
  private readonly announced = new Map<NodeId, readonly string[]>();
  /** Attempts a node, so that each of several URLs gets its turn. */
  private readonly attempts = new Map<NodeId, number>();

  /** @param applied peer URLs of a member in the applied state; undefined when it is not there. */
  constructor(private readonly applied: (node: NodeId) => readonly string[] | undefined) {}

  /** Learns from what a membership entry carries: an encoded etcdserverpb.Member, or nothing. */
  learn(context: Uint8Array): void {
    if (context.length === 0) return;
    const member = fromBinary(MemberSchema, context);
    if (member.peerURLs.length > 0) this.announce(Number(member.ID), member.peerURLs);
  }

  announce(node: NodeId, peerUrls: readonly string[]): void {
    this.announced.set(node, peerUrls);
  }

  /** An address of the node, another one at each call when it has several. */
  find(node: NodeId): Address | undefined {
    const urls = this.applied(node) ?? this.announced.get(node) ?? [];
    const addresses = urls.map(parseAddress).filter((address) => address !== undefined);
    if (addresses.length === 0) return undefined;
    const attempt = this.attempts.get(node) ?? 0;
    this.attempts.set(node, attempt + 1);
    return addresses[attempt % addresses.length];
  }
}
