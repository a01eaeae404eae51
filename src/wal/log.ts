// The write-ahead log itself: one write and one fdatasync under way, everything that arrives
// meanwhile gathered into the next frame. The first failure stops it for good.
import { strict as assert } from "node:assert";
import { type DiskFile, syncAll } from "./disk.js";
import { WalClosed, writeFailure } from "./errors.js";
import { frameBytes, MAX_SEGMENT_BYTES, sealFrame } from "./format.js";
import { FrameBuilder } from "./frame-builder.js";
import { advance, type GroupState, groupOf, type LogBatch, objection } from "./group-state.js";
import { Housekeeping } from "./housekeeping.js";
import { encodeClosed, encodeState } from "./records.js";
import { noteHighest } from "./recovery.js";
import type { Segment, SegmentStore } from "./segments.js";
import { SyncPolicy } from "./sync-policy.js";
import type { Wal, WalBatch } from "./types.js";

/** A frame is closed for more batches when it reaches this; a single batch may be larger. */
const FRAME_TARGET_BYTES = 8 * 1024 * 1024;
/** Larger frames are always written on the pool. */
const INLINE_WRITE_BYTES = 32 * 1024;
const MAX_BATCH_BYTES = 1024 * 1024 * 1024;

export interface LogOptions {
  readonly store: SegmentStore;
  readonly segmentBytes: number;
  readonly onFatal: (error: Error) => void;
  readonly onSync: (durationSeconds: number, bytes: number) => void;
  readonly syncInline: boolean;
  readonly now: () => number;
  /** What recovery found: the segments in order (at least one), and the state of the groups. */
  readonly segments: readonly Segment[];
  readonly ready: Segment | undefined;
  readonly states: ReadonlyMap<number, GroupState>;
}

export class Log implements Wal {
  readonly #options: LogOptions;
  readonly #housekeeping: Housekeeping;
  readonly #policy: SyncPolicy;
  /** The groups with everything appended, and with everything written. */
  readonly #appended = new Map<number, GroupState>();
  readonly #written = new Map<number, GroupState>();
  /** Frames waiting for the disk; batches go into the last one. */
  readonly #waiting: FrameBuilder[] = [];
  /** Builders to use again. */
  readonly #idle: FrameBuilder[] = [];
  #current: Segment;
  /** A frame is being written or synced. */
  #busy = false;
  #scheduled = false;
  #pendingBytes = 0;
  #unsyncedBytes = 0;
  #failed = false;
  #closing: Promise<void> | undefined;
  #whenIdle: (() => void) | undefined;

  constructor(options: LogOptions) {
    this.#options = options;
    for (const [group, state] of options.states) {
      this.#appended.set(group, { ...state });
      this.#written.set(group, { ...state });
    }
    const current = options.segments.at(-1);
    assert(current !== undefined, "a log has a segment");
    this.#current = current;
    this.#policy = new SyncPolicy(options.syncInline, options.now);
    this.#housekeeping = new Housekeeping(options.store, options.segmentBytes, options.ready, (path, error) =>
      this.#fail(path, error),
    );
    this.#housekeeping.segments.push(...options.segments);
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  append(batch: WalBatch, durable: () => void): void {
    this.#queue(batch, durable);
  }

  compact(group: number, id: { readonly index: number; readonly epoch: number }): void {
    const state = this.#appended.get(group);
    if (state === undefined || id.index <= state.after.index) return;
    const mustSync = this.#housekeeping.frees(this.#appended, group, id.index);
    this.#queue({ group, entries: [], compactTo: { index: id.index, epoch: id.epoch }, mustSync }, undefined);
  }

  #queue(batch: LogBatch, durable: (() => void) | undefined): void {
    if (this.#failed) return;
    if (this.#closing !== undefined) throw new WalClosed();
    assert(
      Number.isInteger(batch.group) && batch.group >= 0 && batch.group <= 0xffffffff,
      "group is a uint32",
    );
    const state = groupOf(this.#appended, batch.group);
    const problem = objection(state, batch);
    assert(problem === undefined, `write-ahead log, group ${batch.group}: ${problem}`);
    advance(state, batch);
    const bytes = this.#openFrame().add(batch, durable);
    assert(bytes <= MAX_BATCH_BYTES, `a batch of ${bytes} bytes is too large`);
    this.#pendingBytes += bytes;
    if (this.#busy || this.#scheduled) return;
    // Not at once: what the same turn of the loop appends next should travel along.
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      if (!this.#busy) this.#writeNext(true);
    });
  }

  #openFrame(): FrameBuilder {
    const last = this.#waiting.at(-1);
    const limit = Math.min(FRAME_TARGET_BYTES, this.#options.segmentBytes / 2);
    if (last !== undefined && last.bodyLength < limit) return last;
    const builder = this.#idle.pop() ?? new FrameBuilder();
    this.#waiting.push(builder);
    return builder;
  }

  /** @param lone nothing was under way: the frame may be written on this thread */
  #writeNext(lone: boolean): void {
    if (this.#failed || this.#busy) return;
    const builder = this.#waiting.shift();
    if (builder === undefined) {
      this.#whenIdle?.();
      return;
    }
    this.#busy = true;
    const bytes = frameBytes(builder.bodyLength);
    const blocked = this.#housekeeping.needsWait(this.#current, bytes);
    if (!blocked) {
      this.#write(builder, lone);
      return;
    }
    this.#makeRoom(bytes).then(
      () => this.#write(builder, false),
      (error: Error) => this.#stopAt(this.#current, error),
    );
  }

  /** Ends the current segment when the frame does not fit, and waits for zeros being written in its way. */
  async #makeRoom(bytes: number): Promise<void> {
    if (this.#housekeeping.mustSwitch(this.#current, bytes)) {
      const before = this.#current;
      // A valid frame in a segment proves that the one before is complete.
      if (before.durable < before.end) await syncAll(before.file);
      before.durable = before.end;
      this.#unsyncedBytes = 0;
      this.#current = await this.#housekeeping.next(before.sequence + 1);
    }
    await this.#housekeeping.settled(this.#current);
  }

