// What happens beside the writes: zeros ahead of the write position, the next segment made ready, and
// segments that nobody needs taken out of the log. One task at a time, none of them on the hot path.

import { strict as assert } from "node:assert";
import { WalDiskFull, writeFailure } from "./errors.js";
import { SEGMENT_HEADER_BYTES } from "./format.js";
import type { GroupState } from "./group-state.js";
import type { Segment, SegmentStore } from "./segments.js";

export class Housekeeping {
  /** The segments of the log in order; the last is written to. */
  readonly segments: Segment[] = [];
  readonly #store: SegmentStore;
  readonly #segmentBytes: number;
  readonly #fail: (path: string, error: Error) => void;
  #ready: Segment | undefined;
  #before: { readonly sequence: number; readonly end: number } = { sequence: 0, end: 0 };
  /** The task under way, and the segment it writes zeros to. */
  #task: Promise<void> | undefined;
  #filling: Segment | undefined;
  /** How many segments at the front are needless, durably. */
  #unneeded = 0;
  /** The disk was full when a successor of this segment was to be prepared: not tried again. */
  #fullSince: Segment | undefined;
  #stopped = false;

  constructor(
    store: SegmentStore,
    segmentBytes: number,
    ready: Segment | undefined,
    fail: (path: string, error: Error) => void,
  ) {
    this.#store = store;
    this.#segmentBytes = segmentBytes;
    this.#ready = ready;
    this.#fail = fail;
  }

  unbegun(segment: Segment): boolean {
    return segment.end === SEGMENT_HEADER_BYTES;
  }

  /** A frame that fits nowhere goes into an empty segment all the same, and makes it longer. */
  mustSwitch(segment: Segment, bytes: number): boolean {
    return segment.end + bytes > this.#segmentBytes && !this.unbegun(segment);
  }

  needsWait(segment: Segment, bytes: number): boolean {
    return (
      this.mustSwitch(segment, bytes) || (this.#filling === segment && segment.end + bytes > segment.filled)
    );
  }

  /** Resolves when no zeros are on their way into the segment. */
  async settled(segment: Segment): Promise<void> {
    while (this.#filling === segment) await this.#task;
  }

  /** The segment before the last one and where its frames ended; known while the last is unbegun. */
  get before(): { readonly sequence: number; readonly end: number } {
    return this.#before;
  }

  /** The segment to go on with, made now if it is not ready. */
  async next(sequence: number): Promise<Segment> {
    while (this.#task !== undefined) await this.#task;
    const last = this.segments.at(-1)!;
    this.#before = { sequence: last.sequence, end: last.end };
    const segment = this.#ready ?? (await this.#store.create(sequence));
    this.#ready = undefined;
    this.segments.push(segment);
    return segment;
  }

  /** Whether the first segment could go if the group's entries up to `index` went. */
  frees(states: ReadonlyMap<number, GroupState>, group: number, index: number): boolean {
    const first = this.segments[0];
    if (first === undefined || this.segments.length < 2) return false;
    for (const [each, highest] of first.highest) {
      const kept = each === group ? index : (states.get(each)?.after.index ?? 0);
      if (highest > kept) return false;
    }
    return true;
  }

  /**
   * Notes which segments nobody needs and starts what is due. Called at moments when everything in
   * `states` is durable: a segment may go only when what makes it needless is on disk.
   */
  tend(current: Segment, states: ReadonlyMap<number, GroupState>): void {
    let count = 0;
    while (this.segments[count] !== current && unneeded(this.segments[count]!, states)) count++;
    this.#unneeded = count;
    this.#start(current);
  }

  #start(current: Segment): void {
    if (this.#task !== undefined || this.#stopped) return;
    const task = this.#due(current);
    if (task === undefined) return;
    this.#task = task.then(
      () => this.#ended(current),
      (error: Error) => {
        this.#stopped = true;
        this.#ended(current);
        this.#fail(current.path, error);
      },
    );
  }

  #ended(current: Segment): void {
    this.#task = undefined;
    this.#filling = undefined;
    if (this.segments.at(-1) === current) this.#start(current);
  }

  #due(current: Segment): Promise<void> | undefined {
    if (this.#unneeded > 0) return this.#retire();
    if (this.#store.wantsFilling(current)) {
      this.#filling = current;
      return this.#store.fillAhead(current);
    }
    if (
      this.#ready === undefined &&
      this.#fullSince !== current &&
      current.durable > this.#segmentBytes / 2
    ) {
      return this.#prepare(current);
    }
    return undefined;
  }

  async #retire(): Promise<void> {
    const segment = this.segments.shift();
    assert(segment !== undefined && this.segments.length > 0, "the segment in use is never retired");
    this.#unneeded--;
    await this.#store.retire(segment);
  }

  async #prepare(current: Segment): Promise<void> {
    try {
      this.#ready = await this.#store.prepare(current.sequence + 1);
    } catch (error) {
      // Not needed yet: space may have been freed by then. Anything else than a full disk is fatal.
      const failure = writeFailure("", error as Error);
      if (!(failure instanceof WalDiskFull)) throw error;
      this.#fullSince = current;
    }
  }

  /** No task runs when this resolves, and none begins any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    while (this.#task !== undefined) await this.#task;
  }

  openSegments(): readonly Segment[] {
    return this.#ready === undefined ? this.segments : [...this.segments, this.#ready];
  }
}

function unneeded(segment: Segment, states: ReadonlyMap<number, GroupState>): boolean {
  for (const [group, highest] of segment.highest) {
    if (highest > (states.get(group)?.after.index ?? 0)) return false;
  }
  return true;
}
