// Reads the log at start. Damage at the very end, where a crash can have interrupted a write that
// nobody was told about, is cut off and reported; any other damage stops the node (WalDamaged).
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { type Disk, syncAll, writeAll } from "./disk.js";
import { WalDamaged, WalWrongFormat } from "./errors.js";
import {
  decodeSegmentHeader,
  MAX_SEGMENT_BYTES,
  SEGMENT_HEADER_BYTES,
  segmentName,
  sequenceOf,
} from "./format.js";
import type { GroupState } from "./group-state.js";
import { decodeRecords, type LogRecord, MalformedRecord } from "./records.js";
import { Replay } from "./replay.js";
import { type Frame, SegmentReader } from "./segment-reader.js";
import { Segment } from "./segments.js";
import type { RecoveredGroup, TornTail } from "./types.js";

export interface Recovered {
  /** In order; all but the last are full. Empty when there is no log yet. */
  readonly segments: Segment[];
  /** A segment that was prepared and not begun. */
  readonly ready: Segment | undefined;
  readonly states: Map<number, GroupState>;
  readonly groups: Map<number, RecoveredGroup>;
  readonly tornTail: TornTail | undefined;
}

interface Opened {
  readonly segment: Segment;
  readonly reader: SegmentReader;
}

async function openSegment(disk: Disk, directory: string, sequence: number): Promise<Opened> {
  const name = segmentName(sequence);
  const path = join(directory, name);
  const file = await disk.open(path, "existing");
  const size = await file.size();
  const head = Buffer.alloc(Math.min(SEGMENT_HEADER_BYTES, size));
  await file.read(head, 0);
  const reading = decodeSegmentHeader(head);
  if (reading.kind === "foreign") throw new WalWrongFormat(path, reading.found);
  // A segment is named only when its header is durable: no crash leaves a bad one.
  if (reading.kind === "damaged") throw new WalDamaged(name, 0, reading.found);
  if (reading.header.sequence !== sequence) {
    throw new WalDamaged(name, 0, `the header is that of segment ${segmentName(reading.header.sequence)}`);
  }
  if (size > MAX_SEGMENT_BYTES) throw new WalDamaged(name, 0, `the file has ${size} bytes`);
  const segment = new Segment(sequence, reading.header.marker, path, file, size);
  return { segment, reader: new SegmentReader(file, size, segment.marker, segment.markerCrc) };
}

function recordsOf(segment: Segment, frame: Frame): LogRecord[] {
  try {
    return decodeRecords(frame.body);
  } catch (error) {
    if (error instanceof MalformedRecord) throw new WalDamaged(segment.name, frame.offset, error.message);
    throw error;
  }
}

class Recovery {
  readonly replay = new Replay();
  readonly segments: Segment[] = [];
  tornTail: TornTail | undefined;

  /** Replays one segment up to its last whole frame. */
  async read({ segment, reader }: Opened): Promise<{ readonly frames: number; readonly stop: string }> {
    let frames = 0;
    for (;;) {
      const frame = await reader.frameAt(segment.end);
      if (typeof frame === "string") return { frames, stop: frame };
      const records = recordsOf(segment, frame);
      if (frames === 0) this.#begin(segment, records);
      for (const record of records) this.#take(segment, frame, record);
      segment.end = frame.end;
      frames++;
    }
  }

