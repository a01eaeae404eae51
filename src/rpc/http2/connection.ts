// The receiving half of an HTTP/2 connection (RFC 9113), shared by client and server: checks every
// frame, applies settings and windows, gathers header blocks and hands DATA to its stream. What arrives
// in one chunk is handled to its end, then everything it caused leaves in one write.

import type { Socket } from "node:net";
import { HpackDecoder, HpackError } from "../hpack/decoder.js";
import { FloodGuard } from "./flood-guard.js";
import { FrameReader, type FrameSink } from "./frame-reader.js";
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  initialFrameBytes,
  maxWindow,
  readUint31,
  readUint32,
  Setting,
  StreamError,
} from "./frames.js";
import { type ConnectionHost, keepalivePing, Link } from "./link.js";

interface PartialBlock {
  readonly id: number;
  readonly ended: boolean;
  readonly fault: string | undefined;
  readonly parts: Buffer[];
  bytes: number;
}

export abstract class Http2Connection extends Link implements FrameSink {
  protected readonly decoder: HpackDecoder;
  protected readonly guard: FloodGuard;
  private readonly reader: FrameReader;
  private receiveWindow: number;
  /** The header block being gathered from CONTINUATION frames. */
  private block: PartialBlock | undefined;

  constructor(socket: Socket, host: ConnectionHost) {
    super(socket, host);
    this.receiveWindow = host.limits.connectionWindowBytes;
    this.decoder = new HpackDecoder({ maxListBytes: host.limits.headerListBytes });
    this.guard = new FloodGuard(host.limits.flood);
    this.reader = new FrameReader(this, host.limits.frameBytes);
    socket.on("data", (chunk: Buffer) => this.receive(chunk));
  }

  /** A complete header block. `fault` is a reason known before decoding why it is malformed. */
  protected abstract headerBlock(
    id: number,
    ended: boolean,
    fault: string | undefined,
    buffer: Buffer,
    start: number,
    end: number,
  ): void;
  protected abstract goawayReceived(lastStream: number, code: number, debug: string): void;
  /** The peer acknowledged a PING that the role sent. */
  protected abstract pingAcknowledged(): void;
  /** The first SETTINGS of the peer took effect. */
  protected abstract established(): void;
  /** True when a frame on this id, not in the table, refers to a stream never opened. */
  protected abstract isIdle(id: number): boolean;
  /** Bytes arrived from the socket; for the observer. */
  protected abstract received(bytes: number): void;

  /** Handles a chunk from `from` on; what it caused is written before this returns. */
  receive(chunk: Buffer, from = 0): void {
    if (this.closing) return;
    this.beginTurn();
    this.received(chunk.length - from);
    try {
      this.reader.push(chunk, from);
    } catch (error) {
      this.failWith(error);
    }
    this.endTurn();
  }

