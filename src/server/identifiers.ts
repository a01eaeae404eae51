// Identifiers of members and clusters, derived as etcd derives them (the first bytes of a SHA-1) but
// cut to 52 bits: they are safe integers inside and ordinary uint64 outside.

import { createHash } from "node:crypto";

/** First 52 bits of the SHA-1 of `text`, never 0. */
function digest(text: string | Uint8Array): number {
  const hash = createHash("sha1").update(text).digest();
  return hash.readUIntBE(0, 6) * 16 + (hash[6]! >> 4) || 1;
}

/** Identifier of a member at the birth of its cluster: the same on every node. */
export function initialMemberId(peerUrls: readonly string[], clusterToken: string): number {
  return digest([...peerUrls].sort().join("") + clusterToken);
}

/** Identifier of a cluster: derived from its first members. */
export function clusterIdOf(memberIds: readonly number[]): number {
  return digest([...memberIds].sort((a, b) => a - b).join(","));
}
