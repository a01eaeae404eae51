// One HTTP/2 stream that carries gRPC messages, the part both ends share: its windows, messages that
// wait to be sent, bytes held back while the receiver has paused. The connection moves the frames.

import { RpcError, Status } from "../call.js";
import { type GzipOutcome, type GzipTask, inflateNow } from "../grpc/gzip.js";
import { type CompressorSink, MessageCompressor } from "../grpc/message-compressor.js";
import { MessageReader, type MessageSink } from "../grpc/message-reader.js";
import { ErrorCode, StreamError } from "./frames.js";
import type { Link } from "./link.js";
import { Outbox } from "./outbox.js";

export abstract class Http2Stream implements MessageSink, CompressorSink {
  /** Bytes of DATA the peer allows on this stream. */
  sendWindow: number;
  /** Bytes of DATA the peer may still send on this stream. */
  receiveWindow: number;
  /** Bytes taken by the receiver and not yet given back to the peer's window. */
  consumed = 0;
  /** The peer has sent END_STREAM. */
  remoteClosed = false;
  /** We have sent END_STREAM. */
  localClosed = false;
  /** Off the connection: nothing is sent or delivered any more. */
  closed = false;
  /** Among the streams the connection will send from. */
  queued = false;
  outbox: Outbox | undefined;
  /** The message being handed over arrived compressed. */
  messageCompressed = false;
  private compressor: MessageCompressor | undefined;
  /** A compressed message that is being unpacked; what arrives behind it is held. */
  private inflating: GzipTask | undefined;
  private inflatingBytes = 0;
  /** It is unpacked, and the receiver has paused meanwhile. */
  private unpacked: GzipOutcome | undefined;
  private reader: MessageReader | undefined;
  private paused = false;
  /** Copies of bytes that arrived while paused; the peer gets them back on its window once they are used. */
  private held: Buffer[] | undefined;
  private heldCredit = 0;
  private draining = false;
  /** What the connection counts for the message half received. */
  private partialHeld = 0;
  /** What it counts for messages received and kept. */
  private kept = 0;

  constructor(
    readonly id: number,
    readonly connection: Link,
  ) {
    this.sendWindow = connection.peerInitialWindow;
    this.receiveWindow = connection.ownInitialWindow;
  }

  /** grpc-encoding of what the peer sends. */
  protected abstract get encoding(): string | undefined;
  /** One message, unpacked; the answer tells the reader whether to go on. */
  protected abstract messageReceived(message: Uint8Array): boolean;
  /** All messages were delivered and the peer will send no more. */
  protected abstract remoteEnded(): void;
  /** The bytes received break gRPC framing or a limit. */
  protected abstract messageFault(error: RpcError): void;
  /** Whether the frame with the last waiting byte also carries END_STREAM. */
  abstract get endsWithData(): boolean;
  /** Everything that was being compressed was transmitted. */
  abstract compressorIdle(): void;
  /** Everything in the outbox went out, END_STREAM with it when `ended`. */
  abstract outboxEmptied(ended: boolean): void;
  /** The outbox got smaller and is not empty. */
  abstract outboxShrank(): void;
  /** The peer reset the stream. */
  abstract resetByPeer(code: number): void;
  /** The connection ended or broke the stream. */
  abstract lost(reason: string): void;

  get waitingBytes(): number {
    return this.outbox === undefined ? 0 : this.outbox.bytes;
  }

  protected get receivingPaused(): boolean {
    return this.paused;
  }

  /** A DATA frame; `credit` is its full length, padding included. */
  receive(buffer: Buffer, start: number, end: number, credit: number, ended: boolean): void {
    if (ended) this.remoteClosed = true;
    if (this.paused || this.held !== undefined) {
      // A copy, since a view of few bytes would keep a whole read buffer alive.
      this.held ??= [];
      if (end > start) this.held.push(Buffer.from(buffer.subarray(start, end)));
      this.heldCredit += credit;
      return;
    }
    this.connection.credit(this, credit);
    const used = this.deliver(buffer, start, end);
    if (this.closed) return;
    if (used < end) this.held = [Buffer.from(buffer.subarray(used, end))];
    else if (this.inflating !== undefined) this.held = [];
    else if (ended && this.held === undefined) this.remoteEnded();
  }

  /** Feeds bytes to the reader; the offset behind those it used. */
  private deliver(buffer: Buffer, start: number, end: number): number {
    if (start === end) return end;
    this.reader ??= new MessageReader(this.connection.limits.receiveMessageBytes, this.encoding);
    const reader = this.reader;
    const before = this.partialHeld;
    try {
      const used = reader.push(buffer, start, end, this);
      if (this.closed) return end;
      this.connection.hold(reader.partialBytes - before);
      this.partialHeld = reader.partialBytes;
      if (reader.partialBytes > before && this.connection.holdsTooMuch) {
        throw heldTooMuch();
      }
      return used;
    } catch (error) {
      if (!(error instanceof RpcError)) throw error;
      this.messageFault(error);
      return end;
    }
  }

  takeMessage(message: Uint8Array, compressed: boolean): boolean {
    this.messageCompressed = compressed;
    if (!compressed) return this.messageReceived(message);
    const limitBytes = this.connection.limits.receiveMessageBytes;
    const unpacked = inflateNow(message, limitBytes);
    if (unpacked !== undefined) return this.messageReceived(unpacked);
    this.inflatingHolds(message.length);
    this.inflating = this.connection.gzip.inflate(this.connection, message, limitBytes, (outcome) =>
      this.inflated(outcome),
    );
    return false;
  }

