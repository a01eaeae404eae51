// Cuts the bytes of a connection into frames however the network split them. Frames whole within a
// chunk are handed over in place; one that spans chunks is gathered in a buffer of its own, so a view
// into a frame stays valid as long as somebody holds it.

import { ConnectionError, ErrorCode, frameHeaderBytes, readUint31 } from "./frames.js";

export interface FrameSink {
  /** One frame, its payload in buffer[start, end). False stops the reader for good. */
  frame(type: number, flags: number, streamId: number, buffer: Buffer, start: number, end: number): boolean;
}

export class FrameReader {
  private readonly head = Buffer.alloc(frameHeaderBytes);
  private headFilled = 0;
  private body: Buffer | undefined;
  private bodyFilled = 0;

  constructor(
    private readonly sink: FrameSink,
    private readonly maxFrameBytes: number,
  ) {}

  /** @throws ConnectionError FRAME_SIZE_ERROR, and whatever the sink throws. */
  push(chunk: Buffer, from = 0): void {
    let at = from;
    if (this.headFilled > 0) {
      at = this.resume(chunk, at);
      if (at < 0) return;
    }
    const limit = chunk.length;
    while (limit - at >= frameHeaderBytes) {
      const length = (chunk[at]! << 16) | (chunk[at + 1]! << 8) | chunk[at + 2]!;
      if (length > this.maxFrameBytes) this.tooLong(length);
      const start = at + frameHeaderBytes;
      const end = start + length;
      if (end > limit) break;
      if (!this.sink.frame(chunk[at + 3]!, chunk[at + 4]!, readUint31(chunk, at + 5), chunk, start, end))
        return;
      at = end;
    }
    if (at < limit) this.stash(chunk, at);
  }

  /** Completes the frame begun in earlier chunks; -1 when this chunk does not complete it. */
  private resume(chunk: Buffer, from: number): number {
    let at = from;
    if (this.headFilled < frameHeaderBytes) {
      const take = Math.min(frameHeaderBytes - this.headFilled, chunk.length - at);
      chunk.copy(this.head, this.headFilled, at, at + take);
      this.headFilled += take;
      at += take;
      if (this.headFilled < frameHeaderBytes) return -1;
    }
    const head = this.head;
    if (this.body === undefined) {
      const length = (head[0]! << 16) | (head[1]! << 8) | head[2]!;
      if (length > this.maxFrameBytes) this.tooLong(length);
      this.body = Buffer.allocUnsafe(length);
      this.bodyFilled = 0;
    }
    const body = this.body;
    const take = Math.min(body.length - this.bodyFilled, chunk.length - at);
    chunk.copy(body, this.bodyFilled, at, at + take);
    this.bodyFilled += take;
    at += take;
    if (this.bodyFilled < body.length) return -1;
    this.headFilled = 0;
    this.body = undefined;
    return this.sink.frame(head[3]!, head[4]!, readUint31(head, 5), body, 0, body.length) ? at : -1;
  }

  private stash(chunk: Buffer, from: number): void {
    this.headFilled = 0;
    this.body = undefined;
    const take = Math.min(frameHeaderBytes, chunk.length - from);
    chunk.copy(this.head, 0, from, from + take);
    this.headFilled = take;
    if (take === frameHeaderBytes) this.resume(chunk, from + take);
  }

  private tooLong(length: number): never {
    throw new ConnectionError(
      ErrorCode.FRAME_SIZE_ERROR,
      `frame of ${length} bytes, larger than ${this.maxFrameBytes}`,
    );
  }
}
