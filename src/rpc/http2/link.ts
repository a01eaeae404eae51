// The sending half of an HTTP/2 connection and its life: output, what windows allow, the table of
// streams, giving windows back, keepalive, and the ways to close. connection.ts adds what is received.

import type { Socket } from "node:net";
import type { GzipQueue } from "../grpc/gzip.js";
import type { HeaderField } from "../hpack/decoder.js";
import { HpackEncoder } from "../hpack/encoder.js";
import type { RpcLimits } from "../limits.js";
import type { Flushable, TurnFlusher } from "../turn-flusher.js";
import {
  ConnectionError,
  ErrorCode,
  errorCodeName,
  Flag,
  FrameType,
  initialFrameBytes,
  initialWindow,
  Setting,
  type StreamError,
  settingsPayload,
  writeFrameHeader,
  writeUint32,
} from "./frames.js";
import { changesTable } from "./header-blocks.js";
import { type ChunkPool, Output } from "./output.js";
import { SendScheduler } from "./send-scheduler.js";
import type { Http2Stream } from "./stream.js";

/** What the connections of one server or channel share. */
export interface ConnectionHost {
  readonly limits: RpcLimits;
  readonly flusher: TurnFlusher;
  readonly pool: ChunkPool;
  readonly gzip: GzipQueue;
}

export const keepalivePing: Buffer = Buffer.from("qkeepalv", "latin1");

const recentResets = 256;
/** Time a closing connection gets to take the last bytes and close its own side. */
const lingerMs = 1000;
/** Output that is handed to the socket without waiting for the end of the turn. */
const earlyFlushBytes = 256 * 1024;

export abstract class Link implements Flushable {
  readonly limits: RpcLimits;
  readonly gzip: GzipQueue;
  readonly peer: string;
  readonly output: Output;
  /** performance.now() when the chunk being handled arrived. */
  now: number;
  /** Window of new streams towards the peer, and from it. */
  peerInitialWindow = initialWindow;
  ownInitialWindow: number;
  peerFrameBytes = initialFrameBytes;
  peerConcurrentStreams = Number.POSITIVE_INFINITY;
  /** Bytes of DATA the peer allows on the connection. */
  sendWindow = initialWindow;
  /** Nothing more is read; the socket is closed or about to be. */
  closing = false;
  protected readonly streams = new Map<number, Http2Stream>();
  protected readonly encoder = new HpackEncoder();
  protected readonly scheduler: SendScheduler;
  /** Streams we reset lately: frames the peer sent before it knew are no fault. */
  protected readonly resetStreams = new Set<number>();
  protected settingsReceived = false;
  private readonly openedAt: number;
  private consumed = 0;
  private heldBytes = 0;
  private inTurn = false;
  private marked = false;
  private readingStopped = false;
  private lastReceivedAt: number;
  private pingSentAt: number | undefined;
  private reason: string | undefined;
  private fault: ConnectionError | undefined;
  private gone = false;
  private lingerTimer: NodeJS.Timeout | undefined;

  constructor(
    readonly socket: Socket,
    protected readonly host: ConnectionHost,
  ) {
    this.limits = host.limits;
    this.gzip = host.gzip;
    this.peer = `${socket.remoteAddress ?? "?"}:${socket.remotePort ?? 0}`;
    this.now = this.openedAt = this.lastReceivedAt = performance.now();
    this.ownInitialWindow = Math.max(initialWindow, host.limits.streamWindowBytes);
    this.output = new Output(socket, host.pool, () => this.resumed());
    this.scheduler = new SendScheduler(this);
    socket.setNoDelay(true);
    socket.on("error", (error) => {
      this.reason ??= error.message;
    });
    socket.on("close", () => this.socketClosed());
  }

