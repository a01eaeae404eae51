// The one row that says what a group's rows add up to: the applied entry, the membership, the members
// and the revisions. Written in the same batch as the effects of the entry it names.

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Membership, SnapshotMeta } from "../consensus/types.js";
import { MemberSchema } from "../gen/etcdserverpb/rpc_pb.js";
import { WireReader, WireWriter } from "../protobuf/wire.js";
import { type MemberInfo, memberInfo, memberMessage } from "./members.js";

export interface StateRow extends SnapshotMeta {
  readonly revision: number;
  /** -1: never. */
  readonly compactedRevision: number;
  readonly members: readonly MemberInfo[];
}

/** What changes seldom, encoded once and appended to every row. */
export function encodeConfiguration(
  membership: Membership,
  membershipIndex: number,
  members: readonly MemberInfo[],
): Uint8Array {
  const writer = new WireWriter(1024);
  writer.uint(5, membershipIndex).bytes(6, encodeMembership(membership), true);
  for (const member of members) writer.bytes(7, toBinary(MemberSchema, memberMessage(member)), true);
  return writer.finish();
}

/** @param compactedRevision -1: never compacted. */
export function encodeState(
  writer: WireWriter,
  index: number,
  epoch: number,
  revision: number,
  compactedRevision: number,
  configuration: Uint8Array,
): Uint8Array {
  return writer
    .uint(1, index)
    .uint(2, epoch)
    .uint(3, revision)
    .uint(4, compactedRevision + 1)
    .raw(configuration)
    .finish();
}

export function decodeState(row: Uint8Array): StateRow {
  const reader = new WireReader(row);
  let index = 0;
  let epoch = 0;
  let revision = 0;
  let compacted = 0;
  let membershipIndex = 0;
  let membership = noMembership;
  const members: MemberInfo[] = [];
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 1 * 8) index = reader.varint();
    else if (tag === 2 * 8) epoch = reader.varint();
    else if (tag === 3 * 8) revision = reader.varint();
    else if (tag === 4 * 8) compacted = reader.varint();
    else if (tag === 5 * 8) membershipIndex = reader.varint();
    else if (tag === 6 * 8 + 2) membership = decodeMembership(reader.bytes());
    else if (tag === 7 * 8 + 2) members.push(memberInfo(fromBinary(MemberSchema, reader.bytes())));
    else reader.skip(tag);
  }
  return {
    id: { index, epoch },
    membership,
    membershipIndex,
    revision,
    compactedRevision: compacted - 1,
    members,
  };
}

export const noMembership: Membership = {
  voters: [],
  outgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

function encodeMembership(membership: Membership): Uint8Array {
  const writer = new WireWriter(64);
  for (const node of membership.voters) writer.uint(1, node);
  for (const node of membership.outgoing) writer.uint(2, node);
  for (const node of membership.learners) writer.uint(3, node);
  for (const node of membership.learnersNext) writer.uint(4, node);
  return writer.bool(5, membership.autoLeave).finish();
}

function decodeMembership(bytes: Uint8Array): Membership {
  const reader = new WireReader(bytes);
  const voters: number[] = [];
  const outgoing: number[] = [];
  const learners: number[] = [];
  const learnersNext: number[] = [];
  let autoLeave = false;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 1 * 8) voters.push(reader.varint());
    else if (tag === 2 * 8) outgoing.push(reader.varint());
    else if (tag === 3 * 8) learners.push(reader.varint());
    else if (tag === 4 * 8) learnersNext.push(reader.varint());
    else if (tag === 5 * 8) autoLeave = reader.varint() !== 0;
    else reader.skip(tag);
  }
  return { voters, outgoing, learners, learnersNext, autoLeave };
}
