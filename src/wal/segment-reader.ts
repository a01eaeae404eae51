// Reads the frames of one segment in order, and looks for valid frames behind one that is not. The
// file is read in windows, so that entries handed out keep a window alive, not the whole segment.
import type { DiskFile } from "./disk.js";
import {
  checksumFits,
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  frameBytes,
  MARKER_BYTES,
  SEGMENT_HEADER_BYTES,
} from "./format.js";

const WINDOW_BYTES = 1024 * 1024;

export interface Frame {
  readonly offset: number;
  /** Where the next frame would start. */
  readonly end: number;
  /** What was durable when the frame was written (see sealFrame). */
  readonly durable: number;
  readonly body: Buffer;
}

export class SegmentReader {
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  constructor(
    readonly file: DiskFile,
    readonly size: number,
    readonly marker: Uint8Array,
    readonly markerCrc: number,
  ) {}

  /** `length` bytes from `offset`, fewer at the end of the file. */
  async #bytes(offset: number, length: number): Promise<Buffer> {
    const wanted = Math.min(length, this.size - offset);
    const inside = offset - this.#windowAt;
    if (inside >= 0 && inside + wanted <= this.#window.length) {
      return this.#window.subarray(inside, inside + wanted);
    }
    // A new buffer each time: frames of the old one may still be in use.
    const window = Buffer.allocUnsafeSlow(Math.min(Math.max(WINDOW_BYTES, wanted), this.size - offset));
    const count = await this.file.read(window, offset);
    this.#window = window.subarray(0, count);
    this.#windowAt = offset;
    return this.#window.subarray(0, wanted);
  }

  /** The frame at `offset`, or why there is none. */
  async frameAt(offset: number): Promise<Frame | string> {
    const start = await this.#bytes(offset, FRAME_HEADER_BYTES);
    const header: FrameHeader | string = decodeFrameHeader(start, this.marker, offset);
    if (typeof header === "string") return header;
    const whole = FRAME_HEADER_BYTES + header.bodyLength;
    if (offset + whole > this.size) return "the frame is longer than the file";
    const bytes = await this.#bytes(offset, whole);
    if (bytes.length < whole || !checksumFits(bytes, header, this.markerCrc)) return "the checksum is wrong";
    return {
      offset,
      end: offset + frameBytes(header.bodyLength),
      durable: header.durable,
      body: bytes.subarray(FRAME_HEADER_BYTES),
    };
  }

  /**
   * Every place at or behind `from` where this life of the file left a frame's marker, whether or
   * not the frame is whole.
   */
  async markersFrom(from: number): Promise<number[]> {
    const found: number[] = [];
    for (let at = Math.max(from, SEGMENT_HEADER_BYTES); at < this.size; ) {
      const bytes = await this.#bytes(at, WINDOW_BYTES);
      if (bytes.length < MARKER_BYTES) break;
      for (let hit = bytes.indexOf(this.marker); hit >= 0; hit = bytes.indexOf(this.marker, hit + 1)) {
        found.push(at + hit);
      }
      // Windows overlap by less than a marker, so that none is missed and none is seen twice.
      at += bytes.length - (MARKER_BYTES - 1);
    }
    return found;
  }
}
