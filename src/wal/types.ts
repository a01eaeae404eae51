// What the write-ahead log takes and gives. One log serves every group of a node, so that one fsync
// serves them all. The log knows indices and epochs, never what payloads mean.

import type { Disk } from "./disk.js";

export interface WalEntry {
  readonly index: number;
  readonly epoch: number;
  readonly kind: number;
  readonly payload: Uint8Array;
}

export interface WalHardState {
  readonly promised: { readonly round: number; readonly node: number };
  readonly accepted: { readonly round: number; readonly node: number };
  readonly commit: number;
}

/** One atomic batch of one group: after a crash, all of it is there or none. */
export interface WalBatch {
  readonly group: number;
  readonly truncateAfter?: number;
  readonly entries: readonly WalEntry[];
  readonly hardState?: WalHardState;
  /** The log of this group restarts after this entry (a snapshot was installed). */
  readonly restartAfter?: { readonly index: number; readonly epoch: number };
  readonly mustSync: boolean;
}

/** What a group finds at start. */
export interface RecoveredGroup {
  readonly group: number;
  readonly hardState: WalHardState | undefined;
  /** Id of the entry before the first of `entries` (0,0 when the log begins at 1). */
  readonly after: { readonly index: number; readonly epoch: number };
  readonly entries: readonly WalEntry[];
}

export interface WalOptions {
  /** Folder of the segments; created when missing. */
  readonly directory: string;
  /** Size of a segment, zero-filled ahead of use. Default 64 MiB. */
  readonly segmentBytes?: number;
  /** Called once, at the first failed write or fsync; nothing is written and no callback runs afterwards. */
  readonly onFatal: (error: Error) => void;
  /** Called after every fdatasync with its duration and the bytes it covered. */
  readonly onSync?: (durationSeconds: number, bytes: number) => void;
  /**
   * Small lone batches may be synced on the event loop, which spares two thread hops, while the disk
   * is known to take less than a millisecond and the loop is blocked at most a third of the time.
   * Worth it only on a fast disk of one's own. Default false.
   */
  readonly syncInline?: boolean;
  /** The files; default the real ones. */
  readonly disk?: Disk;
  /** Markers of segments; default node:crypto. */
  readonly randomBytes?: (count: number) => Uint8Array;
  /** Milliseconds of a monotonic clock; default performance.now. */
  readonly now?: () => number;
}

/** An interrupted last write that was cut off at start: worth a line in the log, nothing more. */
export interface TornTail {
  readonly segment: string;
  readonly offset: number;
  /** What was found there instead of a whole frame. */
  readonly found: string;
}

/** What openWal gives. */
export interface OpenedWal {
  readonly wal: Wal;
  readonly groups: Map<number, RecoveredGroup>;
  readonly tornTail: TornTail | undefined;
}

export interface Wal {
  /**
   * Queues a batch. Everything queued while a write is under way goes with the next one, in order.
   * `durable` runs (in order of appending, never synchronously) when the batch is on disk, or
   * merely written when neither it nor any batch before it in the same write asks for a sync.
   */
  append(batch: WalBatch, durable: () => void): void;
  /** The entries of the group up to and including `id` are no longer needed; segments may be recycled. */
  compact(group: number, id: { readonly index: number; readonly epoch: number }): void;
  /** Bytes queued and not yet durable. */
  readonly pendingBytes: number;
  /** Finishes what is queued and releases the files. */
  close(): Promise<void>;
}
