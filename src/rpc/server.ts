// A gRPC server on one port, over HTTP/2 in plain text; HTTP/1.1 connections on the same port go to a
// node:http server when one is given. Bounds and defaults: limits.ts.

import type { Server as HttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import type { RawMethod, RpcObserver } from "./call.js";
import { DeadlineWheel } from "./deadlines.js";
import { GzipQueue } from "./grpc/gzip.js";
import type { ConnectionError } from "./http2/frames.js";
import { ChunkPool } from "./http2/output.js";
import { type RpcLimits, resolveLimits } from "./limits.js";
import { MethodTable } from "./method-table.js";
import { detectProtocol } from "./protocol-detector.js";
import { ServerConnection, type ServerHost } from "./server-connection.js";
import { TurnFlusher } from "./turn-flusher.js";

export interface RpcServerOptions {
  readonly methods: Iterable<RawMethod>;
  readonly limits?: Partial<RpcLimits>;
  readonly observer?: RpcObserver;
  /** Shared by those who want everything to leave at one moment; its own by default. */
  readonly flusher?: TurnFlusher;
  /**
   * Gets the HTTP/1.1 connections; without it they are answered 505. It need not listen itself, but then
   * node does not enforce its headersTimeout and requestTimeout: set its `timeout` against slow clients.
   */
  readonly http1?: HttpServer;
  /** Connections at a time, of any protocol; more are closed as they come. No bound by default. */
  readonly maxConnections?: number;
  /** A connection was not taken: there are too many, or the system could not accept it. */
  readonly onConnectionRefused?: (reason: string) => void;
  /** A connection ended because its peer broke the protocol or a limit. */
  readonly onConnectionError?: (error: ConnectionError, peer: string, reason: string) => void;
  /** A handler threw something that is not an RpcError; the caller got UNKNOWN. */
  readonly onHandlerError?: (error: unknown, path: string) => void;
}

const tickMs = 1000;

export class RpcServer implements ServerHost {
  readonly limits: RpcLimits;
  readonly methods = new MethodTable();
  readonly observer: RpcObserver | undefined;
  readonly deadlines = new DeadlineWheel();
  readonly flusher: TurnFlusher;
  readonly pool = new ChunkPool();
  readonly gzip = new GzipQueue();
  private readonly open = new Set<ServerConnection>();
  /** Sockets whose protocol is not known yet, and those that speak HTTP/1.1. */
  private readonly others = new Set<Socket>();
  private listener: Server | undefined;
  private ticker: NodeJS.Timeout | undefined;
  private drained: (() => void) | undefined;
  private stopping = false;
  /** HTTP/1.1 requests that are being answered. */
  private http1Requests = 0;

  constructor(private readonly options: RpcServerOptions) {
    this.limits = resolveLimits(options.limits);
    this.flusher = options.flusher ?? new TurnFlusher();
    this.observer = options.observer;
    this.methods.add(options.methods);
    options.http1?.on("request", (_, response) => {
      this.http1Requests++;
      response.once("close", () => {
        this.http1Requests--;
        this.checkDrained();
      });
    });
  }

  /** Connections that speak HTTP/2. */
  get connections(): number {
    return this.open.size;
  }

  /** Serves more methods; works while running. @throws Error when a path is malformed or taken. */
  addMethods(methods: Iterable<RawMethod>): void {
    this.methods.add(methods);
    for (const connection of this.open) connection.methodsChanged();
  }

  /** Accepts connections; port 0 takes a free one. */
  listen(host: string, port: number): Promise<{ host: string; port: number }> {
    if (this.listener !== undefined) throw new Error("the server already listens");
    const listener = createServer({ noDelay: true }, (socket) => this.accept(socket));
    this.listener = listener;
    this.ticker = setInterval(() => this.tick(), tickMs).unref();
    const { maxConnections, onConnectionRefused } = this.options;
    if (maxConnections !== undefined) listener.maxConnections = maxConnections;
    listener.on("drop", () => onConnectionRefused?.(`${maxConnections} connections are open already`));
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => {
        this.listener = undefined;
        clearInterval(this.ticker);
        reject(error);
      };
      listener.once("error", failed);
      listener.listen(port, host, () => {
        // From now on it is a single connection that could not be accepted.
        listener.off("error", failed).on("error", (error) => onConnectionRefused?.(error.message));
        const address = listener.address();
        if (address === null || typeof address === "string") throw new Error("listening on no TCP address");
        resolve({ host: address.address, port: address.port });
      });
    });
  }

  /** Serves a connection that somebody else accepted. */
  accept(socket: Socket): void {
    if (this.stopping) {
      socket.destroy();
      return;
    }
    this.others.add(socket);
    socket.once("close", () => this.others.delete(socket));
    detectProtocol(socket, this.limits.handshakeTimeoutMs, (detected) => {
      switch (detected.protocol) {
        case "http2":
          this.others.delete(socket);
          this.serve(socket, detected.rest);
          return;
        case "http1":
          this.handOver(socket, detected.bytes);
          return;
        case "unknown":
        case "closed":
          socket.on("error", () => {});
          socket.destroy();
          return;
        default:
          detected satisfies never;
      }
    });
  }

  private serve(socket: Socket, rest: Buffer): void {
    const connection = new ServerConnection(socket, this);
    this.open.add(connection);
    connection.receive(rest);
    if (this.stopping) connection.drain();
  }

  private handOver(socket: Socket, bytes: Buffer): void {
    const http1 = this.options.http1;
    if (http1 === undefined) {
      socket.on("error", () => {});
      socket.end("HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    socket.pause();
    http1.emit("connection", socket);
    socket.unshift(bytes);
    socket.resume();
  }

  connectionEnded(connection: ServerConnection, reason: string, error: ConnectionError | undefined): void {
    this.open.delete(connection);
    if (error !== undefined) this.options.onConnectionError?.(error, connection.peer, reason);
    this.checkDrained();
  }

  private get busy(): boolean {
    return this.open.size > 0 || this.http1Requests > 0;
  }

  private checkDrained(): void {
    if (!this.busy) this.drained?.();
  }

  handlerFailed(error: unknown, path: string): void {
    this.options.onHandlerError?.(error, path);
  }

  private tick(): void {
    const now = performance.now();
    for (const connection of this.open) connection.tick(now);
  }

  /**
   * Stops accepting, tells every client to go elsewhere, and lets running calls (and HTTP/1.1 requests)
   * finish for `graceMs`; then whatever is left is cut. Resolves when no connection is left.
   */
  async drain(graceMs: number): Promise<void> {
    this.stopping = true;
    this.listener?.close();
    for (const connection of this.open) connection.drain();
    if (this.busy) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.drained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.close();
  }

  /** Cuts every connection at once. */
  close(): void {
    this.stopping = true;
    this.listener?.close();
    clearInterval(this.ticker);
    for (const connection of [...this.open]) connection.destroy("server closed");
    for (const socket of [...this.others]) socket.destroy();
    this.deadlines.stop();
  }
}
