// Where the results of client calls go: the callbacks of a stream, or the single answer of a unary call.

import { type CallEnd, type ClientStreamEvents, type Metadata, Status } from "./call.js";
import type { CallSink } from "./client-stream.js";

export type UnaryDone = (end: CallEnd, message: Uint8Array | undefined) => void;

/** Keeps the one message until the status says whether it counts. */
export class UnarySink implements CallSink {
  private answer: Uint8Array | undefined;
  private extra = false;

  constructor(private readonly done: UnaryDone) {}

  message(message: Uint8Array): void {
    if (this.answer !== undefined) this.extra = true;
    this.answer = message;
  }

  headers(_metadata: Metadata): void {}

  end(end: CallEnd): void {
    if (end.code !== Status.OK) this.done(end, undefined);
    else if (this.answer === undefined || this.extra) {
      const message = this.extra
        ? "more than one message in a unary response"
        : "no message in a unary response";
      this.done({ code: Status.INTERNAL, message, trailers: end.trailers }, undefined);
    } else this.done(end, this.answer);
  }
}

export class StreamSink implements CallSink {
  constructor(private readonly events: ClientStreamEvents) {}

  message(message: Uint8Array): void {
    this.events.message(message);
  }

  headers(metadata: Metadata): void {
    this.events.headers?.(metadata);
  }

  end(end: CallEnd): void {
    this.events.end(end);
  }
}
