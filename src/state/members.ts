// The members of a cluster as etcd lists them: who they are and where they listen. Who votes is the
// membership's business; this table follows it.

import { create, fromBinary } from "@bufbuild/protobuf";
import type { Membership } from "../consensus/types.js";
import { type Member, MemberSchema } from "../gen/etcdserverpb/rpc_pb.js";

export interface MemberInfo {
  /** The node's id. */
  readonly id: number;
  /** Empty until the member has started. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export function memberInfo(member: Member): MemberInfo {
  const id = Number(member.ID);
  if (!Number.isSafeInteger(id) || id <= 0) throw new RangeError(`member ID ${member.ID} is not a node id`);
  return {
    id,
    name: member.name,
    peerUrls: [...member.peerURLs],
    clientUrls: [...member.clientURLs],
    isLearner: member.isLearner,
  };
}

export function memberMessage(member: MemberInfo): Member {
  return create(MemberSchema, {
    ID: BigInt(member.id),
    name: member.name,
    peerURLs: [...member.peerUrls],
    clientURLs: [...member.clientUrls],
    isLearner: member.isLearner,
  });
}

/**
 * The members after a change of membership. `context`, unless empty, is an etcdserverpb.Member: the one
 * that was added, or new peer URLs of a known one. Those who no longer take part are gone.
 */
export function changedMembers(
  members: readonly MemberInfo[],
  membership: Membership,
  context: Uint8Array,
): MemberInfo[] {
  const learners = new Set(membership.learners);
  const present = new Set([
    ...membership.voters,
    ...membership.outgoing,
    ...membership.learners,
    ...membership.learnersNext,
  ]);
  const byId = new Map(members.map((member) => [member.id, member]));
  if (context.length > 0) {
    const given = memberInfo(fromBinary(MemberSchema, context));
    const known = byId.get(given.id);
    const peerUrls = given.peerUrls.length > 0 ? given.peerUrls : (known?.peerUrls ?? []);
    byId.set(given.id, known === undefined ? given : { ...known, peerUrls });
  }
  const changed: MemberInfo[] = [];
  for (const id of [...present].sort((a, b) => a - b)) {
    const member = byId.get(id) ?? { id, name: "", peerUrls: [], clientUrls: [], isLearner: false };
    changed.push({ ...member, isLearner: learners.has(id) });
  }
  return changed;
}

/** The members after one published its name and client URLs; the same list when it is not a member. */
export function withAttributes(members: readonly MemberInfo[], bytes: Uint8Array): readonly MemberInfo[] {
  const given = memberInfo(fromBinary(MemberSchema, bytes));
  if (!members.some((member) => member.id === given.id)) return members;
  return members.map((member) =>
    member.id === given.id ? { ...member, name: given.name, clientUrls: given.clientUrls } : member,
  );
}