  private inflated(outcome: GzipOutcome): void {
    if (this.paused) {
      this.unpacked = outcome;
      if (outcome instanceof Uint8Array) this.inflatingHolds(outcome.length);
      return;
    }
    this.endInflating();
    try {
      if (outcome instanceof RpcError) throw outcome;
      this.messageReceived(outcome);
    } catch (error) {
      if (!(error instanceof RpcError)) throw error;
      this.messageFault(error);
      return;
    }
    if (!this.draining) this.deliverHeld();
  }

  private inflatingHolds(bytes: number): void {
    this.inflatingBytes += bytes;
    this.connection.hold(bytes);
  }

  private endInflating(): void {
    if (this.inflating === undefined) return;
    this.inflating.cancel();
    this.inflating = undefined;
    this.connection.hold(-this.inflatingBytes);
    this.inflatingBytes = 0;
  }

  /** Counts a message that waits for the rest of its call. @throws RpcError when too much is held. */
  protected keep(bytes: number): void {
    this.kept += bytes;
    this.connection.hold(bytes);
    if (this.connection.holdsTooMuch) throw heldTooMuch();
  }

  /** True when the bytes received end in the middle of a message. */
  protected get cutShort(): boolean {
    return this.reader !== undefined && !this.reader.atBoundary;
  }

  /** Whether nothing that arrived still waits for the receiver. */
  protected get allDelivered(): boolean {
    return this.held === undefined;
  }

  /** Nothing was received yet and nothing holds delivery back. */
  protected get untouched(): boolean {
    return this.reader === undefined && !this.paused && this.held === undefined;
  }

  pause(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    if (paused) return;
    const unpacked = this.unpacked;
    this.unpacked = undefined;
    if (unpacked !== undefined) this.inflated(unpacked);
    else if (!this.draining) this.deliverHeld();
  }

  private deliverHeld(): void {
    this.draining = true;
    try {
      while (this.held !== undefined && !this.paused && !this.closed && this.inflating === undefined) {
        const piece = this.held.shift();
        if (piece === undefined) {
          this.held = undefined;
          const credit = this.heldCredit;
          this.heldCredit = 0;
          this.connection.credit(this, credit);
          this.connection.changed();
          if (this.remoteClosed) this.remoteEnded();
          return;
        }
        const used = this.deliver(piece, 0, piece.length);
        if (used < piece.length && !this.closed) this.held.unshift(piece.subarray(used));
      }
    } finally {
      this.draining = false;
    }
  }

  /** Messages that wait to be compressed, or behind one that does, are not transmitted yet. */
  protected get compressing(): boolean {
    return this.compressor?.busy === true;
  }

  /** Bytes of messages that were written and did not leave. */
  get bufferedBytes(): number {
    return this.waitingBytes + (this.compressor === undefined ? 0 : this.compressor.bytes);
  }

  /** Transmits a message, compressed if that is wanted and it is long enough, behind those before it. */
  protected send(message: Uint8Array, compress: boolean): void {
    const worthwhile = compress && message.length >= this.connection.limits.compressFromBytes;
    if (worthwhile) this.compressor ??= new MessageCompressor(this.connection.gzip, this.connection, this);
    if (this.compressor === undefined) this.transmit(message, false);
    else this.compressor.push(message, worthwhile);
  }

  transmit(message: Uint8Array, compressed: boolean): void {
    const last = this.endsWithData;
    if (!this.connection.sendData(this, message, last, compressed)) this.enqueue(message, compressed);
    else if (last) this.localClosed = true;
  }

  hold(bytes: number): void {
    this.connection.hold(bytes);
  }

  /** Queues bytes that are no gRPC message. */
  protected enqueueBytes(bytes: Uint8Array): void {
    this.outbox ??= new Outbox();
    this.outbox.pushBytes(bytes);
    this.connection.hold(bytes.length);
    this.connection.ready(this);
  }

  /** Checks the bytes of DATA so far against content-length, -1 for none (RFC 9113 section 8.1.1). */
  protected checkLength(announced: number, bytes: number, credit: number, ended: boolean): void {
    if (announced >= 0 && (bytes > announced || (ended && bytes < announced))) {
      this.connection.creditConnection(credit);
      throw new StreamError(this.id, ErrorCode.PROTOCOL_ERROR, "DATA does not add up to content-length");
    }
  }

  /** Queues a message behind those that wait; the connection sends it when it may. */
  private enqueue(message: Uint8Array, compressed: boolean): void {
    this.outbox ??= new Outbox();
    this.outbox.push(message, compressed);
    this.connection.hold(message.length + 5);
    this.connection.ready(this);
  }

  /** Called by the connection when the stream leaves it; gives back what it held. */
  release(): void {
    this.closed = true;
    this.connection.hold(-this.waitingBytes - this.partialHeld - this.kept);
    this.kept = 0;
    this.compressor?.cancel();
    this.endInflating();
    this.unpacked = undefined;
    this.partialHeld = 0;
    this.outbox = undefined;
    this.reader = undefined;
    this.held = undefined;
    if (this.heldCredit > 0) {
      const credit = this.heldCredit;
      this.heldCredit = 0;
      this.connection.creditConnection(credit);
    }
  }
}

function heldTooMuch(): RpcError {
  return new RpcError(Status.RESOURCE_EXHAUSTED, "grpc: too many bytes held for this connection");
}
