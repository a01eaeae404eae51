// What a connection wants written: frames are built in place in chunks of 64 KiB and handed to the
// socket in one write a turn. While the socket still holds an earlier write, output only gathers here,
// densely, so the memory of a reader that does not read is what was written and nothing more.

import type { Socket } from "node:net";

const chunkBytes = 64 * 1024;
const nothing = Buffer.alloc(0);

/** Output chunks that are not in use, shared by the connections of one server or channel. */
export class ChunkPool {
  private readonly free: Buffer[] = [];

  constructor(private readonly keep = 64) {}

  take(): Buffer {
    return this.free.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
  }

  give(chunk: Buffer): void {
    if (chunk.length === chunkBytes && this.free.length < this.keep) this.free.push(chunk);
  }
}

export class Output {
  /** The chunk being filled; `at` is where the next byte goes. Valid after reserve(). */
  buffer: Buffer = nothing;
  at = 0;
  /** True while the socket has not yet taken an earlier write. */
  stalled = false;
  /** Bytes handed to the socket since the start. */
  written = 0;
  /** Filled chunks not yet handed to the socket, and how much of each is filled. */
  private full: Buffer[] = [];
  private fullLengths: number[] = [];
  private fullBytes = 0;
  /** Chunks the socket still reads from. */
  private inFlight: Buffer[] = [];
  private readonly done: () => void;

  /** `resumed` runs when the socket has taken what stalled, after the bytes gathered meanwhile went out. */
  constructor(
    private readonly socket: Socket,
    private readonly pool: ChunkPool,
    resumed: () => void,
  ) {
    this.done = () => {
      if (!this.stalled || socket.writableLength > 0) return;
      this.stalled = false;
      this.release();
      this.flush();
      resumed();
    };
  }

  /** Bytes gathered and not yet handed to the socket. */
  get pending(): number {
    return this.fullBytes + this.at;
  }

  /** Makes room for `bytes` in one piece at `buffer[at]`. */
  reserve(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    if (this.at > 0) {
      this.full.push(this.buffer);
      this.fullLengths.push(this.at);
      this.fullBytes += this.at;
    } else this.pool.give(this.buffer);
    this.buffer = bytes > chunkBytes ? Buffer.allocUnsafeSlow(bytes) : this.pool.take();
    this.at = 0;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** One write to the socket of all that gathered, unless an earlier one still waits there and this is not the last. */
  flush(last = false): void {
    const bytes = this.pending;
    if (bytes === 0 || (this.stalled && !last) || !this.socket.writable) return;
    this.written += bytes;
    const socket = this.socket;
    if (this.fullBytes === 0) {
      socket.write(this.buffer.subarray(0, this.at), this.done);
      if (socket.writableLength === 0) {
        // The system took it all: the chunk can be filled again at once.
        this.pool.give(this.buffer);
        this.empty();
        return;
      }
      this.inFlight.push(this.buffer);
    } else this.writeSeveral();
    this.empty();
    if (socket.writableLength > 0) this.stalled = true;
    else this.release();
  }

  private writeSeveral(): void {
    if (this.at > 0) {
      this.full.push(this.buffer);
      this.fullLengths.push(this.at);
    } else this.pool.give(this.buffer);
    const last = this.full.length - 1;
    this.socket.cork();
    for (let index = 0; index <= last; index++) {
      const chunk = this.full[index]!;
      const view = chunk.subarray(0, this.fullLengths[index]!);
      if (index === last) this.socket.write(view, this.done);
      else this.socket.write(view);
      this.inFlight.push(chunk);
    }
    this.socket.uncork();
  }

  private empty(): void {
    this.buffer = nothing;
    this.at = 0;
    if (this.fullBytes > 0) {
      this.full = [];
      this.fullLengths = [];
      this.fullBytes = 0;
    }
  }

  private release(): void {
    for (const chunk of this.inFlight) this.pool.give(chunk);
    this.inFlight.length = 0;
  }

  /** Forgets everything; the socket is gone. */
  discard(): void {
    this.empty();
    this.inFlight = [];
  }
}