  #begin(segment: Segment, records: readonly LogRecord[]): void {
    const state = records[0];
    if (state?.type !== "state") {
      throw new WalDamaged(
        segment.name,
        segment.end,
        "the segment does not begin with the state of the groups",
      );
    }
    const before = this.segments.at(-1);
    if (before === undefined) {
      this.replay.begin(state.groups);
      return;
    }
    const { sequence, end } = state.previous;
    if (sequence !== before.sequence || end !== before.end) {
      throw new WalDamaged(
        before.name,
        before.end,
        `no whole frame is here, though the log went on to offset ${end} and into segment ${segment.name}`,
      );
    }
    const differs = this.replay.disagreement(state.groups);
    if (differs !== undefined) throw new WalDamaged(segment.name, segment.end, differs);
  }

  #take(segment: Segment, frame: Frame, record: LogRecord): void {
    switch (record.type) {
      case "state":
        if (frame.offset !== SEGMENT_HEADER_BYTES) {
          throw new WalDamaged(
            segment.name,
            frame.offset,
            "a state of the groups in the middle of a segment",
          );
        }
        return;
      case "closed":
        return;
      case "batch": {
        const problem = this.replay.take(record.batch);
        if (problem !== undefined) throw new WalDamaged(segment.name, frame.offset, problem);
        noteHighest(this.segments, segment, record.batch);
        return;
      }
      default:
        record satisfies never;
    }
  }

  /**
   * Decides about whatever this life of the last segment left behind its last whole frame. A whole
   * frame further on that was written when the bad place was already durable proves damage; without
   * one, the last write before a crash was interrupted.
   */
  async settleTail({ segment, reader }: Opened, stop: string): Promise<void> {
    const markers = await reader.markersFrom(segment.end);
    if (markers.length === 0) return;
    let garbageEnd = segment.end;
    for (const offset of markers) {
      const frame = await reader.frameAt(offset);
      if (typeof frame === "string") {
        garbageEnd = Math.max(garbageEnd, offset + SEGMENT_HEADER_BYTES);
        continue;
      }
      if (frame.durable > segment.end) {
        throw new WalDamaged(
          segment.name,
          segment.end,
          `${stop}, though a later frame at ${offset} is whole`,
        );
      }
      garbageEnd = Math.max(garbageEnd, frame.end);
    }
    await this.#erase(segment, Math.min(garbageEnd, reader.size));
    this.tornTail = { segment: segment.name, offset: segment.end, found: stop };
  }

  /** Zeros in place of the torn frames, durable before anything is written over them. */
  async #erase(segment: Segment, to: number): Promise<void> {
    const zeros = Buffer.alloc(Math.min(to - segment.end, 1024 * 1024));
    for (let at = segment.end; at < to; at += zeros.length) {
      await writeAll(segment.file, zeros.subarray(0, Math.min(zeros.length, to - at)), at);
    }
    await syncAll(segment.file);
  }
}

/** Keeps, per segment, the highest entry of each group that is still part of the log. */
export function noteHighest(
  earlier: readonly Segment[],
  current: Segment,
  batch: {
    readonly group: number;
    readonly truncateAfter?: number;
    readonly restartAfter?: unknown;
    readonly entries: readonly { readonly index: number }[];
  },
): void {
  const { group, truncateAfter } = batch;
  if (batch.restartAfter !== undefined) {
    for (const segment of earlier) segment.highest.delete(group);
    current.highest.delete(group);
  }
  if (truncateAfter !== undefined) {
    for (const segment of [...earlier, current]) {
      const highest = segment.highest.get(group);
      if (highest !== undefined && highest > truncateAfter) segment.highest.set(group, truncateAfter);
    }
  }
  const last = batch.entries.at(-1);
  if (last !== undefined) current.highest.set(group, last.index);
}

/** @throws WalDamaged, WalWrongFormat, or the error of a failed read. */
export async function recover(disk: Disk, directory: string, names: readonly string[]): Promise<Recovered> {
  const sequences = names
    .map(sequenceOf)
    .filter((sequence) => sequence !== undefined)
    .sort((a, b) => a - b);
  const opened: Opened[] = [];
  try {
    for (const sequence of sequences) {
      const before = opened.at(-1)?.segment;
      if (before !== undefined && before.sequence + 1 !== sequence) {
        throw new WalDamaged(segmentName(before.sequence + 1), 0, "the segment is missing");
      }
      opened.push(await openSegment(disk, directory, sequence));
    }
    return await replayAll(opened);
  } catch (error) {
    for (const { segment } of opened) await segment.file.close();
    throw error;
  }
}

async function replayAll(opened: readonly Opened[]): Promise<Recovered> {
  const recovery = new Recovery();
  let last: { readonly opened: Opened; readonly stop: string } | undefined;
  let ready: Segment | undefined;
  for (const each of opened) {
    const { segment } = each;
    const { frames, stop } = await recovery.read(each);
    if (frames === 0) {
      if (each !== opened.at(-1)) {
        // A segment is created only when the one before holds durable frames.
        throw new WalDamaged(segment.name, segment.end, `${stop}, though another segment follows`);
      }
      // Nothing, or the torn first write; settleTail throws when it was more.
      await recovery.settleTail(each, stop);
      ready = segment;
      continue;
    }
    recovery.segments.push(segment);
    last = { opened: each, stop };
  }
  if (last !== undefined) await recovery.settleTail(last.opened, last.stop);
  for (const segment of recovery.segments) segment.durable = segment.end;
  const groups = recovery.replay.result();
  if (typeof groups === "string") {
    const first = recovery.segments[0];
    assert(first !== undefined, "groups come from segments");
    throw new WalDamaged(first.name, SEGMENT_HEADER_BYTES, groups);
  }
  const { segments, replay, tornTail } = recovery;
  return { segments, ready, states: replay.states, groups, tornTail };
}