  /** Called once, when the connection is gone and its streams were told. */
  protected abstract ended(reason: string, error: ConnectionError | undefined): void;
  /** The peer may send this many bytes of DATA more on the connection. */
  protected abstract giveBack(bytes: number): void;
  protected abstract streamRemoved(): void;
  /** Bytes left for the socket; for the observer. */
  protected abstract sent(bytes: number): void;

  get openStreams(): number {
    return this.streams.size;
  }

  // ---- turns

  protected beginTurn(): void {
    this.inTurn = true;
    this.now = this.lastReceivedAt = performance.now();
  }

  protected endTurn(): void {
    this.inTurn = false;
    this.flushNow();
  }

  /** Something was written to the output: it leaves at the end of this turn at the latest. */
  changed(): void {
    if (this.output.pending > earlyFlushBytes) this.flushNow();
    else if (!this.inTurn && !this.marked && this.output.pending > 0) {
      this.marked = true;
      this.host.flusher.mark(this);
    }
  }

  flushNow(): void {
    this.marked = false;
    const before = this.output.written;
    this.output.flush();
    if (this.output.written !== before) this.sent(this.output.written - before);
    // A peer that takes no output gets no input read: whatever it sends would only cause more output.
    if (
      this.output.stalled &&
      this.output.pending > 2 * this.limits.socketHighWaterBytes &&
      !this.readingStopped
    ) {
      this.readingStopped = true;
      this.socket.pause();
    }
  }

  /** The socket took what it had refused. */
  private resumed(): void {
    this.scheduler.pump();
    this.flushNow();
    if (this.readingStopped && !this.output.stalled) {
      this.readingStopped = false;
      this.socket.resume();
    }
  }

  /** False while the socket refuses output and enough waits for it. */
  maySend(): boolean {
    const output = this.output;
    if (!output.stalled) {
      if (output.pending <= earlyFlushBytes) return true;
      this.flushNow();
    }
    return !output.stalled || output.pending < this.limits.socketHighWaterBytes;
  }

  // ---- frames out

  sendFrame(type: number, flags: number, id: number, payload?: Uint8Array): void {
    const length = payload === undefined ? 0 : payload.length;
    const output = this.output;
    output.reserve(9 + length);
    const at = writeFrameHeader(output.buffer, output.at, length, type, flags, id);
    if (payload !== undefined) output.buffer.set(payload, at);
    output.at = at + length;
    this.changed();
  }

  /** One message as one DATA frame, if nothing waits before it and windows and socket allow it now. */
  sendData(stream: Http2Stream, message: Uint8Array, ended: boolean, compressed: boolean): boolean {
    const length = message.length;
    const bytes = length + 5;
    if (
      stream.waitingBytes > 0 ||
      bytes > stream.sendWindow ||
      bytes > this.sendWindow ||
      bytes > this.peerFrameBytes ||
      !this.maySend()
    ) {
      return false;
    }
    stream.sendWindow -= bytes;
    this.sendWindow -= bytes;
    const output = this.output;
    output.reserve(9 + bytes);
    const buffer = output.buffer;
    const flags = ended ? Flag.END_STREAM : 0;
    const at = writeFrameHeader(buffer, output.at, bytes, FrameType.DATA, flags, stream.id);
    buffer[at] = compressed ? 1 : 0;
    writeUint32(buffer, at + 1, length);
    buffer.set(message, at + 5);
    output.at = at + bytes;
    this.changed();
    return true;
  }

  private sendWindowUpdate(id: number, bytes: number): void {
    const output = this.output;
    output.reserve(13);
    const at = writeFrameHeader(output.buffer, output.at, 4, FrameType.WINDOW_UPDATE, 0, id);
    writeUint32(output.buffer, at, bytes);
    output.at = at + 4;
  }

  /**
   * A header list as HEADERS and, beyond one frame, CONTINUATION. Answers with the block when it would
   * mean the same again, that is until headerTableChanged() is called.
   * @throws TypeError for characters above U+00FF.
   */
  sendFields(id: number, fields: readonly HeaderField[], ended: boolean): Buffer | undefined {
    const block = this.encodeBlock(fields);
    this.sendBlock(id, block, ended);
    return changesTable(block, 0, block.length) ? undefined : block;
  }

