// A request that is not gRPC, answered the way any HTTP server answers what it does not serve: the
// request is read to its end, its frames and lengths checked like those of a call, and then gets a
// status and a line of text. What its body says does not matter.

import { encodeMessage } from "./grpc/metadata.js";
import type { Refusal, RequestHead } from "./grpc/request-head.js";
import type { HeaderField } from "./hpack/decoder.js";
import { ErrorCode } from "./http2/frames.js";
import { Http2Stream } from "./http2/stream.js";
import type { ServerConnection } from "./server-connection.js";

/** A longer body is not waited for. */
const longestBody = 1024 * 1024;

export class PlainStream extends Http2Stream {
  private bodyBytes = 0;
  private answered = false;

  constructor(
    id: number,
    override readonly connection: ServerConnection,
    private readonly head: RequestHead,
    private readonly refusal: Refusal,
  ) {
    super(id, connection);
  }

  override receive(_buffer: Buffer, start: number, end: number, credit: number, ended: boolean): void {
    this.bodyBytes += end - start;
    this.checkLength(this.head.contentLength, this.bodyBytes, credit, ended);
    if (ended) this.remoteClosed = true;
    this.connection.credit(this, credit);
    if (ended || this.bodyBytes > longestBody) this.answer();
  }

  private answer(): void {
    if (this.answered) return;
    this.answered = true;
    const { httpStatus, code, message, plain } = this.refusal;
    const body = Buffer.from(`${message}\n`, "utf8");
    const fields: HeaderField[] = [
      [":status", String(httpStatus)],
      ["content-type", "text/plain; charset=utf-8"],
      ["content-length", String(body.length)],
      ["grpc-status", String(code)],
      ["grpc-message", encodeMessage(message)],
    ];
    this.connection.sendFields(this.id, fields, plain === "head");
    if (plain === "head") this.finish();
    else this.enqueueBytes(body);
  }

  private finish(): void {
    this.localClosed = true;
    if (this.remoteClosed) this.connection.remove(this);
    else this.connection.reset(this, ErrorCode.NO_ERROR);
  }

  override get endsWithData(): boolean {
    return true;
  }

  override outboxEmptied(): void {
    this.finish();
  }

  protected get encoding(): undefined {
    return undefined;
  }

  protected override messageReceived(): boolean {
    throw new Error("a request that is not gRPC has no messages");
  }

  protected override messageFault(): void {}
  protected override remoteEnded(): void {}
  override compressorIdle(): void {}
  override outboxShrank(): void {}
  override resetByPeer(): void {}
  override lost(): void {}
}
