// A channel to one server: calls methods over one HTTP/2 connection. It does not reconnect by itself:
// when onClose fires, the owner decides when to call connect() again.

import { connect as connectSocket, type Socket } from "node:net";
import {
  type CallEnd,
  type CallOptions,
  type ClientStream,
  type ClientStreamEvents,
  type MeasuredChannel,
  RpcError,
  Status,
} from "./call.js";
import { StreamSink, type UnaryDone, UnarySink } from "./call-sinks.js";
import { ClientConnection, type ClientHost } from "./client-connection.js";
import type { CallSink, ClientCallStream } from "./client-stream.js";
import { DeadlineWheel } from "./deadlines.js";
import { GzipQueue } from "./grpc/gzip.js";
import { fieldsOf } from "./grpc/metadata.js";
import type { ConnectionError } from "./http2/frames.js";
import { ChunkPool } from "./http2/output.js";
import { type RpcLimits, resolveLimits } from "./limits.js";
import { TurnFlusher } from "./turn-flusher.js";
import { WaitingCall } from "./waiting-call.js";

export interface RpcChannelOptions {
  readonly host: string;
  readonly port: number;
  /** `:authority` of requests; host:port by default. */
  readonly authority?: string;
  readonly userAgent?: string;
  readonly limits?: Partial<RpcLimits>;
  /** Calls that may wait for the server to allow another stream; more fail with RESOURCE_EXHAUSTED. */
  readonly waitingCalls?: number;
  /** Shared by those who want everything to leave at one moment; its own by default. */
  readonly flusher?: TurnFlusher;
  /** Opens the socket; TCP to host and port by default. It must be connecting or connected. */
  readonly dial?: () => Socket;
}

const tickMs = 1000;

interface Dialling {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: RpcError) => void;
}

export class RpcChannel implements MeasuredChannel, ClientHost {
  readonly limits: RpcLimits;
  readonly deadlines = new DeadlineWheel();
  readonly flusher: TurnFlusher;
  readonly pool = new ChunkPool(8);
  readonly gzip = new GzipQueue();
  readonly authority: string;
  readonly userAgent: string;
  private readonly maxWaiting: number;
  private socket: Socket | undefined;
  private connection: ClientConnection | undefined;
  private dialling: Dialling | undefined;
  /** Connections that finish their calls after a GOAWAY. */
  private readonly retiring = new Set<ClientConnection>();
  private waiting: WaitingCall[] = [];
  private readonly closeListeners: ((reason: string) => void)[] = [];
  private ticker: NodeJS.Timeout | undefined;

  constructor(private readonly options: RpcChannelOptions) {
    this.limits = resolveLimits(options.limits);
    this.flusher = options.flusher ?? new TurnFlusher();
    this.authority = options.authority ?? `${options.host}:${options.port}`;
    this.userAgent = options.userAgent ?? "quorate";
    this.maxWaiting = options.waitingCalls ?? 100_000;
  }

  get ready(): boolean {
    return this.connection?.usable === true;
  }

  connect(): Promise<void> {
    if (this.ready) return Promise.resolve();
    if (this.dialling !== undefined) return this.dialling.promise;
    if (this.connection !== undefined) {
      this.retiring.add(this.connection);
      this.connection = undefined;
    }
    let settle: Pick<Dialling, "resolve" | "reject"> | undefined;
    const promise = new Promise<void>((resolve, reject) => {
      settle = { resolve, reject };
    });
    if (settle === undefined) throw new Error("promise executors run at once");
    this.dialling = { promise, ...settle };
    this.dial();
    return promise;
  }

  private dial(): void {
    const { host, port, dial } = this.options;
    const socket = dial?.() ?? connectSocket({ host, port, noDelay: true });
    this.socket = socket;
    let failure = "connection closed";
    const timer = setTimeout(() => {
      failure = "connection timed out";
      socket.destroy();
    }, this.limits.handshakeTimeoutMs).unref();
    const onError = (error: Error): void => {
      failure = error.message;
    };
    const onClose = (): void => {
      clearTimeout(timer);
      this.dialFailed(failure);
    };
    const onConnect = (): void => {
      clearTimeout(timer);
      socket.off("error", onError).off("close", onClose);
      this.connection = new ClientConnection(socket, this);
      this.ticker ??= setInterval(() => this.tick(), tickMs).unref();
    };
    socket.once("error", onError).once("close", onClose);
    if (socket.connecting) socket.once("connect", onConnect);
    else onConnect();
  }

