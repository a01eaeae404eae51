// The client's end of one connection: opens streams within the peer's limit, lets the rest wait in
// order, reads responses, and stops opening when the server says GOAWAY.

import type { Socket } from "node:net";
import type { CallOptions } from "./call.js";
import { type CallSink, ClientCallStream } from "./client-stream.js";
import type { DeadlineWheel } from "./deadlines.js";
import { acceptedEncodings, gzipName } from "./grpc/gzip.js";
import { fieldsOf, formatTimeout } from "./grpc/metadata.js";
import { type ResponseHead, responseHead } from "./grpc/response-head.js";
import { type HeaderField, HpackListTooLong } from "./hpack/decoder.js";
import { Http2Connection } from "./http2/connection.js";
import { responseFault } from "./http2/field-rules.js";
import {
  ConnectionError,
  clientPreface,
  ErrorCode,
  errorCodeName,
  FrameType,
  maxStreamId,
  Setting,
  StreamError,
} from "./http2/frames.js";
import { changesTable, HeaderBlocks } from "./http2/header-blocks.js";
import type { ConnectionHost } from "./http2/link.js";

export interface ClientHost extends ConnectionHost {
  readonly deadlines: DeadlineWheel;
  readonly authority: string;
  readonly userAgent: string;
  connectionEstablished(connection: ClientConnection): void;
  /** A stream ended and the peer's limit allows another. */
  streamFreed(connection: ClientConnection): void;
  connectionEnded(connection: ClientConnection, reason: string, error: ConnectionError | undefined): void;
}

const keptBlocks = 256;
const gzipFields: readonly HeaderField[] = [["grpc-encoding", gzipName]];
const roundTripPing = Buffer.from("quortrip", "latin1");
/** Literal field without indexing, new name (RFC 7541 section 6.2.2); the value follows. */
const timeoutName = Buffer.from("\x00\x0cgrpc-timeout", "latin1");

/** A response head, or why its header list is malformed as headers and as trailers. */
interface Response {
  readonly head: ResponseHead;
  readonly headersFault: string | undefined;
  readonly trailersFault: string | undefined;
}

export class ClientConnection extends Http2Connection {
  readonly deadlines: DeadlineWheel;
  private readonly responses: HeaderBlocks<Response>;
  private nextStream = 1;
  /** Request headers by path, without timeout and metadata, as long as they mean the same. */
  private readonly blocks = new Map<string, Buffer>();
  private leaving: string | undefined;
  private pinged: { readonly at: number; readonly answered: (roundTripMs: number) => void } | undefined;

  constructor(
    socket: Socket,
    private readonly client: ClientHost,
  ) {
    super(socket, client);
    this.deadlines = client.deadlines;
    this.responses = new HeaderBlocks(this.decoder, (fields) => ({
      head: responseHead(fields),
      headersFault: responseFault(fields, false),
      trailersFault: responseFault(fields, true),
    }));
    this.output.append(clientPreface);
    this.sendOwnSettings(false);
    this.flushNow();
  }

  /** Whether calls may be made. */
  get usable(): boolean {
    return this.settingsReceived && !this.closing && this.leaving === undefined;
  }

  get mayOpen(): boolean {
    return this.usable && this.streams.size < this.peerConcurrentStreams;
  }

  /** Opens a call; `mayOpen` must be true. @throws TypeError for metadata that cannot be sent. */
  open(path: string, options: CallOptions, sink: CallSink, deadlineAt: number | undefined): ClientCallStream {
    const metadata = options.metadata === undefined ? [] : fieldsOf(options.metadata);
    let block = this.blocks.get(path) ?? this.requestBlock(path);
    if (deadlineAt !== undefined) block = withTimeout(block, formatTimeout(deadlineAt - performance.now()));
    if (options.compress === true) block = Buffer.concat([block, this.encodeBlock(gzipFields)]);
    if (metadata.length > 0) block = Buffer.concat([block, this.encodeBlock(metadata)]);
    const id = this.nextStream;
    this.nextStream += 2;
    const stream = new ClientCallStream(id, this, sink, options.compress === true, deadlineAt);
    this.adopt(stream);
    this.sendBlock(id, block, false);
    if (this.nextStream > maxStreamId) this.retire("stream ids exhausted");
    return stream;
  }

