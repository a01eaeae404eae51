// What the list of members has against a change of the membership. The node that was asked checks this
// too, for the client's sake; here it holds, since the leader asks when no other change is under way.

import { fromBinary } from "@bufbuild/protobuf";
import type { MembershipChange } from "../consensus/types.js";
import { MemberSchema } from "../gen/etcdserverpb/rpc_pb.js";
import type { MemberInfo } from "../replication/peers/peer-service.js";

/** etcd: no two members share a peer URL, and learners are few. Undefined when the change may go ahead. */
export function objectionTo(
  change: MembershipChange,
  members: readonly MemberInfo[],
  maxLearners: number,
): "peerUrlExists" | "tooManyLearners" | undefined {
  const given = fromBinary(MemberSchema, change.context);
  const learners = members.filter((member) => member.isLearner);
  for (const { op, node } of change.steps) {
    if (op === "remove") continue;
    const others = members.filter((member) => member.id !== node);
    if (Number(given.ID) === node && others.some(({ peerUrls }) => sharesUrl(peerUrls, given.peerURLs))) {
      return "peerUrlExists";
    }
    const isNew = others.length === members.length;
    if (op === "addLearner" && isNew && learners.length >= maxLearners) return "tooManyLearners";
  }
  return undefined;
}

function sharesUrl(a: readonly string[], b: readonly string[]): boolean {
  return a.some((url) => b.includes(url));
}
