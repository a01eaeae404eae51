// The commands of the replicated log: one byte that says which, then the request as etcd's protobuf
// message encodes it. The numbers are on disk and on the wire: never reuse one.

export const CommandKind = {
  /** etcdserverpb.PutRequest */
  put: 1,
  /** etcdserverpb.DeleteRangeRequest */
  deleteRange: 2,
  /** etcdserverpb.TxnRequest */
  txn: 3,
  /** etcdserverpb.CompactionRequest */
  compaction: 4,
  /** etcdserverpb.Member: a member publishes its name and client URLs */
  memberAttributes: 5,
  /** etcdserverpb.LeaseGrantRequest, with the ID and the time to live that the lease gets */
  leaseGrant: 6,
  /** etcdserverpb.LeaseRevokeRequest */
  leaseRevoke: 7,
  /** quorate.lease.v1.LeaseExpiry */
  leaseExpiry: 8,
  /** quorate.lease.v1.LeaseCheckpoint */
  leaseCheckpoint: 9,
  /** quorate.lease.v1.LeaseRenewal */
  leaseRenewal: 10,
} as const;
export type CommandKind = (typeof CommandKind)[keyof typeof CommandKind];

/** A command ready to propose. */
export function encodeCommand(kind: CommandKind, request: Uint8Array): Uint8Array {
  const command = Buffer.allocUnsafe(1 + request.length);
  command[0] = kind;
  command.set(request, 1);
  return command;
}