  /** The fields every call of this path has; kept while they mean the same. */
  private requestBlock(path: string): Buffer {
    const block = this.encodeBlock([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", path],
      [":authority", this.client.authority],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ["grpc-accept-encoding", acceptedEncodings],
      ["user-agent", this.client.userAgent],
    ]);
    if (!changesTable(block, 0, block.length) && this.blocks.size < keptBlocks) this.blocks.set(path, block);
    return block;
  }

  protected override headerTableChanged(): void {
    this.blocks.clear();
  }

  protected headerBlock(
    id: number,
    ended: boolean,
    _fault: string | undefined,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    let response: Response | undefined;
    try {
      response = this.responses.decode(buffer, start, end);
    } catch (error) {
      if (!(error instanceof HpackListTooLong)) throw error;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id))
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `HEADERS on idle stream ${id}`);
      if (this.resetStreams.has(id)) return;
      throw new ConnectionError(ErrorCode.STREAM_CLOSED, `HEADERS on closed stream ${id}`);
    }
    if (response === undefined)
      throw new StreamError(id, ErrorCode.ENHANCE_YOUR_CALM, "header list too long");
    if (stream.remoteClosed) throw new StreamError(id, ErrorCode.STREAM_CLOSED, "HEADERS behind END_STREAM");
    if (!(stream instanceof ClientCallStream))
      throw new Error("a client connection holds only its own streams");
    const fault = stream.hasHeaders ? response.trailersFault : response.headersFault;
    if (fault !== undefined) throw new StreamError(id, ErrorCode.PROTOCOL_ERROR, fault);
    stream.responseHeaders(response.head, ended);
  }

  protected goawayReceived(lastStream: number, code: number, debug: string): void {
    const reason = `server sent GOAWAY ${errorCodeName(code)}${debug === "" ? "" : `: ${debug}`}`;
    this.leaving = reason;
    for (const stream of [...this.streams.values()]) {
      if (stream.id <= lastStream) continue;
      this.remove(stream);
      stream.lost(`${reason}; the call was not handled`);
    }
    this.streamRemoved();
  }

  /** Opens no more streams and closes behind the last. */
  private retire(reason: string): void {
    this.leaving ??= reason;
  }

  protected streamRemoved(): void {
    if (this.leaving !== undefined && this.streams.size === 0 && !this.closing) {
      const reason = this.leaving;
      queueMicrotask(() => this.finish(reason));
    } else if (this.streams.size < this.peerConcurrentStreams) this.client.streamFreed(this);
  }

  override applySetting(id: number, value: number): void {
    if (id === Setting.ENABLE_PUSH && value !== 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a server must not enable push");
    }
    super.applySetting(id, value);
    if (id === Setting.MAX_CONCURRENT_STREAMS && this.mayOpen) this.client.streamFreed(this);
  }

  /** Measures a round trip; one at a time. */
  measure(answered: (roundTripMs: number) => void): boolean {
    if (this.pinged !== undefined) return false;
    this.pinged = { at: performance.now(), answered };
    this.sendFrame(FrameType.PING, 0, 0, roundTripPing);
    return true;
  }

  protected pingAcknowledged(): void {
    const pinged = this.pinged;
    this.pinged = undefined;
    pinged?.answered(this.now - pinged.at);
  }

  protected established(): void {
    this.client.connectionEstablished(this);
  }

  protected isIdle(id: number): boolean {
    return (id & 1) === 0 || id >= this.nextStream;
  }

  protected lastHandled(): number {
    return 0;
  }

  protected received(_bytes: number): void {}

  protected sent(_bytes: number): void {}

  protected ended(reason: string, error: ConnectionError | undefined): void {
    this.client.connectionEnded(this, reason, error);
  }
}

/** A block is a sequence of fields: a literal that enters no table may follow what is there. */
function withTimeout(block: Buffer, timeout: string): Buffer {
  const whole = Buffer.allocUnsafe(block.length + timeoutName.length + 1 + timeout.length);
  block.copy(whole, 0);
  timeoutName.copy(whole, block.length);
  whole[block.length + timeoutName.length] = timeout.length;
  whole.write(timeout, block.length + timeoutName.length + 1, "latin1");
  return whole;
}
