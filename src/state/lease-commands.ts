// Applies the commands about leases. What a leader decided by its clock holds only while nobody renewed
// the lease since and the leader who decided is the one who wrote the entry: an expiry that was forwarded
// to a later leader, who may have renewed the lease meanwhile, does nothing.

import type { EntryId } from "../consensus/types.js";
import type { LeaseStore } from "../lease/lease-store.js";
import { decodeCheckpoint, decodeExpiry, decodeRenewal } from "../lease/messages.js";
import type { Refused } from "../mvcc/messages.js";
import type { MvccStore } from "../mvcc/store.js";
import { WireReader } from "../protobuf/wire.js";
import { CommandKind } from "./commands.js";

export interface LeaseGranted {
  readonly kind: "leaseGrant";
  /** Current revision; a grant makes none. */
  readonly revision: number;
}

export interface LeaseRevoked {
  readonly kind: "leaseRevoke";
  /** That of the deletion of its keys, or the current one when it had none. */
  readonly revision: number;
}

export interface LeasesDecided {
  readonly kind: "leaseExpiry" | "leaseCheckpoint" | "leaseRenewal";
}

export type LeaseCommandKind =
  | typeof CommandKind.leaseGrant
  | typeof CommandKind.leaseRevoke
  | typeof CommandKind.leaseExpiry
  | typeof CommandKind.leaseCheckpoint
  | typeof CommandKind.leaseRenewal;

interface Content {
  readonly kv: MvccStore;
  readonly leases: LeaseStore;
}

export function applyLeaseCommand(
  kind: LeaseCommandKind,
  command: Uint8Array,
  id: EntryId,
  content: Content,
): LeaseGranted | LeaseRevoked | LeasesDecided | Refused {
  const { kv, leases } = content;
  switch (kind) {
    case CommandKind.leaseGrant: {
      const { lease, ttl } = decodeGrant(command);
      if (!leases.grant(lease, Math.max(1, ttl), id.index)) return { kind: "refused", reason: "leaseExists" };
      return { kind: "leaseGrant", revision: kv.currentRevision };
    }
    case CommandKind.leaseRevoke: {
      const slot = leases.findId(decodeGrant(command).lease);
      if (slot < 0) return { kind: "refused", reason: "leaseNotFound" };
      revoke(content, slot);
      return { kind: "leaseRevoke", revision: kv.currentRevision };
    }
    case CommandKind.leaseExpiry: {
      const { epoch, ids, versions } = decodeExpiry(command, 1);
      if (epoch === id.epoch) forEachCurrent(leases, ids, versions, (slot) => revoke(content, slot));
      return { kind: "leaseExpiry" };
    }
    case CommandKind.leaseCheckpoint: {
      const { epoch, ids, versions, remaining } = decodeCheckpoint(command, 1);
      if (epoch === id.epoch)
        forEachCurrent(leases, ids, versions, (slot, at) => leases.checkpoint(slot, remaining[at]!));
      return { kind: "leaseCheckpoint" };
    }
    case CommandKind.leaseRenewal: {
      const ids = decodeRenewal(command, 1);
      for (let at = 0; at < ids.length; at += 2) {
        const slot = leases.find(ids[at]!, ids[at + 1]!);
        if (slot >= 0) leases.renew(slot, id.index);
      }
      return { kind: "leaseRenewal" };
    }
    default:
      return kind satisfies never;
  }
}

/** Throws WireError on a command that cannot be applied. */
export function decodeLeaseCommand(kind: LeaseCommandKind, command: Uint8Array): void {
  switch (kind) {
    case CommandKind.leaseGrant:
    case CommandKind.leaseRevoke:
      decodeGrant(command);
      break;
    case CommandKind.leaseExpiry:
      decodeExpiry(command, 1);
      break;
    case CommandKind.leaseCheckpoint:
      decodeCheckpoint(command, 1);
      break;
    case CommandKind.leaseRenewal:
      decodeRenewal(command, 1);
      break;
    default:
      kind satisfies never;
  }
}

/** The leases that still have the version they were decided on. */
function forEachCurrent(
  leases: LeaseStore,
  ids: readonly number[],
  versions: readonly number[],
  act: (slot: number, at: number) => void,
): void {
  for (let at = 0; at < versions.length; at++) {
    const slot = leases.find(ids[2 * at]!, ids[2 * at + 1]!);
    if (slot >= 0 && leases.version(slot) === versions[at]) act(slot, at);
  }
}

/** All its keys go in one revision, in the order of their bytes. */
function revoke({ kv, leases }: Content, slot: number): void {
  if (leases.keyCount(slot) > 0) kv.deleteKeys(leases.keys(slot));
  leases.remove(slot);
}

/** LeaseGrantRequest, and LeaseRevokeRequest as one without a time: its ID has the other's first number. */
function decodeGrant(command: Uint8Array): { lease: bigint; ttl: number } {
  const grants = command[0] === CommandKind.leaseGrant;
  const reader = new WireReader(command, 1);
  let lease = 0n;
  let ttl = 0;
  while (!reader.done) {
    const tag = reader.tag();
    if (grants && tag === 8) ttl = reader.varint();
    else if (tag === (grants ? 16 : 8)) lease = reader.int64();
    else reader.skip(tag);
  }
  return { lease, ttl };
}
