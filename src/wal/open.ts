// Opens the log of a node: finds or creates the folder, recovers what is there, and makes ready to
// append.

import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { nodeDisk } from "./disk.js";
import { openFailure } from "./errors.js";
import { FRAME_HEADER_BYTES, MAX_SEGMENT_BYTES, SEGMENT_HEADER_BYTES } from "./format.js";
import { Log } from "./log.js";
import { recover } from "./recovery.js";
import { SegmentStore } from "./segments.js";
import type { OpenedWal, WalOptions } from "./types.js";

const DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024;

/**
 * Opens or creates the log in `options.directory`. The caller holds the folder's lock (identity.ts).
 * @throws WalDamaged, WalWrongFormat, WalFolderUnusable, WalDiskFull
 */
export async function openWal(options: WalOptions): Promise<OpenedWal> {
  const { directory, segmentBytes = DEFAULT_SEGMENT_BYTES, disk = nodeDisk() } = options;
  assert(
    segmentBytes >= SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES && segmentBytes <= MAX_SEGMENT_BYTES / 2,
    "segmentBytes is between 1 KiB and 2 GiB",
  );
  const store = new SegmentStore({
    disk,
    directory,
    segmentBytes,
    randomBytes: options.randomBytes ?? randomBytes,
  });
  try {
    await disk.makeDirectory(directory);
    const names = await disk.list(directory);
    const recovered = await recover(disk, directory, names);
    await store.discardLeftovers(names);
    const { segments, ready } = recovered;
    const fresh = segments.length === 0;
    if (fresh) segments.push(ready ?? (await store.create(1)));
    const wal = new Log({
      store,
      segmentBytes,
      onFatal: options.onFatal,
      onSync: options.onSync ?? (() => undefined),
      syncInline: options.syncInline ?? false,
      now: options.now ?? (() => performance.now()),
      segments,
      ready: fresh ? undefined : ready,
      states: recovered.states,
    });
    return { wal, groups: recovered.groups, tornTail: recovered.tornTail };
  } catch (error) {
    throw openFailure(directory, error as Error);
  }
}