  /** A block that must be the next one sent. @throws TypeError for characters above U+00FF. */
  protected encodeBlock(fields: readonly HeaderField[]): Buffer {
    const room = Buffer.allocUnsafe(HpackEncoder.bound(fields));
    const block = room.subarray(0, this.encoder.encode(fields, room, 0));
    if (changesTable(block, 0, block.length)) this.headerTableChanged();
    return block;
  }

  protected sendBlock(id: number, block: Buffer, ended: boolean): void {
    const last = ended ? Flag.END_STREAM : 0;
    if (block.length <= initialFrameBytes) {
      this.sendFrame(FrameType.HEADERS, last | Flag.END_HEADERS, id, block);
      return;
    }
    for (let at = 0; at < block.length; at += initialFrameBytes) {
      const end = Math.min(block.length, at + initialFrameBytes);
      const flags = (at === 0 ? last : 0) | (end === block.length ? Flag.END_HEADERS : 0);
      this.sendFrame(
        at === 0 ? FrameType.HEADERS : FrameType.CONTINUATION,
        flags,
        id,
        block.subarray(at, end),
      );
    }
  }

  /** What the encoder's table holds has moved, or must be announced: blocks kept from before are void. */
  protected headerTableChanged(): void {}

  protected sendReset(id: number, code: number): void {
    const output = this.output;
    output.reserve(13);
    const at = writeFrameHeader(output.buffer, output.at, 4, FrameType.RST_STREAM, 0, id);
    writeUint32(output.buffer, at, code);
    output.at = at + 4;
    this.resetStreams.add(id);
    if (this.resetStreams.size > recentResets) {
      for (const oldest of this.resetStreams) {
        this.resetStreams.delete(oldest);
        break;
      }
    }
    this.changed();
  }

  sendGoaway(lastStream: number, code: ErrorCode, debug: string): void {
    const text = Buffer.from(debug, "utf8");
    const payload = Buffer.alloc(8 + text.length);
    payload.writeUInt32BE(lastStream, 0);
    payload.writeUInt32BE(code, 4);
    text.copy(payload, 8);
    this.sendFrame(FrameType.GOAWAY, 0, 0, payload);
  }

