// A client call that waits for the server to allow another stream. It takes writes meanwhile and can
// be cancelled or run out of time before it was ever sent.

import { type CallOptions, type ClientStream, Status } from "./call.js";
import type { ClientConnection } from "./client-connection.js";
import type { CallSink, ClientCallStream } from "./client-stream.js";
import type { Deadline, DeadlineWheel } from "./deadlines.js";

export class WaitingCall implements ClientStream {
  private stream: ClientCallStream | undefined;
  private messages: Uint8Array[] = [];
  private waitingBytes = 0;
  private halfClosed = false;
  private drainListener: (() => void) | undefined;
  private over = false;
  private paused = false;
  private readonly deadline: Deadline | undefined;

  constructor(
    private readonly path: string,
    private readonly options: CallOptions,
    private readonly sink: CallSink,
    private readonly deadlineAt: number | undefined,
    private readonly deadlines: DeadlineWheel,
    private readonly highWaterBytes: number,
  ) {
    if (deadlineAt !== undefined) {
      this.deadline = deadlines.add(deadlineAt, () =>
        this.fail(Status.DEADLINE_EXCEEDED, "deadline exceeded"),
      );
    }
  }

  /** It ended before it was sent. */
  get abandoned(): boolean {
    return this.over && this.stream === undefined;
  }

  get bufferedBytes(): number {
    return this.stream?.bufferedBytes ?? this.waitingBytes;
  }

  write(message: Uint8Array): boolean {
    if (this.stream !== undefined) return this.stream.write(message);
    if (this.over || this.halfClosed) return false;
    this.messages.push(message);
    this.waitingBytes += message.length;
    return this.waitingBytes <= this.highWaterBytes;
  }

  halfClose(): void {
    this.halfClosed = true;
    this.stream?.halfClose();
  }

  cancel(): void {
    if (this.stream !== undefined) this.stream.cancel();
    else this.fail(Status.CANCELLED, "call cancelled by the caller");
  }

  pause(paused: boolean): void {
    this.paused = paused;
    this.stream?.pause(paused);
  }

  onDrain(listener: () => void): void {
    this.drainListener = listener;
    this.stream?.onDrain(listener);
  }

  /** Sends it at last. */
  open(connection: ClientConnection): void {
    if (this.deadline !== undefined) this.deadlines.remove(this.deadline);
    const stream = connection.open(this.path, this.options, this.sink, this.deadlineAt);
    this.stream = stream;
    stream.pause(this.paused);
    const full = this.waitingBytes > this.highWaterBytes;
    if (this.drainListener !== undefined) stream.onDrain(this.drainListener);
    let drained = true;
    const last = this.messages.length - 1;
    this.messages.forEach((message, index) => {
      if (index === last && this.halfClosed) stream.writeLast(message);
      else drained = stream.write(message);
    });
    if (this.halfClosed && last < 0) stream.halfClose();
    this.messages = [];
    if (full && drained && !this.halfClosed) this.drainListener?.();
  }

  fail(code: Status, message: string): void {
    if (this.over || this.stream !== undefined) return;
    this.over = true;
    this.messages = [];
    this.waitingBytes = 0;
    if (this.deadline !== undefined) this.deadlines.remove(this.deadline);
    this.sink.end({ code, message, trailers: [] });
  }
}
