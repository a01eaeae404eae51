// Snapshots on the wire: a stream of rows cut into chunks. A chunk is a CRC-32 of the rest (4 bytes), its
// number from 0 (4), and a piece of the stream. The stream is every row, the state row first:
// each as key length (4), value length (4), key without its group and generation, value. It ends with a
// key length of 0 and the number of rows in place of the value length. All numbers are big-endian.

import { crc32 } from "node:zlib";

export const chunkHeaderBytes = 8;
/** Bytes of a chunk at most, header included. */
export const chunkLimitBytes = 256 * 1024;
/** Bytes of a row key that a snapshot leaves out: group and generation. */
export const keyPrefixBytes = 8;

/** A snapshot that does not say what it should: nothing of it is used. */
export class CorruptSnapshot extends Error {
  override readonly name = "CorruptSnapshot";
}

/** Gathers rows and cuts them into chunks. */
export class ChunkWriter {
  private buffer = Buffer.allocUnsafe(chunkLimitBytes);
  private used = chunkHeaderBytes;
  private number = 0;
  private rows = 0;
  private readonly full: Uint8Array[] = [];

  row(key: Uint8Array, value: Uint8Array): void {
    this.header(key.length, value.length);
    this.bytes(key);
    this.bytes(value);
    this.rows++;
  }

  private header(first: number, second: number): void {
    const header = Buffer.allocUnsafe(8);
    header.writeUInt32BE(first, 0);
    header.writeUInt32BE(second, 4);
    this.bytes(header);
  }

  private bytes(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const taken = Math.min(bytes.length - from, chunkLimitBytes - this.used);
      this.buffer.set(bytes.subarray(from, from + taken), this.used);
      this.used += taken;
      from += taken;
      if (this.used === chunkLimitBytes) this.cut();
    }
  }

  private cut(): void {
    const chunk = this.buffer.subarray(0, this.used);
    chunk.writeUInt32BE(this.number++, 4);
    chunk.writeUInt32BE(crc32(chunk.subarray(4)), 0);
    this.full.push(chunk);
    this.buffer = Buffer.allocUnsafe(chunkLimitBytes);
    this.used = chunkHeaderBytes;
  }

  /** Chunks that are complete by now. */
  take(): Uint8Array[] {
    return this.full.splice(0);
  }

  /** Ends the stream; the last chunks are then there to be taken. */
  finish(): void {
    this.header(0, this.rows);
    if (this.used > chunkHeaderBytes) this.cut();
  }
}

/** Checks chunks and puts rows together again. */
export class ChunkReader {
  private rest: Uint8Array = Buffer.alloc(0);
  private number = 0;
  private rows = 0;
  private complete = false;

  get finished(): boolean {
    return this.complete;
  }

  /** The rows that this chunk completes. @throws CorruptSnapshot */
  read(bytes: Uint8Array): [key: Uint8Array, value: Uint8Array][] {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (this.complete) throw new CorruptSnapshot("a chunk follows the end of the snapshot");
    if (chunk.length < chunkHeaderBytes) throw new CorruptSnapshot("a chunk is shorter than its header");
    if (crc32(chunk.subarray(4)) !== chunk.readUInt32BE(0))
      throw new CorruptSnapshot(`the checksum of chunk ${this.number} is wrong`);
    if (chunk.readUInt32BE(4) !== this.number)
      throw new CorruptSnapshot(`chunk ${chunk.readUInt32BE(4)} arrived in place of chunk ${this.number}`);
    this.number++;
    const piece = chunk.subarray(chunkHeaderBytes);
    const stream = this.rest.length === 0 ? piece : Buffer.concat([this.rest, piece]);
    const found: [Uint8Array, Uint8Array][] = [];
    let at = 0;
    while (stream.length - at >= 8) {
      const keyLength = stream.readUInt32BE(at);
      const valueLength = stream.readUInt32BE(at + 4);
      if (keyLength === 0) {
        this.end(valueLength, stream.length - at - 8);
        return found;
      }
      const end = at + 8 + keyLength + valueLength;
      if (end > stream.length) break;
      found.push([stream.subarray(at + 8, at + 8 + keyLength), stream.subarray(at + 8 + keyLength, end)]);
      this.rows++;
      at = end;
    }
    this.rest = stream.subarray(at);
    return found;
  }

  private end(rows: number, left: number): void {
    if (rows !== this.rows)
      throw new CorruptSnapshot(`the snapshot holds ${this.rows} rows where ${rows} were sent`);
    if (left !== 0) throw new CorruptSnapshot("bytes follow the end of the snapshot");
    this.complete = true;
    this.rest = Buffer.alloc(0);
  }
}
