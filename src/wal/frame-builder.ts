// Gathers batches into the next frame while the previous one is on its way to disk: encoding happens
// as batches arrive, so that a write can start the moment the disk is free.
import { strict as assert } from "node:assert";
import { FRAME_HEADER_BYTES, frameBytes } from "./format.js";
import type { LogBatch } from "./group-state.js";
import { batchBytes, writeBatch } from "./records.js";

const INITIAL_BYTES = 64 * 1024;
/** A buffer that grew beyond this is not kept for the next frame. */
const KEEP_BYTES = 4 * 1024 * 1024;

export class FrameBuilder {
  buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  /** Bytes of records after the room for the frame's header. */
  bodyLength = 0;
  mustSync = false;
  readonly batches: LogBatch[] = [];
  readonly callbacks: ((() => void) | undefined)[] = [];

  get empty(): boolean {
    return this.bodyLength === 0;
  }

  /** Returns the bytes the batch takes. */
  add(batch: LogBatch, durable: (() => void) | undefined): number {
    const bytes = batchBytes(batch);
    const start = FRAME_HEADER_BYTES + this.bodyLength;
    this.#reserve(start + bytes + 8);
    const end = writeBatch(this.buffer, batch, start);
    assert(end === start + bytes, "a batch takes the bytes announced");
    this.bodyLength += bytes;
    this.mustSync ||= batch.mustSync;
    this.batches.push(batch);
    this.callbacks.push(durable);
    return bytes;
  }

  /** A record that is not a batch: the state of the groups, or the mark of a clean close. */
  addRecord(record: Uint8Array): void {
    this.#reserve(FRAME_HEADER_BYTES + this.bodyLength + record.length + 8);
    this.buffer.set(record, FRAME_HEADER_BYTES + this.bodyLength);
    this.bodyLength += record.length;
  }

  /** The frame with room for its header and with its padding. */
  frame(): Buffer {
    const total = frameBytes(this.bodyLength);
    this.buffer.fill(0, FRAME_HEADER_BYTES + this.bodyLength, total);
    return this.buffer.subarray(0, total);
  }

  reset(): void {
    this.bodyLength = 0;
    this.mustSync = false;
    this.batches.length = 0;
    this.callbacks.length = 0;
    if (this.buffer.length > KEEP_BYTES) this.buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  }

  #reserve(bytes: number): void {
    if (bytes <= this.buffer.length) return;
    let size = this.buffer.length;
    while (size < bytes) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    grown.set(this.buffer.subarray(0, FRAME_HEADER_BYTES + this.bodyLength));
    this.buffer = grown;
  }
}
