// The server's end of one connection: opens a call for every request, writes replies, and drains in
// good order (RFC 9113 section 6.8): announce, wait a round trip, name the last stream, finish those.

import type { Socket } from "node:net";
import { type RawMethod, type RpcObserver, Status } from "./call.js";
import type { DeadlineWheel } from "./deadlines.js";
import { acceptedEncodings } from "./grpc/gzip.js";
import { encodeMessage } from "./grpc/metadata.js";
import type { Refusal, RequestHead } from "./grpc/request-head.js";
import { RequestHeads } from "./grpc/request-heads.js";
import { type HeaderField, HpackListTooLong } from "./hpack/decoder.js";
import { Http2Connection } from "./http2/connection.js";
import { trailersFault } from "./http2/field-rules.js";
import { ConnectionError, ErrorCode, Flag, FrameType, maxStreamId, StreamError } from "./http2/frames.js";
import { HeaderBlocks } from "./http2/header-blocks.js";
import type { ConnectionHost } from "./http2/link.js";
import type { MethodTable } from "./method-table.js";
import { PlainStream } from "./plain-stream.js";
import { okHeaderFields, okTrailerFields, ReplyTemplate } from "./reply-template.js";
import { ServerStream } from "./server-stream.js";

/** What a connection needs of its server. */
export interface ServerHost extends ConnectionHost {
  readonly methods: MethodTable;
  readonly observer: RpcObserver | undefined;
  readonly deadlines: DeadlineWheel;
  connectionEnded(connection: ServerConnection, reason: string, error: ConnectionError | undefined): void;
  handlerFailed(error: unknown, path: string): void;
}

const drainPing = Buffer.from("quordran", "latin1");
const drainPingPatienceMs = 1000;

export class ServerConnection extends Http2Connection {
  readonly observer: RpcObserver | undefined;
  readonly deadlines: DeadlineWheel;
  private readonly parsed: RequestHeads;
  private readonly heads: HeaderBlocks<RequestHead>;
  /** Highest stream id the client opened, and the highest we still accept. */
  private lastStream = 0;
  private lastAccepted = maxStreamId;
  private drainStartedAt: number | undefined;
  /** Blocks that mean the same until the encoder's table changes, and the frames made of them. */
  private okHeaders: Buffer | undefined;
  private okTrailers: Buffer | undefined;
  private reply: ReplyTemplate | undefined;

  constructor(
    socket: Socket,
    private readonly server: ServerHost,
  ) {
    super(socket, server);
    this.observer = server.observer;
    this.deadlines = server.deadlines;
    this.parsed = new RequestHeads(server.methods);
    this.heads = new HeaderBlocks(this.decoder, (fields) => this.parsed.parse(fields));
    this.sendOwnSettings(true);
  }

  /** Methods were added: remembered answers about them no longer hold. */
  methodsChanged(): void {
    this.parsed.forget();
    this.heads.forget();
  }

  protected headerBlock(
    id: number,
    ended: boolean,
    fault: string | undefined,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if ((id & 1) === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `stream id ${id} is even`);
    if (id <= this.lastStream) {
      this.trailers(id, ended, buffer, start, end);
      return;
    }
    this.lastStream = id;
    let head: RequestHead;
    try {
      head = this.heads.decode(buffer, start, end);
    } catch (error) {
      if (!(error instanceof HpackListTooLong)) throw error;
      this.refuse(id, ended, { httpStatus: 431, code: Status.RESOURCE_EXHAUSTED, message: error.message });
      return;
    }
    const malformed =
      fault ?? head.malformed ?? (ended && head.contentLength > 0 ? "content without DATA" : undefined);
    if (malformed !== undefined) throw new StreamError(id, ErrorCode.PROTOCOL_ERROR, malformed);
    if (id > this.lastAccepted || this.streams.size >= this.limits.concurrentStreams) {
      this.sendReset(id, ErrorCode.REFUSED_STREAM);
      return;
    }
    if (head.refusal !== undefined) {
      if (head.refusal.plain === undefined) this.refuse(id, ended, head.refusal);
      else this.answerPlainly(new PlainStream(id, this, head, head.refusal), ended);
      return;
    }
    if (this.holdsTooMuch) {
      const message = "grpc: too much waits for this connection to be read";
      this.refuse(id, ended, { httpStatus: 200, code: Status.RESOURCE_EXHAUSTED, message });
      return;
    }
    const method: RawMethod | undefined = head.method;
    if (method === undefined) throw new Error(`request for ${head.path} neither refused nor known`);
    const stream = new ServerStream(id, this, head, method, this.now);
    this.adopt(stream);
    stream.begin(ended);
  }