  private dialFailed(reason: string): void {
    const dialling = this.dialling;
    this.dialling = undefined;
    this.socket = undefined;
    dialling?.reject(new RpcError(Status.UNAVAILABLE, reason));
  }

  connectionEstablished(_connection: ClientConnection): void {
    const dialling = this.dialling;
    this.dialling = undefined;
    dialling?.resolve();
  }

  connectionEnded(connection: ClientConnection, reason: string, _error: ConnectionError | undefined): void {
    if (this.retiring.delete(connection)) return;
    if (connection !== this.connection) return;
    this.connection = undefined;
    if (this.retiring.size === 0) {
      clearInterval(this.ticker);
      this.ticker = undefined;
    }
    this.failWaiting(reason);
    if (this.dialling !== undefined) this.dialFailed(reason);
    else for (const listener of this.closeListeners) listener(reason);
  }

  streamFreed(connection: ClientConnection): void {
    if (this.waiting.length === 0 || connection !== this.connection) return;
    let opened = 0;
    while (opened < this.waiting.length && connection.mayOpen) {
      const call = this.waiting[opened++]!;
      if (!call.abandoned) call.open(connection);
    }
    this.waiting.splice(0, opened);
  }

  private failWaiting(reason: string): void {
    const calls = this.waiting;
    this.waiting = [];
    for (const call of calls) call.fail(Status.UNAVAILABLE, reason);
  }

  private tick(): void {
    const now = performance.now();
    this.connection?.tick(now);
    for (const connection of this.retiring) connection.tick(now);
  }

  unary(path: string, message: Uint8Array, options: CallOptions, done: UnaryDone): void {
    const stream = this.open(path, options, new UnarySink(done));
    if (stream === undefined) return;
    if (stream instanceof WaitingCall) {
      stream.write(message);
      stream.halfClose();
    } else stream.writeLast(message);
  }

  stream(path: string, options: CallOptions, events: ClientStreamEvents): ClientStream {
    return this.open(path, options, new StreamSink(events)) ?? deadStream;
  }

  /** A stream, one that waits for its turn, or undefined when the call ended at once. */
  private open(
    path: string,
    options: CallOptions,
    sink: CallSink,
  ): ClientCallStream | WaitingCall | undefined {
    const connection = this.connection;
    if (connection === undefined || !connection.usable) {
      const message = `not connected to ${this.authority}`;
      // Not before the caller has what this returns.
      queueMicrotask(() => sink.end({ code: Status.UNAVAILABLE, message, trailers: [] }));
      return undefined;
    }
    const deadlineAt = options.timeoutMs === undefined ? undefined : performance.now() + options.timeoutMs;
    if (connection.mayOpen) return connection.open(path, options, sink, deadlineAt);
    if (this.waiting.length >= this.maxWaiting) {
      const end: CallEnd = { code: Status.RESOURCE_EXHAUSTED, message: "too many calls wait", trailers: [] };
      queueMicrotask(() => sink.end(end));
      return undefined;
    }
    // What cannot be sent must throw here, not when its turn comes.
    if (options.metadata !== undefined) fieldsOf(options.metadata);
    const highWater = this.limits.streamHighWaterBytes;
    const call = new WaitingCall(path, options, sink, deadlineAt, this.deadlines, highWater);
    this.waiting.push(call);
    return call;
  }

  ping(answered: (roundTripMs: number) => void): boolean {
    return this.ready && this.connection?.measure(answered) === true;
  }

  onClose(listener: (reason: string) => void): void {
    this.closeListeners.push(listener);
  }

  /** Cuts the connection; running calls end with UNAVAILABLE. */
  close(): void {
    this.failWaiting("channel closed");
    for (const connection of [...this.retiring]) connection.finish("channel closed");
    if (this.connection !== undefined) this.connection.finish("channel closed");
    else this.socket?.destroy();
    clearInterval(this.ticker);
    this.ticker = undefined;
    this.deadlines.stop();
  }
}

/** What stream() answers when the call has already ended. */
const deadStream: ClientStream = {
  bufferedBytes: 0,
  write: () => false,
  onDrain: () => {},
  halfClose: () => {},
  cancel: () => {},
  pause: () => {},
};
