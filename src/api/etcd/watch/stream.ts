// One Watch stream: creates, cancels and reports on its watches as etcd does, and writes what the hub
// hands it. Every accepted watch is answered with `created` before any event of it. While the reader
// takes nothing, nothing is asked of the hub and no request is read, so the memory a stream can take
// is bounded by what was under way when the reader stopped.

import {
  decodeWatchRequest,
  type WatchCreateRequest,
  WatchFilter,
  type WatchId,
  type WatchResponseEncoder,
  watchId,
} from "../../../mvcc/codec.js";
import { rangeEnd } from "../../../mvcc/range.js";
import type { WatchEvent } from "../../../mvcc/watch/event.js";
import { Watcher, type WatchOutput } from "../../../mvcc/watch/watcher.js";
import { WireError } from "../../../protobuf/wire.js";
import type { StreamCall } from "../../../rpc/call.js";
import type { ApiContext } from "../../context.js";
import { errors, fail } from "../../errors.js";
import { fragments } from "./fragments.js";

/** Why a watch was not created, word for word as etcd says it. */
const Refusal = {
  emptyRange: "mvcc: watcher range is empty",
  duplicateId: "mvcc: duplicate watch ID provided on the WatchStream",
  compacted: errors.compacted.text,
  tooMany: errors.tooManyRequests.text,
} as const;

/** Of a watch that was not created, and of an answer that concerns all watches of a stream. */
const noWatch = watchId(-1n);
const firstKey = new Uint8Array(1);
/** Bytes of memory that the watches of one stream may take, about. */
const watchesBytesLimit = 256 << 20;
const watchOverheadBytes = 1024;
/** etcd adds this to the largest request before it fragments responses. */
const overheadBytes = 512 << 10;

export interface WatchStreamOptions {
  readonly context: ApiContext;
  readonly call: StreamCall;
  readonly encoder: WatchResponseEncoder;
  readonly progressIntervalMs: number;
  /** Runs once when the stream has ended. */
  readonly closed: () => void;
}

class Watch extends Watcher {
  readonly idBytes: WatchId;
  readonly progressNotify: boolean;
  readonly fragment: boolean;
  /** Nothing was sent since the last time progress was due. */
  quiet = true;

  constructor(
    output: WatchOutput,
    readonly id: bigint,
    request: WatchCreateRequest,
    key: Uint8Array,
    end: Uint8Array | undefined | null,
  ) {
    super(output, {
      key,
      end,
      puts: !request.filters.includes(WatchFilter.noPut),
      deletes: !request.filters.includes(WatchFilter.noDelete),
      withPrevious: request.prevKv,
    });
    this.idBytes = watchId(id);
    this.progressNotify = request.progressNotify;
    this.fragment = request.fragment;
  }

  get memoryBytes(): number {
    return watchOverheadBytes + this.key.length + (this.end?.length ?? 0);
  }
}

export class WatchStream implements WatchOutput {
  ready = true;
  /** Watches that compaction ended stay here, as with etcd, until the client cancels them. */
  private readonly watches = new Map<bigint, Watch>();
  private memoryBytes = 0;
  private nextId = 0n;
  private progressTimer: NodeJS.Timeout | undefined = undefined;
  private isClosed = false;
  private readonly fragmentBytes: number;

  constructor(private readonly options: WatchStreamOptions) {
    const { call, context } = options;
    this.fragmentBytes = context.limits.maxRequestBytes + overheadBytes;
    call.onMessage((message) => this.take(message));
    call.onDrain(() => this.drained());
    call.onCancel(() => this.close());
    // A client that half-closes goes on listening.
    call.onHalfClose(() => {});
  }