  #write(builder: FrameBuilder, lone: boolean): void {
    const segment = this.#current;
    if (this.#failed) {
      this.#stopAt(segment, null);
      return;
    }
    if (this.#housekeeping.unbegun(segment)) {
      this.#begin(segment, (error) => {
        if (error || this.#failed) this.#stopAt(segment, error);
        else this.#put(segment, builder, false);
      });
    } else this.#put(segment, builder, lone);
  }

  /** Every segment begins with the state of the groups, as the frame before left it. */
  #begin(segment: Segment, done: (error: Error | null) => void): void {
    const state = new FrameBuilder();
    state.addRecord(encodeState(this.#housekeeping.before, this.#written));
    this.#place(segment, state, (frame, at) => segment.file.write(frame, at, done));
  }

  /** Seals the frame for the end of the segment and hands it to `put`. */
  #place(segment: Segment, builder: FrameBuilder, put: (frame: Buffer, at: number) => void): void {
    const frame = builder.frame();
    const at = segment.end;
    assert(at + frame.length <= MAX_SEGMENT_BYTES, "a segment stays below 4 GiB");
    sealFrame(frame, builder.bodyLength, segment.marker, segment.markerCrc, at, segment.durable);
    segment.end = at + frame.length;
    if (segment.end > segment.filled) segment.filled = segment.end;
    this.#unsyncedBytes += frame.length;
    put(frame, at);
  }

  #put(segment: Segment, builder: FrameBuilder, lone: boolean): void {
    for (const batch of builder.batches) {
      noteHighest(this.#housekeeping.segments, segment, batch);
      advance(groupOf(this.#written, batch.group), batch);
    }
    const inline = lone && frameBytes(builder.bodyLength) <= INLINE_WRITE_BYTES;
    this.#place(segment, builder, (frame, at) => {
      if (!inline) {
        segment.file.write(frame, at, (error) => {
          if (error || this.#failed) this.#stopAt(segment, error);
          else this.#afterWrite(segment, builder, false);
        });
        return;
      }
      if (this.#attempt(segment, (file) => file.writeNow(frame, at)))
        this.#afterWrite(segment, builder, true);
    });
  }

  /** Runs a file operation on this thread; false when it failed, which ends the log. */
  #attempt(segment: Segment, operation: (file: DiskFile) => void): boolean {
    try {
      operation(segment.file);
      return true;
    } catch (error) {
      this.#stopAt(segment, error as Error);
      return false;
    }
  }

  #afterWrite(segment: Segment, builder: FrameBuilder, lone: boolean): void {
    if (!builder.mustSync) {
      this.#complete(builder);
      return;
    }
    const end = segment.end;
    const bytes = this.#unsyncedBytes;
    const begun = this.#options.now();
    const synced = (inline: boolean): void => {
      const took = this.#options.now() - begun;
      this.#policy.took(took, inline);
      segment.durable = end;
      this.#unsyncedBytes = 0;
      this.#options.onSync(took / 1000, bytes);
      // Before the next frame changes what is written and not yet durable.
      this.#housekeeping.tend(segment, this.#written);
      this.#complete(builder);
    };
    if (lone && this.#policy.inline(bytes)) {
      if (this.#attempt(segment, (file) => file.syncNow())) synced(true);
      return;
    }
    segment.file.sync((error) => {
      if (error || this.#failed) this.#stopAt(segment, error);
      else synced(false);
    });
  }

  /** The frame is where its batches asked for: lets the next one go, then tells those who wait. */
  #complete(builder: FrameBuilder): void {
    this.#busy = false;
    this.#pendingBytes -= builder.batches.length === 0 ? 0 : builder.bodyLength;
    this.#writeNext(false);
    for (const callback of builder.callbacks) {
      callback?.();
      if (this.#failed) return;
    }
    builder.reset();
    if (this.#idle.length < 2) this.#idle.push(builder);
  }

  /** The operation under way failed, or ended after the log had failed elsewhere. */
  #stopAt(segment: Segment, error: Error | null): void {
    this.#busy = false;
    if (error !== null) this.#fail(segment.path, error);
    this.#whenIdle?.();
  }

  #fail(path: string, cause: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#waiting.length = 0;
    if (!this.#busy) this.#whenIdle?.();
    this.#options.onFatal(writeFailure(path, cause));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#settled();
    await this.#housekeeping.stop();
    if (!this.#failed && !this.#housekeeping.unbegun(this.#current)) await this.#markClosed(this.#current);
    for (const segment of this.#housekeeping.openSegments()) await segment.file.close();
  }

  /** Resolves when no operation of a frame is under way and none will follow. */
  #settled(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#busy && this.#waiting.length === 0) resolve();
      else this.#whenIdle = resolve;
    });
  }

  /** A last frame that says all before it is durable: no later damage to it passes for a torn write. */
  async #markClosed(segment: Segment): Promise<void> {
    try {
      if (segment.durable < segment.end) await syncAll(segment.file);
      segment.durable = segment.end;
      const builder = new FrameBuilder();
      builder.addRecord(encodeClosed());
      await new Promise<void>((resolve, reject) =>
        this.#place(segment, builder, (frame, at) =>
          segment.file.write(frame, at, (error) => (error ? reject(error) : resolve())),
        ),
      );
      await syncAll(segment.file);
    } catch (error) {
      this.#fail(segment.path, error as Error);
    }
  }
}
