// The files of the log: creating, zero-filling and recycling segments. A segment gets its name only
// when its header is durable, and loses it, durably, before the header is written again; so a crash
// at any point leaves either a whole segment or a file that is not one.
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { crc32 } from "./checksum.js";
import { type Disk, type DiskFile, syncAll, writeAll } from "./disk.js";
import { encodeSegmentHeader, MARKER_BYTES, SEGMENT_HEADER_BYTES, segmentName } from "./format.js";

const FILL_CHUNK_BYTES = 256 * 1024;
/** Zeros written between two syncs, so that a fill never builds up a burst of dirty pages. */
const FILL_SYNC_BYTES = 4 * 1024 * 1024;
/** How far ahead of the write position a segment that is used while being filled is kept zeroed. */
const FILL_AHEAD_BYTES = 1024 * 1024;
/** Files kept for reuse; more are deleted. */
const SPARES = 2;
const SPARE_SUFFIX = ".spare";

export class Segment {
  readonly markerCrc: number;
  /** Where the next frame goes. */
  end = SEGMENT_HEADER_BYTES;
  /** Everything before this offset is on disk. */
  durable = SEGMENT_HEADER_BYTES;
  /** Highest entry index in this segment of each group that still counts. */
  readonly highest = new Map<number, number>();

  constructor(
    readonly sequence: number,
    readonly marker: Uint8Array,
    readonly path: string,
    readonly file: DiskFile,
    /** The file is this long; bytes behind `end` are zeros or frames of an earlier life. */
    public filled: number,
  ) {
    this.markerCrc = crc32(marker);
  }

  get name(): string {
    return segmentName(this.sequence);
  }
}

export interface SegmentStoreOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly segmentBytes: number;
  readonly randomBytes: (count: number) => Uint8Array;
}

export class SegmentStore {
  readonly #options: SegmentStoreOptions;
  readonly #zeros: Buffer;
  /** Full-size files waiting for reuse. */
  readonly #spares: string[] = [];
  #unique = 0;

  constructor(options: SegmentStoreOptions) {
    this.#options = options;
    this.#zeros = Buffer.alloc(Math.min(FILL_CHUNK_BYTES, options.segmentBytes));
  }

  /** Deletes what an interrupted creation or recycling left behind. `names` lists the folder. */
  async discardLeftovers(names: readonly string[]): Promise<void> {
    for (const name of names.filter((each) => each.endsWith(SPARE_SUFFIX))) {
      await this.#options.disk.remove(join(this.#options.directory, name));
    }
  }

  /** A segment to write to at once: a spare, or a new file whose zeros are written as it is used. */
  create(sequence: number): Promise<Segment> {
    return this.#make(sequence, SEGMENT_HEADER_BYTES);
  }

  /** A segment for later: a spare, or a new file zero-filled to its full size. */
  prepare(sequence: number): Promise<Segment> {
    return this.#make(sequence, this.#options.segmentBytes);
  }

  async #make(sequence: number, fillTo: number): Promise<Segment> {
    const { disk, directory, segmentBytes, randomBytes } = this.#options;
    const spare = this.#spares.pop();
    const temporary = spare ?? join(directory, `${segmentName(sequence)}.${this.#unique++}${SPARE_SUFFIX}`);
    const file = await disk.open(temporary, spare === undefined ? "create" : "existing");
    const marker = randomBytes(MARKER_BYTES);
    const path = join(directory, segmentName(sequence));
    try {
      await writeAll(file, encodeSegmentHeader({ sequence, marker }), 0);
      const segment = new Segment(sequence, marker, path, file, SEGMENT_HEADER_BYTES);
      if (spare !== undefined) segment.filled = segmentBytes;
      else await this.#fill(segment, Math.min(fillTo, segmentBytes));
      await syncAll(file);
      await disk.rename(temporary, path);
      await disk.syncDirectory(directory);
      return segment;
    } catch (error) {
      // The name was not given away yet; an incomplete file would only hold space on a full disk.
      await file.close();
      await disk.remove(temporary).catch((removal: unknown) => {
        throw new AggregateError(
          [error, removal],
          `${(error as Error).message}; nor can ${temporary} be removed`,
        );
      });
      throw error;
    }
  }

  /** Whether zeros should be written ahead of the write position now. */
  wantsFilling(segment: Segment): boolean {
    return segment.filled < this.#options.segmentBytes && segment.filled < segment.end + FILL_AHEAD_BYTES;
  }

  /**
   * Writes the next zeros of a segment in use. The caller lets no frame reach beyond
   * `segment.filled` until it resolves.
   */
  async fillAhead(segment: Segment): Promise<void> {
    await this.#fillOnce(segment, this.#options.segmentBytes);
  }

  async #fill(segment: Segment, to: number): Promise<void> {
    let unsynced = 0;
    while (segment.filled < to) {
      unsynced += await this.#fillOnce(segment, to);
      if (unsynced < FILL_SYNC_BYTES) continue;
      await syncAll(segment.file);
      unsynced = 0;
    }
  }

  async #fillOnce(segment: Segment, to: number): Promise<number> {
    const count = Math.min(this.#zeros.length, to - segment.filled);
    await writeAll(segment.file, this.#zeros.subarray(0, count), segment.filled);
    segment.filled += count;
    return count;
  }

  /**
   * Takes a segment that nobody needs out of the log, for reuse or for good. Must be called on the
   * first segments first, one at a time: a gap in the sequence would be taken for damage.
   */
  async retire(segment: Segment): Promise<void> {
    const { disk, directory, segmentBytes } = this.#options;
    await segment.file.close();
    if (segment.filled === segmentBytes && this.#spares.length < SPARES) {
      const spare = join(directory, `${segment.name}.${this.#unique++}${SPARE_SUFFIX}`);
      await disk.rename(segment.path, spare);
      await disk.syncDirectory(directory);
      this.#spares.push(spare);
    } else {
      await disk.remove(segment.path);
      await disk.syncDirectory(directory);
    }
    assert(this.#spares.length <= SPARES, "spares are bounded");
  }
}
