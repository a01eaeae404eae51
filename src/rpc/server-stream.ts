// One call on the server: takes the request's messages, hands them to the handler and sends what it
// answers. It ends exactly once, by the handler, the deadline, the client or the connection.

import {
  type CallCompression,
  type Metadata,
  type RawMethod,
  RpcError,
  Status,
  type StreamCall,
  type UnaryCall,
} from "./call.js";
import type { Deadline } from "./deadlines.js";
import { gzipName } from "./grpc/gzip.js";
import { encodeMessage, fieldsOf } from "./grpc/metadata.js";
import type { RequestHead } from "./grpc/request-head.js";
import type { HeaderField } from "./hpack/decoder.js";
import { ErrorCode } from "./http2/frames.js";
import { Http2Stream } from "./http2/stream.js";
import { okHeaderFields } from "./reply-template.js";
import type { ServerConnection } from "./server-connection.js";

interface Ending {
  readonly code: Status;
  readonly message: string;
  readonly trailers: Metadata;
}

const noFields: readonly HeaderField[] = [];
const gzipFields: readonly HeaderField[] = [["grpc-encoding", gzipName]];
const okEnding: Ending = { code: Status.OK, message: "", trailers: [] };

export class ServerStream extends Http2Stream implements UnaryCall, StreamCall, CallCompression {
  /** The handler has ended the call, or something ended it for the handler. */
  ended = false;
  deadlineAt: number | undefined;
  private deadline: Deadline | undefined;
  private headersSent = false;
  /** What is sent once the outbox is empty. */
  private ending: Ending | undefined;
  private settled = false;
  private cancelled = false;
  private bodyBytes = 0;
  private request: Uint8Array | undefined;
  private cancelListener: (() => void) | undefined;
  private messageListener: ((message: Uint8Array) => void) | undefined;
  private halfCloseListener: (() => void) | undefined;
  private drainListener: (() => void) | undefined;
  private overHighWater = false;
  /** Messages from now on are compressed when they are long enough. */
  private compresses: boolean;
  private gzipAnnounced = false;

  constructor(
    id: number,
    override readonly connection: ServerConnection,
    private readonly head: RequestHead,
    private readonly method: RawMethod,
    private readonly startedAt: number,
  ) {
    super(id, connection);
    this.compresses = head.gzipReplies;
  }

  get path(): string {
    return this.head.path;
  }

  get metadata(): Metadata {
    return this.head.metadata;
  }

  get peer(): string {
    return this.connection.peer;
  }

  get congested(): boolean {
    return this.connection.holdsTooMuch;
  }

  protected get encoding(): string | undefined {
    return this.head.encoding;
  }

  /** Starts the call; `ended` when the request headers were all there is. */
  begin(ended: boolean): void {
    this.connection.observer?.started(this.path, this.method.kind);
    const timeoutMs = this.head.timeoutMs;
    if (timeoutMs !== undefined) {
      this.deadlineAt = this.startedAt + timeoutMs;
      this.deadline = this.connection.deadlines.add(this.deadlineAt, () => this.expire());
    }
    if (this.method.kind === "stream") {
      const method = this.method;
      this.guarded(() => method.handle(this));
    }
    if (ended && !this.closed) this.receive(Buffer.alloc(0), 0, 0, 0, true);
  }

  // ---- the request

  override receive(buffer: Buffer, start: number, end: number, credit: number, ended: boolean): void {
    const length = end - start;
    if (this.head.contentLength >= 0) {
      this.bodyBytes += length;
      this.checkLength(this.head.contentLength, this.bodyBytes, credit, ended);
    }
    // The usual unary request: one frame that is one whole message and ends the stream.
    if (ended && this.untouched && this.method.kind === "unary" && length >= 5 && buffer[start] === 0) {
      const announced =
        buffer[start + 1]! * 0x1000000 +
        ((buffer[start + 2]! << 16) | (buffer[start + 3]! << 8) | buffer[start + 4]!);
      if (announced === length - 5 && announced <= this.connection.limits.receiveMessageBytes) {
        this.remoteClosed = true;
        this.connection.creditConnection(credit);
        this.call(buffer.subarray(start + 5, end));
        return;
      }
    }
    super.receive(buffer, start, end, credit, ended);
  }

  protected override messageReceived(message: Uint8Array): boolean {
    if (this.method.kind === "unary") {
      if (this.request !== undefined) {
        throw new RpcError(Status.INTERNAL, "grpc: more than one message in a unary request");
      }
      this.request = message;
      if (!this.remoteClosed) this.keep(message.length);
      return true;
    }
    if (this.ended) return true;
    const listener = this.messageListener;
    if (listener !== undefined) this.guarded(() => listener(message));
    return !this.receivingPaused;
  }

  protected override remoteEnded(): void {
    if (this.closed || this.ended) return;
    if (this.cutShort) {
      this.end(Status.INTERNAL, "grpc: request ends in the middle of a message");
      return;
    }
    if (this.method.kind === "unary") {
      if (this.request === undefined) this.end(Status.INTERNAL, "grpc: unary request without a message");
      else this.call(this.request);
      return;
    }
    const listener = this.halfCloseListener;
    if (listener !== undefined) this.guarded(listener);
  }

  protected override messageFault(error: RpcError): void {
    this.cancelWith(error.code, error.message);
  }

  private call(message: Uint8Array): void {
    if (this.method.kind !== "unary") throw new Error(`${this.path} is not unary`);
    try {
      this.method.handle(message, this);
    } catch (error) {
      this.failed(error);
    }
  }

