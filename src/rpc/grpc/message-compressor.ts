// Compresses the messages that one stream sends and keeps them in order: while one is on its way
// through a thread, those behind it wait here.

import { deflateNow, type GzipQueue, type GzipTask } from "./gzip.js";

export interface CompressorSink {
  /** The next message to send. */
  transmit(message: Uint8Array, compressed: boolean): void;
  /** Bytes that wait here grew, or (negative) shrank. */
  hold(bytes: number): void;
  /** Everything was transmitted, not within push(). */
  compressorIdle(): void;
}

interface Waiting {
  readonly message: Uint8Array;
  readonly compress: boolean;
}

export class MessageCompressor {
  private task: GzipTask | undefined;
  private waiting: Waiting[] = [];
  /** Bytes of messages that were pushed and not transmitted. */
  bytes = 0;

  constructor(
    private readonly queue: GzipQueue,
    private readonly owner: object,
    private readonly sink: CompressorSink,
  ) {}

  /** Something was pushed and not transmitted. */
  get busy(): boolean {
    return this.task !== undefined || this.waiting.length > 0;
  }

  /** The bytes must not change until they were transmitted. */
  push(message: Uint8Array, compress: boolean): void {
    if (!this.busy) {
      this.handle(message, compress);
      return;
    }
    this.waiting.push({ message, compress });
    this.count(message.length);
  }

  /** Nothing more is transmitted. */
  cancel(): void {
    this.task?.cancel();
    this.waiting = [];
    this.count(-this.bytes);
  }

  private handle(message: Uint8Array, compress: boolean): void {
    if (!compress) {
      this.sink.transmit(message, false);
      return;
    }
    const packed = deflateNow(message);
    if (packed !== undefined) {
      this.transmitSmaller(message, packed);
      return;
    }
    this.count(message.length);
    this.task = this.queue.deflate(this.owner, message, (outcome) => {
      this.task = undefined;
      this.count(-message.length);
      // zlib can only have run out of memory: the message is sent as it is.
      this.transmitSmaller(message, outcome instanceof Uint8Array ? outcome : message);
      this.resume();
    });
  }

  private resume(): void {
    while (this.task === undefined) {
      const next = this.waiting.shift();
      if (next === undefined) {
        this.sink.compressorIdle();
        return;
      }
      this.count(-next.message.length);
      this.handle(next.message, next.compress);
    }
  }

  private transmitSmaller(message: Uint8Array, packed: Uint8Array): void {
    if (packed.length < message.length) this.sink.transmit(packed, true);
    else this.sink.transmit(message, false);
  }

  private count(bytes: number): void {
    this.bytes += bytes;
    if (bytes !== 0) this.sink.hold(bytes);
  }
}
