// The bytes of a segment: a header of one sector, then frames. A frame is what one write() put there
// and is valid or not as a whole. Its marker is a random number drawn each time the file is (re)used,
// mixed into the checksum too, so that frames of an earlier life of the file are never taken for new
// ones. docs/decisions/0001-one-write-ahead-log.md tells the whole story.
import { crc32 } from "./checksum.js";

export const FORMAT_VERSION = 1;
/** The header has a sector of its own; frames follow it. */
export const SEGMENT_HEADER_BYTES = 512;
export const FRAME_HEADER_BYTES = 24;
export const MARKER_BYTES = 8;
/** Offsets and lengths are 32-bit. */
export const MAX_SEGMENT_BYTES = 0xffffffff;

const MAGIC = "quoratel";
const HEADER_USED = 40;

export interface SegmentHeader {
  readonly sequence: number;
  readonly marker: Uint8Array;
}

const NAME = /^([0-9a-f]{16})\.wal$/;

export const segmentName = (sequence: number): string => `${sequence.toString(16).padStart(16, "0")}.wal`;

/** The sequence number in a segment's file name; undefined for any other file. */
export function sequenceOf(name: string): number | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : Number.parseInt(match[1]!, 16);
}

export function writeU64(target: Buffer, value: number, at: number): number {
  target.writeUInt32LE(value % 0x100000000, at);
  target.writeUInt32LE(Math.floor(value / 0x100000000), at + 4);
  return at + 8;
}

export const readU64 = (source: Buffer, at: number): number =>
  source.readUInt32LE(at + 4) * 0x100000000 + source.readUInt32LE(at);

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  bytes.write(MAGIC, 0, "latin1");
  bytes.writeUInt32LE(FORMAT_VERSION, 8);
  writeU64(bytes, header.sequence, 16);
  bytes.set(header.marker, 24);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_USED - 4)), HEADER_USED - 4);
  return bytes;
}

export type HeaderReading =
  | { readonly kind: "good"; readonly header: SegmentHeader }
  | { readonly kind: "damaged"; readonly found: string }
  | { readonly kind: "foreign"; readonly found: string };

export function decodeSegmentHeader(bytes: Buffer): HeaderReading {
  if (bytes.length < SEGMENT_HEADER_BYTES) {
    return { kind: "damaged", found: `the header ends after ${bytes.length} bytes` };
  }
  const intact = crc32(bytes.subarray(0, HEADER_USED - 4)) === bytes.readUInt32LE(HEADER_USED - 4);
  if (!intact) return { kind: "damaged", found: "the checksum of the header is wrong" };
  if (bytes.toString("latin1", 0, 8) !== MAGIC) return { kind: "foreign", found: "it begins otherwise" };
  const version = bytes.readUInt32LE(8);
  if (version !== FORMAT_VERSION) {
    return { kind: "foreign", found: `format version ${version}, this version reads ${FORMAT_VERSION}` };
  }
  return {
    kind: "good",
    header: { sequence: readU64(bytes, 16), marker: new Uint8Array(bytes.subarray(24, 24 + MARKER_BYTES)) },
  };
}

/** Bytes a frame with such a body takes in the file: frames start at multiples of eight. */
export const frameBytes = (bodyLength: number): number => (FRAME_HEADER_BYTES + bodyLength + 7) & ~7;

/**
 * Completes the frame in `frame` (header room, body, padding).
 * @param bodyLength bytes of body after the header
 * @param offset where in the segment the frame will be
 * @param durable every byte of the segment before this offset was durable when the frame was written:
 *   at recovery, damage before it cannot be the work of a crash
 */
export function sealFrame(
  frame: Buffer,
  bodyLength: number,
  marker: Uint8Array,
  markerCrc: number,
  offset: number,
  durable: number,
): void {
  frame.set(marker, 0);
  frame.writeUInt32LE(bodyLength, 12);
  frame.writeUInt32LE(offset, 16);
  frame.writeUInt32LE(durable, 20);
  frame.writeUInt32LE(crc32(frame.subarray(12, FRAME_HEADER_BYTES + bodyLength), markerCrc), 8);
}

export interface FrameHeader {
  readonly checksum: number;
  readonly bodyLength: number;
  readonly durable: number;
}

/** The header at the start of `bytes`, or what is wrong with it. */
export function decodeFrameHeader(bytes: Buffer, marker: Uint8Array, offset: number): FrameHeader | string {
  if (bytes.length < FRAME_HEADER_BYTES) return "the file ends here";
  if (bytes.compare(marker, 0, MARKER_BYTES, 0, MARKER_BYTES) !== 0) return "no frame starts here";
  const written = bytes.readUInt32LE(16);
  if (written !== offset) return `this frame belongs to offset ${written}`;
  const durable = bytes.readUInt32LE(20);
  if (durable > offset) return "the header of the frame contradicts itself";
  return { checksum: bytes.readUInt32LE(8), bodyLength: bytes.readUInt32LE(12), durable };
}

export const checksumFits = (frame: Buffer, header: FrameHeader, markerCrc: number): boolean =>
  crc32(frame.subarray(12, FRAME_HEADER_BYTES + header.bodyLength), markerCrc) === header.checksum;
