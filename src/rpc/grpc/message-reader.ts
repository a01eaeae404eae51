// Cuts the bytes of one stream's DATA frames into gRPC messages: one byte compressed flag, four bytes
// length, the message. Memory for a message grows with what arrived, not with what was announced.

import { RpcError, Status } from "../call.js";
import { gzipName } from "./gzip.js";

const prefixBytes = 5;
const firstAllocation = 16 * 1024;

/** What to do with the rest after a message was handed over. */
export interface MessageSink {
  /**
   * One message, `compressed` as its flag says. False stops the reader at its end; call push() again
   * with the rest later.
   */
  takeMessage(message: Uint8Array, compressed: boolean): boolean;
}

export class MessageReader {
  private readonly prefix = new Uint8Array(prefixBytes);
  private prefixFilled = 0;
  private body: Buffer | undefined;
  private bodyFilled = 0;
  private length = 0;

  constructor(
    private readonly maxMessageBytes: number,
    private readonly encoding: string | undefined,
  ) {}

  /** Bytes of a message begun and not complete. */
  get partialBytes(): number {
    return this.bodyFilled;
  }

  /** True between messages, where a stream may end. */
  get atBoundary(): boolean {
    return this.prefixFilled === 0;
  }

  /**
   * Hands every message that completes to the sink and returns the offset behind what was used: `end`
   * unless the sink stopped it.
   * @throws RpcError for a message too long, or compressed in a way that was not announced.
   */
  push(buffer: Buffer, start: number, end: number, sink: MessageSink): number {
    let at = start;
    for (;;) {
      if (this.prefixFilled === 0) {
        // The usual case: whole messages within this piece.
        if (end - at < prefixBytes) break;
        const length = messageLength(buffer, at, this.maxMessageBytes, this.encoding);
        const from = at + prefixBytes;
        if (from + length > end) break;
        at = from + length;
        if (!sink.takeMessage(buffer.subarray(from, at), buffer[from - prefixBytes] !== 0)) return at;
      } else {
        at = this.resume(buffer, at, end);
        if (this.body === undefined || this.bodyFilled < this.length) return end;
        const message = this.body.subarray(0, this.length);
        this.body = undefined;
        this.bodyFilled = 0;
        this.prefixFilled = 0;
        if (!sink.takeMessage(message, this.prefix[0] !== 0)) return at;
      }
    }
    if (at < end) this.resume(buffer, at, end);
    return end;
  }

  /** Adds to the message in progress; returns the offset behind what belongs to it. */
  private resume(buffer: Buffer, start: number, end: number): number {
    let at = start;
    while (this.prefixFilled < prefixBytes && at < end) this.prefix[this.prefixFilled++] = buffer[at++]!;
    if (this.prefixFilled < prefixBytes) return at;
    if (this.body === undefined) {
      this.length = messageLength(this.prefix, 0, this.maxMessageBytes, this.encoding);
      this.body = Buffer.allocUnsafe(Math.min(this.length, Math.max(firstAllocation, end - at)));
      this.bodyFilled = 0;
    }
    const take = Math.min(this.length - this.bodyFilled, end - at);
    if (this.bodyFilled + take > this.body.length) {
      const grown = Buffer.allocUnsafe(
        Math.min(this.length, Math.max(this.body.length * 2, this.bodyFilled + take)),
      );
      this.body.copy(grown, 0, 0, this.bodyFilled);
      this.body = grown;
    }
    buffer.copy(this.body, this.bodyFilled, at, at + take);
    this.bodyFilled += take;
    return at + take;
  }
}

/**
 * Length of the message whose prefix begins at `at`.
 * @throws RpcError RESOURCE_EXHAUSTED or INTERNAL, with grpc-go's texts.
 */
export function messageLength(
  buffer: Uint8Array,
  at: number,
  maxMessageBytes: number,
  encoding: string | undefined,
): number {
  const length =
    buffer[at + 1]! * 0x1000000 + ((buffer[at + 2]! << 16) | (buffer[at + 3]! << 8) | buffer[at + 4]!);
  if (buffer[at] !== 0) checkCompressed(buffer[at]!, encoding);
  if (length > maxMessageBytes) {
    throw new RpcError(
      Status.RESOURCE_EXHAUSTED,
      `grpc: received message larger than max (${length} vs. ${maxMessageBytes})`,
    );
  }
  return length;
}

function checkCompressed(flag: number, encoding: string | undefined): void {
  if (flag === 1 && encoding === gzipName) return;
  if (flag !== 1) {
    throw new RpcError(Status.INTERNAL, `grpc: received unexpected payload format ${flag}`);
  }
  if (encoding === undefined || encoding === "identity") {
    throw new RpcError(Status.INTERNAL, "grpc: compressed flag set with identity or empty encoding");
  }
  // A server refuses such calls by their headers, so this is what a client tells.
  throw new RpcError(Status.INTERNAL, `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`);
}