  /** A second header block of a stream, which must end it. */
  private trailers(id: number, ended: boolean, buffer: Buffer, start: number, end: number): void {
    const fields = this.decodeRest(buffer, start, end);
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.resetStreams.has(id)) return;
      throw new ConnectionError(ErrorCode.STREAM_CLOSED, `HEADERS on closed stream ${id}`);
    }
    if (stream.remoteClosed) throw new StreamError(id, ErrorCode.STREAM_CLOSED, "HEADERS behind END_STREAM");
    if (!ended) throw new StreamError(id, ErrorCode.PROTOCOL_ERROR, "trailers without END_STREAM");
    const fault = fields === undefined ? undefined : trailersFault(fields);
    if (fault !== undefined) throw new StreamError(id, ErrorCode.PROTOCOL_ERROR, fault);
    stream.receive(buffer, end, end, 0, true);
  }

  private decodeRest(buffer: Buffer, start: number, end: number): HeaderField[] | undefined {
    // Whatever is remembered about request blocks may rest on a table this block changes.
    this.heads.forget();
    try {
      return this.decoder.decode(buffer, start, end);
    } catch (error) {
      if (error instanceof HpackListTooLong) return undefined;
      throw error;
    }
  }

  private answerPlainly(stream: PlainStream, ended: boolean): void {
    this.adopt(stream);
    if (ended) stream.receive(Buffer.alloc(0), 0, 0, 0, true);
  }

  /** Answers with trailers only, without opening a call. */
  private refuse(id: number, ended: boolean, refusal: Refusal): void {
    this.sendFields(id, refusalFields(refusal), true);
    if (!ended) this.sendReset(id, ErrorCode.NO_ERROR);
  }

  /**
   * Sends headers, the message and OK trailers in one piece, if the windows and the socket allow it
   * now; they do nearly always. The stream's own window is the caller's to check.
   */
  sendReply(id: number, message: Uint8Array): boolean {
    const length = message.length;
    const data = length + 5;
    const reply = this.reply;
    if (reply === undefined || data > this.sendWindow || data > this.peerFrameBytes || !this.maySend())
      return false;
    this.sendWindow -= data;
    const output = this.output;
    output.reserve(reply.bytes + length);
    output.at = reply.write(output.buffer, output.at, id, message);
    this.changed();
    return true;
  }

  /** Headers of a success without metadata. */
  sendOkHeaders(id: number): void {
    if (this.okHeaders === undefined) {
      this.okHeaders = this.sendFields(id, okHeaderFields, false);
      this.composeReply();
    } else this.sendFrame(FrameType.HEADERS, Flag.END_HEADERS, id, this.okHeaders);
  }

  /** OK trailers behind messages that were sent. */
  sendOkTrailers(id: number): void {
    if (this.okTrailers === undefined) {
      this.okTrailers = this.sendFields(id, okTrailerFields, true);
      this.composeReply();
    } else this.sendFrame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, id, this.okTrailers);
  }

  private composeReply(): void {
    if (this.okHeaders === undefined || this.okTrailers === undefined) return;
    this.reply = new ReplyTemplate(this.okHeaders, this.okTrailers);
  }

  protected override headerTableChanged(): void {
    this.okHeaders = undefined;
    this.okTrailers = undefined;
    this.reply = undefined;
  }

  handlerFailed(error: unknown, path: string): void {
    this.server.handlerFailed(error, path);
  }

  // ---- life

  get draining(): boolean {
    return this.drainStartedAt !== undefined;
  }

  /** Takes no new calls after a round trip, and closes when the last one ended. */
  drain(): void {
    if (this.closing || this.drainStartedAt !== undefined) return;
    this.drainStartedAt = performance.now();
    this.sendGoaway(maxStreamId, ErrorCode.NO_ERROR, "graceful shutdown");
    this.sendFrame(FrameType.PING, 0, 0, drainPing);
  }

  override tick(now: number): void {
    if (this.drainStartedAt !== undefined && now - this.drainStartedAt > drainPingPatienceMs) this.lastCall();
    super.tick(now);
  }

  private lastCall(): void {
    if (this.closing || this.lastAccepted !== maxStreamId) return;
    this.lastAccepted = this.lastStream;
    this.sendGoaway(this.lastStream, ErrorCode.NO_ERROR, "graceful shutdown");
    this.streamRemoved();
  }

  protected pingAcknowledged(): void {
    if (this.drainStartedAt !== undefined) this.lastCall();
  }

  protected streamRemoved(): void {
    if (this.lastAccepted === maxStreamId || this.streams.size > 0 || this.closing) return;
    // Behind the trailers that are being written at this moment.
    queueMicrotask(() => this.finish("drained"));
  }

  protected goawayReceived(_lastStream: number, _code: number, _debug: string): void {
    // The client opens no more streams; it closes the connection when it has its answers.
  }

  protected established(): void {}

  protected isIdle(id: number): boolean {
    return (id & 1) === 0 || id > this.lastStream;
  }

  protected lastHandled(): number {
    return this.lastStream;
  }

  protected received(bytes: number): void {
    this.observer?.received(bytes);
  }

  protected sent(bytes: number): void {
    this.observer?.sent(bytes);
  }

  protected ended(reason: string, error: ConnectionError | undefined): void {
    this.server.connectionEnded(this, reason, error);
  }
}

function refusalFields(refusal: Refusal): HeaderField[] {
  const fields: HeaderField[] = [
    [":status", String(refusal.httpStatus)],
    ["content-type", "application/grpc"],
    ["grpc-status", String(refusal.code)],
    ["grpc-message", encodeMessage(refusal.message)],
  ];
  if (refusal.tellEncodings === true) fields.push(["grpc-accept-encoding", acceptedEncodings]);
  return fields;
}