  private guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.failed(error);
    }
  }

  /** The handler threw: a status if it is one, else UNKNOWN and a report. */
  private failed(error: unknown): void {
    let defect = error;
    if (error instanceof RpcError) {
      try {
        this.end(error.code, error.message, error.trailers);
        return;
      } catch (invalidTrailers) {
        defect = invalidTrailers;
      }
    }
    this.connection.handlerFailed(defect, this.path);
    this.end(Status.UNKNOWN, defect instanceof Error ? defect.message : String(defect));
  }

  onMessage(listener: (message: Uint8Array) => void): void {
    this.messageListener = listener;
  }

  onHalfClose(listener: () => void): void {
    this.halfCloseListener = listener;
  }

  onCancel(listener: () => void): void {
    if (this.cancelled) this.guarded(listener);
    else this.cancelListener = listener;
  }

  onDrain(listener: () => void): void {
    this.drainListener = listener;
  }

  // ---- the response

  respond(message: Uint8Array): void {
    if (this.ended) return;
    this.ended = true;
    if (
      !this.headersSent &&
      !(this.compresses && message.length >= this.connection.limits.compressFromBytes) &&
      message.length + 5 <= this.sendWindow &&
      this.connection.sendReply(this.id, message)
    ) {
      this.settle(Status.OK);
      return;
    }
    this.sendHeaders(noFields);
    this.ending = okEnding;
    this.send(message, this.compresses);
    this.compressorIdle();
  }

  write(message: Uint8Array): boolean {
    if (this.ended) return false;
    this.sendHeaders(noFields);
    this.send(message, this.compresses);
    if (this.bufferedBytes <= this.connection.limits.streamHighWaterBytes) return true;
    this.overHighWater = true;
    return false;
  }

  sendMetadata(metadata: Metadata): void {
    if (this.ended) return;
    if (this.headersSent) throw new Error(`headers of ${this.path} were already sent`);
    this.sendHeaders(fieldsOf(metadata));
  }

  /** @throws TypeError for trailers that cannot be sent; the call goes on then. */
  end(code: Status, message = "", trailers: Metadata = []): void {
    if (this.ended) return;
    if (trailers.length > 0) fieldsOf(trailers);
    this.ended = true;
    this.ending =
      code === Status.OK && message === "" && trailers.length === 0 ? okEnding : { code, message, trailers };
    this.compressorIdle();
  }

  get compression(): CallCompression {
    return this;
  }

  compress(on: boolean): void {
    const possible = this.headersSent ? this.gzipAnnounced : this.head.acceptsGzip || this.head.gzipReplies;
    this.compresses = on && possible;
  }

  private sendHeaders(fields: readonly HeaderField[]): void {
    if (this.headersSent || this.closed) return;
    this.headersSent = true;
    this.gzipAnnounced = this.compresses;
    if (fields.length === 0 && !this.compresses) {
      this.connection.sendOkHeaders(this.id);
      return;
    }
    const encoding = this.compresses ? gzipFields : noFields;
    this.connection.sendFields(this.id, [...okHeaderFields, ...encoding, ...fields], false);
  }

  override get endsWithData(): boolean {
    return false;
  }

  override compressorIdle(): void {
    if (this.waitingBytes === 0) this.outboxEmptied();
  }

  override outboxEmptied(): void {
    if (this.compressing || this.closed) return;
    const ending = this.ending;
    if (ending !== undefined) this.sendTrailers(ending);
    else this.drained();
  }

  override outboxShrank(): void {
    if (this.bufferedBytes * 2 <= this.connection.limits.streamHighWaterBytes) this.drained();
  }

  private drained(): void {
    if (!this.overHighWater || this.ended) return;
    this.overHighWater = false;
    const listener = this.drainListener;
    if (listener !== undefined) this.guarded(listener);
  }

  private sendTrailers(ending: Ending): void {
    if (this.closed) return;
    if (ending === okEnding && this.headersSent) this.connection.sendOkTrailers(this.id);
    else this.connection.sendFields(this.id, this.trailerFields(ending), true);
    this.settle(ending.code);
  }

  private trailerFields(ending: Ending): HeaderField[] {
    const fields: HeaderField[] = this.headersSent ? [] : [...okHeaderFields];
    fields.push(["grpc-status", String(ending.code)]);
    if (ending.message !== "") fields.push(["grpc-message", encodeMessage(ending.message)]);
    fields.push(...fieldsOf(ending.trailers));
    return fields;
  }

  // ---- the end

  /** END_STREAM was sent: the stream leaves the connection, and an unfinished request with it. */
  private settle(code: Status): void {
    this.localClosed = true;
    this.account(code);
    if (this.remoteClosed) this.connection.remove(this);
    else this.connection.reset(this, ErrorCode.NO_ERROR);
  }

  private account(code: Status): void {
    if (this.settled) return;
    this.settled = true;
    if (this.deadline !== undefined) this.connection.deadlines.remove(this.deadline);
    const observer = this.connection.observer;
    if (observer === undefined) return;
    observer.handled(this.path, this.method.kind, code, (performance.now() - this.startedAt) / 1000);
  }

  private expire(): void {
    this.cancelWith(Status.DEADLINE_EXCEEDED, "context deadline exceeded");
  }

  /** Ends the call over the handler's head; what waits to be sent is dropped. */
  private cancelWith(code: Status, message: string): void {
    if (this.closed) return;
    const byHandler = this.ended;
    this.ended = true;
    this.sendTrailers({ code, message, trailers: [] });
    if (!byHandler) this.cancel();
  }

  private cancel(): void {
    this.cancelled = true;
    const listener = this.cancelListener;
    this.cancelListener = undefined;
    if (listener !== undefined) this.guarded(listener);
  }

  override resetByPeer(_code: number): void {
    this.lost("reset by client");
  }

  override lost(_reason: string): void {
    const byHandler = this.ended;
    this.ended = true;
    this.account(Status.CANCELLED);
    if (!byHandler) this.cancel();
  }
}