  /** Our SETTINGS and the enlarged connection window. */
  protected sendOwnSettings(server: boolean): void {
    const limits = this.limits;
    const settings: [number, number][] = [
      [Setting.INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
      [Setting.MAX_FRAME_SIZE, limits.frameBytes],
      [Setting.MAX_HEADER_LIST_SIZE, limits.headerListBytes],
      server ? [Setting.MAX_CONCURRENT_STREAMS, limits.concurrentStreams] : [Setting.ENABLE_PUSH, 0],
    ];
    this.sendFrame(FrameType.SETTINGS, 0, 0, settingsPayload(settings));
    const extra = limits.connectionWindowBytes - initialWindow;
    if (extra > 0) this.sendWindowUpdate(0, extra);
  }

  // ---- flow control and memory

  /** The stream has something to send. */
  ready(stream: Http2Stream): void {
    this.scheduler.add(stream);
    this.scheduler.pump();
  }

  /** A stream's receiver took bytes: both windows get them back, in large steps. */
  credit(stream: Http2Stream, bytes: number): void {
    this.creditConnection(bytes);
    if (stream.remoteClosed) return;
    stream.consumed += bytes;
    if (stream.consumed > 0 && stream.consumed * 2 >= this.limits.streamWindowBytes) {
      this.sendWindowUpdate(stream.id, stream.consumed);
      stream.receiveWindow += stream.consumed;
      stream.consumed = 0;
    }
  }

  creditConnection(bytes: number): void {
    this.consumed += bytes;
    if (this.consumed * 4 < this.limits.connectionWindowBytes) return;
    this.sendWindowUpdate(0, this.consumed);
    this.giveBack(this.consumed);
    this.consumed = 0;
  }

  /** Counts bytes held for streams; negative when let go. */
  hold(bytes: number): void {
    this.heldBytes += bytes;
  }

  get holdsTooMuch(): boolean {
    return this.heldBytes > this.limits.connectionHeldBytes;
  }

  // ---- streams

  protected adopt(stream: Http2Stream): void {
    this.streams.set(stream.id, stream);
  }

  /** Takes a stream off the table; frames for it are late from now on. */
  remove(stream: Http2Stream): void {
    if (stream.closed) return;
    this.streams.delete(stream.id);
    stream.release();
    this.streamRemoved();
  }

  /** Ends a stream with RST_STREAM. */
  reset(stream: Http2Stream, code: ErrorCode): void {
    if (stream.closed) return;
    this.remove(stream);
    this.sendReset(stream.id, code);
  }

  protected streamFault(error: StreamError): void {
    const stream = this.streams.get(error.streamId);
    this.sendReset(error.streamId, error.code);
    if (stream === undefined) return;
    this.remove(stream);
    stream.lost(error.message);
  }

  // ---- life

  /** Called about once a second: handshake and keepalive. */
  tick(now: number): void {
    if (this.closing) return;
    if (!this.settingsReceived) {
      if (now - this.openedAt > this.limits.handshakeTimeoutMs) {
        this.shutdown(new ConnectionError(ErrorCode.SETTINGS_TIMEOUT, "no SETTINGS in time"));
      }
      return;
    }
    if (this.pingSentAt !== undefined) {
      if (this.lastReceivedAt >= this.pingSentAt) this.pingSentAt = undefined;
      else if (now - this.pingSentAt > this.limits.keepaliveTimeoutMs)
        this.destroy("keepalive ping not answered");
      return;
    }
    const interval = this.limits.keepaliveIntervalMs;
    if (interval > 0 && now - this.lastReceivedAt > interval) {
      this.pingSentAt = now;
      this.sendFrame(FrameType.PING, 0, 0, keepalivePing);
    }
  }

  protected failWith(error: unknown): void {
    if (error instanceof ConnectionError) this.shutdown(error);
    else {
      // Not the peer's fault: our own defect ends this connection and is reported, not the process.
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.shutdown(new ConnectionError(ErrorCode.INTERNAL_ERROR, "internal error"), detail);
    }
  }

  /** Highest stream of the peer that was acted on, for GOAWAY. */
  protected abstract lastHandled(): number;

  /** Tells the peer why, closes in good order, and destroys the socket if the peer does not close too. */
  shutdown(error: ConnectionError, detail = error.message): void {
    if (this.closing) return;
    this.fault = error;
    this.sendGoaway(this.lastHandled(), error.code, error.message);
    this.finish(`${errorCodeName(error.code)}: ${detail}`);
  }

  /** Writes what is left and closes the socket; streams still open are lost. */
  finish(reason: string): void {
    if (this.closing) return;
    this.reason ??= reason;
    this.loseStreams(reason);
    this.output.flush(true);
    this.closing = true;
    this.socket.end();
    this.socket.resume();
    this.lingerTimer = setTimeout(() => this.socket.destroy(), lingerMs).unref();
  }

  destroy(reason: string): void {
    this.reason ??= reason;
    this.closing = true;
    this.socket.destroy();
    this.socketClosed();
  }

  private socketClosed(): void {
    if (this.gone) return;
    this.gone = true;
    this.closing = true;
    clearTimeout(this.lingerTimer);
    const reason = this.reason ?? "connection closed by peer";
    this.loseStreams(reason);
    this.output.discard();
    this.ended(reason, this.fault);
  }

  private loseStreams(reason: string): void {
    for (const stream of [...this.streams.values()]) {
      this.remove(stream);
      stream.lost(reason);
    }
  }
}
