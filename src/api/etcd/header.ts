// Response headers of the rarely called services; kv responses carry theirs in encoded form.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ResponseHeaderSchema } from "../../gen/etcdserverpb/rpc_pb.js";
import type { ApiContext } from "../context.js";

export type HeaderInit = MessageInitShape<typeof ResponseHeaderSchema>;

/** With the revision of the store. */
export function fullHeader(context: ApiContext): HeaderInit {
  return { ...clusterHeader(context), revision: BigInt(context.reader.currentRevision) };
}

/** Without a revision, as etcd answers on the cluster service (semantics, H7). */
export function clusterHeader(context: ApiContext): HeaderInit {
  const { clusterId, memberId } = context;
  return { clusterId, memberId, raftTerm: BigInt(context.role.epoch) };
}
