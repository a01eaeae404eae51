// How many connections a node may take: each is an open file, and a node that has none left for its log
// and its store must stop.

import { readFileSync } from "node:fs";

/** Files of the log, the store and the process itself, and connections among nodes. */
const ownFiles = 1200;

/** Open files this process may have; undefined where the system does not say. */
export function openFilesLimit(): number | undefined {
  let limits: string;
  try {
    limits = readFileSync("/proc/self/limits", "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const soft = /^Max open files +(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

/** Client connections at a time under that limit: at least half of it stays when it is small. */
export function connectionsWithin(limit: number): number {
  return Math.max(1, limit - Math.min(ownFiles, Math.ceil(limit / 2)));
}

/** Connections on the peer port at a time: members need one or two each, strangers none. */
export function peerConnectionsWithin(limit: number): number {
  return Math.min(300, Math.ceil(limit / 8));
}