  frame(type: number, flags: number, id: number, buffer: Buffer, start: number, end: number): boolean {
    try {
      if (this.block !== undefined && (type !== FrameType.CONTINUATION || id !== this.block.id)) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "header block interrupted by another frame");
      }
      if (!this.settingsReceived && type !== FrameType.SETTINGS) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "first frame is not SETTINGS");
      }
      switch (type) {
        case FrameType.DATA:
          this.data(flags, id, buffer, start, end);
          break;
        case FrameType.HEADERS:
          this.headers(flags, id, buffer, start, end);
          break;
        case FrameType.WINDOW_UPDATE:
          this.windowUpdate(id, buffer, start, end);
          break;
        case FrameType.RST_STREAM:
          this.rstStream(id, buffer, start, end);
          break;
        case FrameType.CONTINUATION:
          this.continuation(flags, id, buffer, start, end);
          break;
        case FrameType.SETTINGS:
          this.settings(flags, id, buffer, start, end);
          break;
        case FrameType.PING:
          this.ping(flags, id, buffer, start, end);
          break;
        case FrameType.GOAWAY:
          this.goaway(id, buffer, start, end);
          break;
        case FrameType.PRIORITY:
          this.priority(id, buffer, start, end);
          break;
        case FrameType.PUSH_PROMISE:
          throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE without permission");
        default: // Unknown types are ignored (RFC 9113 section 4.1).
      }
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      // Making us reset streams costs as much as resetting them (CVE-2025-8671).
      this.guard.count("resets", this.now);
      this.streamFault(error);
    }
    return !this.closing;
  }

  private data(flags: number, id: number, buffer: Buffer, start: number, end: number): void {
    if (id === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0");
    const credit = end - start;
    let from = start;
    let to = end;
    if ((flags & Flag.PADDED) !== 0) {
      if (credit === 0)
        throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "padded DATA without pad length");
      to -= buffer[from++]!;
      if (to < from) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame");
    }
    const stream = this.streams.get(id);
    if (stream === undefined && this.isIdle(id)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `DATA on idle stream ${id}`);
    }
    this.receiveWindow -= credit;
    if (this.receiveWindow < 0) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "connection window overrun");
    }
    const ended = (flags & Flag.END_STREAM) !== 0;
    if (to === from && !ended) this.guard.count("emptyData", this.now);
    if (stream === undefined) {
      this.creditConnection(credit);
      if (this.resetStreams.has(id)) return;
      throw new StreamError(id, ErrorCode.STREAM_CLOSED, "DATA on a closed stream");
    }
    if (stream.remoteClosed) {
      this.creditConnection(credit);
      throw new StreamError(id, ErrorCode.STREAM_CLOSED, "DATA behind END_STREAM");
    }
    stream.receiveWindow -= credit;
    if (stream.receiveWindow < 0) {
      this.creditConnection(credit);
      throw new StreamError(id, ErrorCode.FLOW_CONTROL_ERROR, "stream window overrun");
    }
    stream.receive(buffer, from, to, credit, ended);
  }

  private headers(flags: number, id: number, buffer: Buffer, start: number, end: number): void {
    if (id === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0");
    let from = start;
    let to = end;
    let fault: string | undefined;
    if ((flags & (Flag.PADDED | Flag.PRIORITY)) !== 0) {
      if ((flags & Flag.PADDED) !== 0) {
        if (from === end)
          throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "padded HEADERS without pad length");
        to -= buffer[from++]!;
      }
      if ((flags & Flag.PRIORITY) !== 0) {
        if (end - from < 5)
          throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without its priority");
        if (readUint31(buffer, from) === id) fault = "stream depends on itself";
        from += 5;
      }
      if (to < from) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame");
    }
    const ended = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.wholeBlock(id, ended, fault, buffer, from, to);
      return;
    }
    this.block = { id, ended, fault, parts: [Buffer.from(buffer.subarray(from, to))], bytes: to - from };
  }

  private continuation(flags: number, id: number, buffer: Buffer, start: number, end: number): void {
    const block = this.block;
    if (block === undefined || id === 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS");
    }
    block.parts.push(Buffer.from(buffer.subarray(start, end)));
    block.bytes += end - start;
    this.guard.continuation(block.parts.length - 1);
    if (block.bytes > this.limits.headerListBytes) {
      throw new ConnectionError(
        ErrorCode.ENHANCE_YOUR_CALM,
        "header block larger than the header list limit",
      );
    }
    if ((flags & Flag.END_HEADERS) === 0) return;
    this.block = undefined;
    const whole = Buffer.concat(block.parts);
    this.wholeBlock(block.id, block.ended, block.fault, whole, 0, whole.length);
  }

  private wholeBlock(
    id: number,
    ended: boolean,
    fault: string | undefined,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    try {
      this.headerBlock(id, ended, fault, buffer, start, end);
    } catch (error) {
      if (error instanceof HpackError) throw new ConnectionError(ErrorCode.COMPRESSION_ERROR, error.message);
      throw error;
    }
  }

  private priority(id: number, buffer: Buffer, start: number, end: number): void {
    if (id === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0");
    if (end - start !== 5) throw new StreamError(id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes");
    this.guard.count("priorities", this.now);
    if (readUint31(buffer, start) === id) {
      throw new StreamError(id, ErrorCode.PROTOCOL_ERROR, "stream depends on itself");
    }
  }

  private rstStream(id: number, buffer: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes");
    if (id === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on stream 0");
    const stream = this.streams.get(id);
    if (stream === undefined && this.isIdle(id)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `RST_STREAM on idle stream ${id}`);
    }
    if (stream === undefined) return;
    this.guard.count("resets", this.now);
    this.remove(stream);
    stream.resetByPeer(readUint32(buffer, start));
  }

  private settings(flags: number, id: number, buffer: Buffer, start: number, end: number): void {
    if (id !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream");
    const length = end - start;
    if ((flags & Flag.ACK) !== 0) {
      if (length !== 0)
        throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS acknowledgement with payload");
      if (!this.settingsReceived)
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "first frame is not SETTINGS");
      this.ownSettingsApplied();
      return;
    }
    if (length % 6 !== 0) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of odd length");
    this.guard.count("settings", this.now);
    for (let at = start; at < end; at += 6) {
      this.applySetting((buffer[at]! << 8) | buffer[at + 1]!, readUint32(buffer, at + 2));
    }
    this.sendFrame(FrameType.SETTINGS, Flag.ACK, 0);
    if (!this.settingsReceived) {
      this.settingsReceived = true;
      this.established();
    }
    this.scheduler.pump();
  }

  /** Windows smaller than the default bind the peer only once it has acknowledged them. */
  private ownSettingsApplied(): void {
    const change = this.limits.streamWindowBytes - this.ownInitialWindow;
    if (change >= 0) return;
    this.ownInitialWindow += change;
    for (const stream of this.streams.values()) stream.receiveWindow += change;
  }

  protected applySetting(id: number, value: number): void {
    switch (id) {
      case Setting.HEADER_TABLE_SIZE:
        this.encoder.setPeerMaxTableBytes(value);
        this.headerTableChanged();
        break;
      case Setting.ENABLE_PUSH:
        if (value > 1) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1");
        break;
      case Setting.MAX_CONCURRENT_STREAMS:
        this.peerConcurrentStreams = value;
        break;
      case Setting.INITIAL_WINDOW_SIZE: {
        if (value > maxWindow)
          throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE too large");
        const change = value - this.peerInitialWindow;
        this.peerInitialWindow = value;
        for (const stream of this.streams.values()) {
          stream.sendWindow += change;
          if (stream.sendWindow > maxWindow) {
            throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE overflows a window");
          }
          if (change > 0) this.scheduler.add(stream);
        }
        break;
      }
      case Setting.MAX_FRAME_SIZE:
        if (value < initialFrameBytes || value > 0xffffff) {
          throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range");
        }
        this.peerFrameBytes = value;
        break;
      default: // MAX_HEADER_LIST_SIZE is advice; unknown settings are ignored (section 6.5.2).
    }
  }

  private ping(flags: number, id: number, buffer: Buffer, start: number, end: number): void {
    if (id !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PING on a stream");
    if (end - start !== 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "PING is not 8 bytes");
    if ((flags & Flag.ACK) === 0) {
      this.guard.count("pings", this.now);
      this.sendFrame(FrameType.PING, Flag.ACK, 0, buffer.subarray(start, end));
    } else if (!keepalivePing.equals(buffer.subarray(start, end))) this.pingAcknowledged();
  }

  private goaway(id: number, buffer: Buffer, start: number, end: number): void {
    if (id !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream");
    if (end - start < 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY shorter than 8 bytes");
    const debug = buffer.toString("utf8", start + 8, Math.min(end, start + 8 + 256));
    this.goawayReceived(readUint31(buffer, start), readUint32(buffer, start + 4), debug);
  }

  private windowUpdate(id: number, buffer: Buffer, start: number, end: number): void {
    if (end - start !== 4)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes");
    this.guard.count("windowUpdates", this.now);
    const increment = readUint31(buffer, start);
    if (id === 0) {
      if (increment === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      this.sendWindow += increment;
      if (this.sendWindow > maxWindow) {
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "connection window overflow");
      }
      this.scheduler.pump();
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id))
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `WINDOW_UPDATE on idle stream ${id}`);
      return;
    }
    if (increment === 0) throw new StreamError(id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    stream.sendWindow += increment;
    if (stream.sendWindow > maxWindow)
      throw new StreamError(id, ErrorCode.FLOW_CONTROL_ERROR, "stream window overflow");
    this.scheduler.add(stream);
    this.scheduler.pump();
  }

  protected override giveBack(bytes: number): void {
    this.receiveWindow += bytes;
  }
}
