// The contract between rpc/ and those who serve or call methods: statuses, metadata, server calls
// and client calls. Hot methods use raw bytes and callbacks; everything else the typed wrappers.

/** gRPC status codes, by number (statuscodes of the gRPC documentation). */
export const Status = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** An RPC that ended with a status other than OK. Thrown by handlers and by the client. */
export class RpcError extends Error {
  override readonly name = "RpcError";
  constructor(
    readonly code: Status,
    message: string,
    readonly trailers: Metadata = emptyMetadata,
  ) {
    super(message);
  }
}

/** Header fields in order of arrival; names are lower case, values of `-bin` names are decoded bytes. */
export type Metadata = readonly (readonly [name: string, value: string | Uint8Array])[];
export const emptyMetadata: Metadata = [];

/** One call as its handler sees it. */
export interface ServerCall {
  readonly path: string;
  readonly metadata: Metadata;
  /** Address and port of the caller. */
  readonly peer: string;
  /** performance.now() at which the caller gives up; undefined without grpc-timeout. */
  readonly deadlineAt: number | undefined;
  /** True once the call ended: answered, reset, timed out or its connection lost. */
  readonly ended: boolean;
  /** For handlers that care about compression; calls that come over HTTP/2 have it. */
  readonly compression?: CallCompression;
  /**
   * True when so much waits to be read on the call's connection that nothing large should be added: a
   * handler about to make a large answer ends the call with RESOURCE_EXHAUSTED instead.
   */
  readonly congested: boolean;
  /** Runs once if the call ends before the handler ended it (reset, deadline, connection lost). */
  onCancel(listener: () => void): void;
  /** Headers to send before the first message; at most once, before any message. */
  sendMetadata(metadata: Metadata): void;
  /** Ends the call with a status other than OK, or a stream with OK. Ignored when it already ended. */
  end(code: Status, message?: string, trailers?: Metadata): void;
}

/** What a handler may know and decide about compressed messages. */
export interface CallCompression {
  /** Whether the message being handed over (at this moment) arrived compressed. */
  readonly messageCompressed: boolean;
  /**
   * Compresses messages sent from now on, or stops. At first they are compressed when the caller
   * announced compression of its own, as grpc-go does it. Without effect when the caller does not accept
   * gzip; a stream whose headers announced no compression cannot begin with it.
   */
  compress(on: boolean): void;
}

export interface UnaryCall extends ServerCall {
  /** Sends the only message and ends the call with OK. The bytes must not change afterwards. Ignored when the call ended. */
  respond(message: Uint8Array): void;
}

export interface StreamCall extends ServerCall {
  /**
   * Sends one message. False when more than the high-water mark is waiting for the reader: stop
   * until onDrain. What is written to an ended call is dropped.
   */
  write(message: Uint8Array): boolean;
  /** Messages (bytes) written and not yet handed to the socket. */
  readonly bufferedBytes: number;
  onDrain(listener: () => void): void;
  /** One complete message each. Set synchronously in the handler. */
  onMessage(listener: (message: Uint8Array) => void): void;
  /** The caller half-closed: no more messages. */
  onHalfClose(listener: () => void): void;
  /** Stops (true) or resumes handing over messages; flow control makes the caller wait. */
  pause(paused: boolean): void;
}

/** A method served on raw messages. The path is "/package.Service/Method". */
export type RawMethod =
  | {
      readonly kind: "unary";
      readonly path: string;
      /** `message` is a view that is valid only during the call: copy what is kept. */
      readonly handle: (message: Uint8Array, call: UnaryCall) => void;
    }
  | { readonly kind: "stream"; readonly path: string; readonly handle: (call: StreamCall) => void };

/** Told about every call, for metrics. */
export interface RpcObserver {
  started(path: string, kind: "unary" | "stream"): void;
  handled(path: string, kind: "unary" | "stream", code: Status, durationSeconds: number): void;
  received(bytes: number): void;
  sent(bytes: number): void;
}

/** Outcome of a client call. */
export interface CallEnd {
  readonly code: Status;
  readonly message: string;
  readonly trailers: Metadata;
}

export interface CallOptions {
  readonly metadata?: Metadata;
  /** Milliseconds until DEADLINE_EXCEEDED; none by default. */
  readonly timeoutMs?: number;
  /** Sends messages in gzip when they are long enough to gain by it; most servers then answer in gzip. */
  readonly compress?: boolean;
}

/** The client's end of a streaming call. */
export interface ClientStream {
  write(message: Uint8Array): boolean;
  onDrain(listener: () => void): void;
  halfClose(): void;
  cancel(): void;
  /** Stops (true) or resumes handing over messages; flow control makes the server wait. */
  pause(paused: boolean): void;
  readonly bufferedBytes: number;
}

export interface ClientStreamEvents {
  readonly message: (message: Uint8Array) => void;
  readonly end: (end: CallEnd) => void;
  readonly headers?: (metadata: Metadata) => void;
}

/** One HTTP/2 connection that calls methods; reconnects by itself when asked to. */
export interface Channel {
  /** True when connected and not draining. */
  readonly ready: boolean;
  /** Calls on a channel that is not connected fail with UNAVAILABLE at once. */
  unary(
    path: string,
    message: Uint8Array,
    options: CallOptions,
    done: (end: CallEnd, message: Uint8Array | undefined) => void,
  ): void;
  stream(path: string, options: CallOptions, events: ClientStreamEvents): ClientStream;
  /** Resolves when connected; rejects with RpcError UNAVAILABLE. */
  connect(): Promise<void>;
  /**
   * The connection is gone. A server that drains makes `ready` false first; calls that run may then
   * still finish, and connect() already makes a new connection.
   */
  onClose(listener: (reason: string) => void): void;
  close(): void;
}

/** A channel whose life can be checked. */
export interface MeasuredChannel extends Channel {
  /**
   * Sends a PING; `answered` runs with the milliseconds until its answer, if one comes. False, and
   * nothing is sent, while not connected or another waits for its answer.
   */
  ping(answered: (roundTripMs: number) => void): boolean;
}
