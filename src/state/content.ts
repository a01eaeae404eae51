// What one generation of a group's rows holds in memory: the store of keys and the leases, and how both
// are rebuilt from the rows at start or after a snapshot was received.

import { LeaseStore } from "../lease/lease-store.js";
import { emptyRowHead, mainOf, prefixBytes, readRowHead, subOf } from "../mvcc/rows.js";
import { MvccStore } from "../mvcc/store.js";
import { WireReader, WireWriter } from "../protobuf/wire.js";
import type { KeyValueStore, WriteBehind } from "../storage/types.js";
import type { Generation } from "./layout.js";
import type { StateRow } from "./state-row.js";

export interface ContentOptions {
  readonly store: KeyValueStore;
  /** Bytes of recent rows kept in memory. Default 32 MiB. */
  readonly cacheBytes?: number;
  /** Rows a compaction deletes before traffic gets its turn. Default 1000. */
  readonly sweepRows?: number;
  /** Background work failed; the process should stop. */
  readonly onFatal: (error: Error) => void;
  /** Lets other work run between pieces of background work. Default: setImmediate. */
  readonly pause?: () => Promise<void>;
}

/** What one generation holds. */
export interface Content {
  readonly kv: MvccStore;
  readonly leases: LeaseStore;
}

export function createContent(
  options: ContentOptions,
  buffer: WriteBehind,
  generation: Generation,
  state: StateRow,
  swept: Uint8Array | undefined,
  commit: () => void,
): Content {
  const leases = new LeaseStore(buffer, generation.leases);
  const kv = new MvccStore({
    store: options.store,
    buffer,
    prefix: generation.revisions,
    ...(options.cacheBytes === undefined ? {} : { cacheBytes: options.cacheBytes }),
    ...(options.sweepRows === undefined ? {} : { sweepRows: options.sweepRows }),
    revision: state.revision,
    compactedRevision: state.compactedRevision,
    sweptRevision: swept === undefined ? -1 : new WireReader(swept).varint(),
    leaseExists: (lease) => leases.exists(lease),
    attachments: leases,
    noteSwept: (revision) => buffer.put(generation.sweptKey, new WireWriter(16).varint(revision).finish()),
    commit,
    pause: options.pause ?? (() => new Promise((resolve) => setImmediate(resolve))),
    onFatal: options.onFatal,
  });
  return { kv, leases };
}

/**
 * Rebuilds leases, index and attachments from the rows of a generation, in the order in which they were
 * made. A lease that old rows of a key mention may be gone: then the key's newest row has another or none.
 */
export async function loadContent(
  store: KeyValueStore,
  generation: Generation,
  { kv, leases }: Content,
): Promise<void> {
  await leases.load(store);
  const { index } = kv;
  const head = emptyRowHead();
  for await (const rows of store.scan({ gte: generation.revisions, lt: generation.revisionsEnd })) {
    for (const [key, row] of rows) {
      readRowHead(row, head);
      index.restore(head.key, head.create, mainOf(key, prefixBytes), head.version, subOf(key, prefixBytes));
      if (head.lease !== 0n || leases.attachedKeys > 0) leases.attach(head.key, head.lease);
    }
  }
}
