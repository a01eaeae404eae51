// The other end of a connection in tests: speaks HTTP/2 frame by frame over a real socket and can
// therefore misbehave in any way a test wants.

import { connect, type Socket } from "node:net";
import { type HeaderField, HpackDecoder } from "../hpack/decoder.js";
import { HpackEncoder } from "../hpack/encoder.js";
import { FrameReader } from "../http2/frame-reader.js";
import {
  clientPreface,
  Flag,
  FrameType,
  frame,
  initialFrameBytes,
  settingsPayload,
} from "../http2/frames.js";

export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value >>> 0, index * 4);
  });
  return bytes;
}

/** A gRPC message with its prefix. */
export function prefixed(message: Uint8Array, flag = 0): Buffer {
  return Buffer.concat([Buffer.from([flag]), uint32(message.length), message]);
}

export function requestFields(path: string, ...more: HeaderField[]): HeaderField[] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "test"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...more,
  ];
}

export class RawPeer {
  readonly frames: SeenFrame[] = [];
  closed = false;
  private readonly encoder = new HpackEncoder();
  private readonly decoder = new HpackDecoder();
  private readonly watchers = new Set<() => void>();
  private readonly reader = new FrameReader(
    {
      frame: (type, flags, id, buffer, start, end) => {
        this.frames.push({ type, flags, id, payload: Buffer.from(buffer.subarray(start, end)) });
        return true;
      },
    },
    0xffffff,
  );

  private constructor(readonly socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.reader.push(chunk);
      this.wake();
    });
    socket.on("close", () => {
      this.closed = true;
      this.wake();
    });
    socket.on("error", () => {});
  }

  /** Connects and sends the preface with these settings; does not wait for the server's. */
  static async open(port: number, settings: readonly (readonly [number, number])[] = []): Promise<RawPeer> {
    const peer = await RawPeer.bare(port);
    peer.send(clientPreface, frame(FrameType.SETTINGS, 0, 0, settingsPayload(settings)));
    return peer;
  }

  /** Connects and sends nothing. */
  static async bare(port: number): Promise<RawPeer> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new RawPeer(socket);
  }

  /** Takes over a socket, as a server would. */
  static over(socket: Socket): RawPeer {
    return new RawPeer(socket);
  }

  send(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  block(fields: readonly HeaderField[]): Buffer {
    const buffer = Buffer.alloc(HpackEncoder.bound(fields));
    return buffer.subarray(0, this.encoder.encode(fields, buffer, 0));
  }

  headers(id: number, fields: readonly HeaderField[], flags: number = Flag.END_HEADERS): Buffer {
    return frame(FrameType.HEADERS, flags, id, this.block(fields));
  }

  /** DATA frames of at most 16384 bytes. */
  data(id: number, payload: Uint8Array, ended = false): Buffer {
    const frames: Buffer[] = [];
    for (let at = 0; at === 0 || at < payload.length; at += initialFrameBytes) {
      const end = Math.min(payload.length, at + initialFrameBytes);
      const flags = ended && end === payload.length ? Flag.END_STREAM : 0;
      frames.push(frame(FrameType.DATA, flags, id, payload.subarray(at, end)));
    }
    return Buffer.concat(frames);
  }

  /** A whole unary request. */
  request(id: number, path: string, message: Uint8Array, ...more: HeaderField[]): Buffer {
    return Buffer.concat([
      this.headers(id, requestFields(path, ...more)),
      this.data(id, prefixed(message), true),
    ]);
  }

  decode(block: Uint8Array): HeaderField[] {
    return this.decoder.decode(block);
  }

  /** Header fields of every HEADERS frame of a stream so far; decodes all frames in order of arrival. */
  headersOf(id: number): Record<string, string>[] {
    const lists: Record<string, string>[] = [];
    const decoder = new HpackDecoder();
    for (const seen of this.frames) {
      if (seen.type !== FrameType.HEADERS) continue;
      const fields = decoder.decode(seen.payload);
      if (seen.id === id) lists.push(Object.fromEntries(fields));
    }
    return lists;
  }

  /** Concatenated DATA of a stream. */
  dataOf(id: number): Buffer {
    return Buffer.concat(
      this.frames
        .filter((seen) => seen.type === FrameType.DATA && seen.id === id)
        .map((seen) => seen.payload),
    );
  }

  find(type: number, id = 0): SeenFrame | undefined {
    return this.frames.find((seen) => seen.type === type && seen.id === id);
  }

  /** Resolves with what `probe` finds, looked at after every chunk; rejects when the socket closes first. */
  async until<T>(probe: () => T | undefined | false, what = "what the test waits for"): Promise<T> {
    for (;;) {
      const found = probe();
      if (found !== undefined && found !== false) return found;
      if (this.closed) throw new Error(`connection closed before ${what}`);
      await new Promise<void>((resolve) => {
        this.watchers.add(resolve);
      });
    }
  }

  /** The frame that ends a stream has arrived. */
  ended(id: number): Promise<SeenFrame> {
    return this.until(
      () =>
        this.frames.find(
          (seen) =>
            seen.id === id &&
            (seen.type === FrameType.RST_STREAM ||
              ((seen.type === FrameType.HEADERS || seen.type === FrameType.DATA) &&
                (seen.flags & Flag.END_STREAM) !== 0)),
        ),
      `stream ${id} ended`,
    );
  }

  async closing(): Promise<void> {
    while (!this.closed) {
      await new Promise<void>((resolve) => {
        this.watchers.add(resolve);
      });
    }
  }

  /** A PING round trip: everything sent before was handled. */
  async roundTrip(): Promise<void> {
    const count = (): number =>
      this.frames.filter((seen) => seen.type === FrameType.PING && (seen.flags & Flag.ACK) !== 0).length;
    const before = count();
    this.send(frame(FrameType.PING, 0, 0, Buffer.from("roundtrp")));
    await this.until(() => count() > before, "PING answered");
  }

  private wake(): void {
    const waiting = [...this.watchers];
    this.watchers.clear();
    for (const one of waiting) one();
  }
}
