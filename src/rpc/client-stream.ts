// One call on the client. Its end is told exactly once: by the server's trailers, a reset, the
// deadline, the caller or the loss of the connection.

import { type CallEnd, type ClientStream, type Metadata, type RpcError, Status } from "./call.js";
import type { ClientConnection } from "./client-connection.js";
import type { Deadline } from "./deadlines.js";
import type { ResponseHead } from "./grpc/response-head.js";
import { ErrorCode, errorCodeName, Flag, FrameType, StreamError } from "./http2/frames.js";
import { Http2Stream } from "./http2/stream.js";

/** Where a call's results go. */
export interface CallSink {
  /** Views into what was received; copy what is kept for long. */
  message(message: Uint8Array): void;
  headers(metadata: Metadata): void;
  end(end: CallEnd): void;
}

/** grpc-timeout is rounded down, to a microsecond or, beyond 100 seconds, a millisecond. */
const serverEarlyMs = 1;

export class ClientCallStream extends Http2Stream implements ClientStream {
  private deadline: Deadline | undefined;
  private gotHeaders = false;
  private done = false;
  private halfClosed = false;
  private responseEncoding: string | undefined;
  private trailersEnd: CallEnd | undefined;
  private drainListener: (() => void) | undefined;
  private overHighWater = false;

  constructor(
    id: number,
    override readonly connection: ClientConnection,
    private readonly sink: CallSink,
    private readonly compress: boolean,
    private readonly deadlineAt: number | undefined,
  ) {
    super(id, connection);
    if (deadlineAt !== undefined) {
      this.deadline = connection.deadlines.add(deadlineAt, () => this.expire());
    }
  }

  protected get encoding(): string | undefined {
    return this.responseEncoding;
  }

  // ---- the request

  write(message: Uint8Array): boolean {
    if (this.done || this.halfClosed) return false;
    this.send(message, this.compress);
    if (this.bufferedBytes <= this.connection.limits.streamHighWaterBytes) return true;
    this.overHighWater = true;
    return false;
  }

  /** The only message, and END_STREAM with it. */
  writeLast(message: Uint8Array): void {
    this.halfClosed = true;
    this.send(message, this.compress);
  }

  halfClose(): void {
    if (this.done || this.halfClosed) return;
    this.halfClosed = true;
    this.compressorIdle();
  }

  override compressorIdle(): void {
    if (this.closed || this.waitingBytes > 0 || this.compressing) return;
    if (!this.halfClosed) this.drained();
    else if (!this.localClosed) {
      this.localClosed = true;
      this.connection.sendFrame(FrameType.DATA, Flag.END_STREAM, this.id);
    }
  }

  onDrain(listener: () => void): void {
    this.drainListener = listener;
  }

  cancel(): void {
    this.abort(Status.CANCELLED, "call cancelled by the caller");
  }

  override get endsWithData(): boolean {
    return this.halfClosed && !this.compressing;
  }

  override outboxEmptied(ended: boolean): void {
    if (ended) this.localClosed = true;
    if (!this.compressing) this.drained();
  }

  override outboxShrank(): void {
    if (this.bufferedBytes * 2 <= this.connection.limits.streamHighWaterBytes) this.drained();
  }

  private drained(): void {
    if (!this.overHighWater || this.done || this.halfClosed) return;
    this.overHighWater = false;
    const listener = this.drainListener;
    if (listener !== undefined) guarded(listener);
  }

  // ---- the response

  get hasHeaders(): boolean {
    return this.gotHeaders;
  }

  /** A header block of the response; `ended` when it carries END_STREAM. */
  responseHeaders(head: ResponseHead, ended: boolean): void {
    if (head.informational && !ended) return;
    if (!this.gotHeaders && !ended) {
      this.gotHeaders = true;
      if (head.end !== undefined) {
        this.abort(head.end.code, head.end.message);
        return;
      }
      this.responseEncoding = head.encoding;
      if (head.metadata.length > 0) guarded(() => this.sink.headers(head.metadata));
      return;
    }
    if (!ended) throw new StreamError(this.id, ErrorCode.PROTOCOL_ERROR, "trailers without END_STREAM");
    this.trailersEnd = head.end ?? {
      code: Status.INTERNAL,
      message: "server closed the stream without sending a status",
      trailers: head.metadata,
    };
    this.receive(Buffer.alloc(0), 0, 0, 0, true);
  }

  override receive(buffer: Buffer, start: number, end: number, credit: number, ended: boolean): void {
    if (!this.gotHeaders && end > start) {
      this.connection.creditConnection(credit);
      throw new StreamError(this.id, ErrorCode.PROTOCOL_ERROR, "DATA before HEADERS");
    }
    super.receive(buffer, start, end, credit, ended);
  }

  protected override messageReceived(message: Uint8Array): boolean {
    if (!this.done) guarded(() => this.sink.message(message));
    return !this.receivingPaused;
  }

  protected override remoteEnded(): void {
    let end = this.trailersEnd ?? {
      code: Status.INTERNAL,
      message: "server closed the stream without sending trailers",
      trailers: [],
    };
    if (end.code === Status.OK && this.cutShort) {
      end = { code: Status.INTERNAL, message: "response ends in the middle of a message", trailers: [] };
    }
    if (this.localClosed) this.connection.remove(this);
    else this.connection.reset(this, ErrorCode.NO_ERROR);
    this.settle(end);
  }

  protected override messageFault(error: RpcError): void {
    this.abort(error.code, error.message);
  }

  // ---- the end

  private settle(end: CallEnd): void {
    if (this.done) return;
    this.done = true;
    if (this.deadline !== undefined) this.connection.deadlines.remove(this.deadline);
    guarded(() => this.sink.end(end));
  }

  /** Ends the call here and resets the stream. */
  private abort(code: Status, message: string): void {
    if (this.done) return;
    this.connection.reset(this, ErrorCode.CANCEL);
    this.settle({ code, message, trailers: [] });
  }

  private expire(): void {
    this.abort(Status.DEADLINE_EXCEEDED, "deadline exceeded");
  }

  override resetByPeer(code: number): void {
    // The server knows the deadline too, and its reset may come before our own timer rings.
    const late = this.deadlineAt !== undefined && performance.now() >= this.deadlineAt - serverEarlyMs;
    if (code === ErrorCode.CANCEL && late) {
      this.settle({ code: Status.DEADLINE_EXCEEDED, message: "deadline exceeded", trailers: [] });
      return;
    }
    const message = `stream terminated by RST_STREAM with error code: ${errorCodeName(code)}`;
    this.settle({ code: statusOfReset(code), message, trailers: [] });
  }

  override lost(reason: string): void {
    this.settle({ code: Status.UNAVAILABLE, message: reason, trailers: [] });
  }
}

/** A callback that throws is the caller's defect: it surfaces as uncaught, and the connection goes on. */
function guarded(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** gRPC's mapping of HTTP/2 error codes (PROTOCOL-HTTP2.md, "Errors"). */
function statusOfReset(code: number): Status {
  switch (code) {
    case ErrorCode.REFUSED_STREAM:
      return Status.UNAVAILABLE;
    case ErrorCode.CANCEL:
      return Status.CANCELLED;
    case ErrorCode.ENHANCE_YOUR_CALM:
      return Status.RESOURCE_EXHAUSTED;
    case ErrorCode.INADEQUATE_SECURITY:
      return Status.PERMISSION_DENIED;
    default:
      return Status.INTERNAL;
  }
}
