// The frames of a successful unary reply as one piece of bytes, into which the stream id, the lengths
// and the message are filled. A template lives as long as its two header blocks mean the same.

import type { HeaderField } from "./hpack/decoder.js";
import { Flag, FrameType, frame, frameHeaderBytes, writeUint32 } from "./http2/frames.js";

export const okHeaderFields: readonly HeaderField[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
export const okTrailerFields: readonly HeaderField[] = [["grpc-status", "0"]];

const prefixBytes = 5;

export class ReplyTemplate {
  /** HEADERS, then the header of a DATA frame and the five bytes before its message. */
  private readonly head: Buffer;
  /** HEADERS that end the stream. */
  private readonly tail: Buffer;
  /** Bytes of a reply besides its message. */
  readonly bytes: number;

  constructor(headers: Buffer, trailers: Buffer) {
    this.head = Buffer.concat([
      frame(FrameType.HEADERS, Flag.END_HEADERS, 0, headers),
      frame(FrameType.DATA, 0, 0),
      Buffer.alloc(prefixBytes),
    ]);
    this.tail = frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 0, trailers);
    this.bytes = this.head.length + this.tail.length;
  }

  /** Writes a reply of `bytes` + message at `at`; returns the offset behind it. */
  write(into: Buffer, at: number, id: number, message: Uint8Array): number {
    const { head, tail } = this;
    const length = message.length;
    for (let index = 0; index < head.length; index++) into[at + index] = head[index]!;
    writeUint32(into, at + 5, id);
    let to = at + head.length;
    const data = length + prefixBytes;
    const frameAt = to - prefixBytes - frameHeaderBytes;
    into[frameAt] = data >>> 16;
    into[frameAt + 1] = data >>> 8;
    into[frameAt + 2] = data;
    writeUint32(into, frameAt + 5, id);
    writeUint32(into, to - 4, length);
    into.set(message, to);
    to += length;
    for (let index = 0; index < tail.length; index++) into[to + index] = tail[index]!;
    writeUint32(into, to + 5, id);
    return to + tail.length;
  }
}
