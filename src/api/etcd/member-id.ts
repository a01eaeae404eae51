// How members get their IDs: from what tells them apart, so that the nodes of a new cluster agree on
// each other's without talking, and a member added later never gets one that was used before.

import { createHash } from "node:crypto";
import type { NodeId } from "../../consensus/types.js";

/**
 * A safe integer above 0, of 52 bits: an ID is a number in the log and a uint64 in etcd's API.
 * @param addedAtMs since 1970, for members added to a running cluster; left out at its birth.
 */
export function memberIdOf(peerUrls: readonly string[], clusterName: string, addedAtMs?: number): NodeId {
  const hash = createHash("sha256");
  // A separator that occurs in no URL: no two lists give the same text.
  for (const url of [...peerUrls].sort()) hash.update(url).update("\0");
  hash.update(clusterName);
  if (addedAtMs !== undefined) hash.update("\0").update(String(addedAtMs));
  const digest = hash.digest();
  const id = (digest.readUInt32BE(0) & 0xfffff) * 0x100000000 + digest.readUInt32BE(4);
  return id === 0 ? 1 : id;
}