  /** Ends all watches; the call has ended or is about to. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.ready = false;
    clearInterval(this.progressTimer);
    for (const watch of this.watches.values()) this.hub.remove(watch);
    this.watches.clear();
    this.options.closed();
  }

  private get hub(): ApiContext["watches"] {
    return this.options.context.watches;
  }

  private get revision(): number {
    return this.options.context.reader.currentRevision;
  }

  private get term(): number {
    return this.options.context.role.epoch;
  }

  // Requests.

  private take(message: Uint8Array): void {
    if (this.isClosed) return;
    const { call } = this.options;
    let request: ReturnType<typeof decodeWatchRequest>;
    try {
      request = decodeWatchRequest(message);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const { status, trailers } = errors.malformedRequest;
      // What grpc-go says on streams, other than for unary calls.
      call.end(status, `grpc: failed to unmarshal the received message: ${error.message}`, trailers);
      this.close();
      return;
    }
    switch (request.kind) {
      case "create":
        this.create(request);
        break;
      case "cancel":
        this.cancel(request.watchId);
        break;
      case "progress":
        this.progress();
        break;
      case "none":
        break;
      default:
        request satisfies never;
    }
  }

  private create(request: WatchCreateRequest): void {
    const key = request.key.length === 0 ? firstKey : Uint8Array.prototype.slice.call(request.key);
    const end = rangeEnd(Uint8Array.prototype.slice.call(request.rangeEnd));
    const refusal = this.refusal(request, key, end);
    if (refusal !== undefined) {
      this.notice(noWatch, { created: true, canceled: true, cancelReason: refusal });
      return;
    }
    const watch = new Watch(this, this.chooseId(request.watchId), request, key, end);
    this.watches.set(watch.id, watch);
    this.memoryBytes += watch.memoryBytes;
    this.notice(watch.idBytes, { created: true });
    this.hub.add(watch, request.startRevision);
    if (watch.progressNotify) this.startProgress();
  }

  private refusal(
    request: WatchCreateRequest,
    key: Uint8Array,
    end: Uint8Array | undefined | null,
  ): string | undefined {
    if (request.startRevision < 0) return Refusal.compacted;
    if (end !== undefined && end !== null && Buffer.compare(key, end) >= 0) return Refusal.emptyRange;
    if (request.watchId !== 0n && this.watches.has(request.watchId)) return Refusal.duplicateId;
    const bytes = watchOverheadBytes + key.length + request.rangeEnd.length;
    return this.memoryBytes + bytes > watchesBytesLimit ? Refusal.tooMany : undefined;
  }

  private chooseId(wanted: bigint): bigint {
    if (wanted !== 0n) return wanted;
    while (this.watches.has(this.nextId)) this.nextId++;
    return this.nextId++;
  }

  private cancel(id: bigint): void {
    const watch = this.watches.get(id);
    if (watch === undefined) return;
    this.watches.delete(id);
    this.memoryBytes -= watch.memoryBytes;
    this.hub.remove(watch);
    this.notice(watch.idBytes, { canceled: true });
  }

  /** Answered when all watches have got everything up to now; otherwise the client asks again. */
  private progress(): void {
    let live = 0;
    for (const watch of this.watches.values()) {
      if (watch.place === "ended") continue;
      if (!this.hub.isCurrent(watch)) return;
      live++;
    }
    if (live > 0) this.notice(noWatch, {});
  }

  private startProgress(): void {
    if (this.progressTimer !== undefined || this.isClosed) return;
    this.progressTimer = setInterval(() => this.notifyProgress(), this.options.progressIntervalMs);
    this.progressTimer.unref();
  }

  private notifyProgress(): void {
    for (const watch of this.watches.values()) {
      if (!watch.progressNotify) continue;
      if (watch.quiet && this.ready && this.hub.isCurrent(watch)) this.notice(watch.idBytes, {});
      watch.quiet = true;
    }
  }

  // What the hub tells.

  events(watcher: Watcher, revision: number, events: readonly WatchEvent[]): void {
    const watch = watcher as Watch;
    const { encoder } = this.options;
    const { term } = this;
    watch.quiet = false;
    const encoded = events.map((event) => (watch.withPrevious ? event.withPrevious : event.bytes));
    if (!watch.fragment) {
      this.write(encoder.events(revision, term, watch.idBytes, encoded, false));
      return;
    }
    const base = encoder.baseBytes(revision, term, watch.idBytes, false);
    for (const { events: piece, last } of fragments(encoded, base, this.fragmentBytes))
      this.write(encoder.events(revision, term, watch.idBytes, piece, !last));
  }

  compacted(watcher: Watcher, compactedRevision: number): void {
    const notice = { canceled: true, compactRevision: compactedRevision };
    const { idBytes } = watcher as Watch;
    // etcd leaves the revision out of this header.
    this.write(this.options.encoder.notice(0, this.term, idBytes, notice));
  }

  stopped(): void {
    if (this.isClosed) return;
    fail(this.options.call, errors.stopped);
    this.close();
  }

  // Writing.

  private notice(id: WatchId, notice: Parameters<WatchResponseEncoder["notice"]>[3]): void {
    this.write(this.options.encoder.notice(this.revision, this.term, id, notice));
  }

  private write(response: Uint8Array): void {
    const { call } = this.options;
    if (call.write(response) || this.isClosed || !this.ready) return;
    this.ready = false;
    call.pause(true);
  }

  private drained(): void {
    if (this.isClosed) return;
    this.ready = true;
    this.options.call.pause(false);
    this.hub.resume(this);
  }
}
