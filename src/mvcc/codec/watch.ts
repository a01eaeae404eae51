// The Watch messages of the etcd API: decoders of the requests as for the KV ones, and an encoder that
// puts responses together from a header, the id of the watch and events that are encoded already.

import { varintBytes, WireError, WireReader, WireWriter } from "../../protobuf/wire.js";
import { bytesFieldBytes, uintFieldBytes } from "./key-value.js";

/** etcd's WatchCreateRequest.FilterType. */
export const WatchFilter = { noPut: 0, noDelete: 1 } as const;

export interface WatchCreateRequest {
  readonly kind: "create";
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
  readonly startRevision: number;
  readonly progressNotify: boolean;
  /** As on the wire; those that are no WatchFilter mean nothing. */
  readonly filters: readonly number[];
  readonly prevKv: boolean;
  /** 0n: the server chooses. */
  readonly watchId: bigint;
  readonly fragment: boolean;
}

export type WatchRequest =
  | WatchCreateRequest
  | { readonly kind: "cancel"; readonly watchId: bigint }
  | { readonly kind: "progress" }
  | { readonly kind: "none" };

const empty: Uint8Array = new Uint8Array(0);
const emptyCreate: WatchCreateRequest = {
  kind: "create",
  key: empty,
  rangeEnd: empty,
  startRevision: 0,
  progressNotify: false,
  filters: [],
  prevKv: false,
  watchId: 0n,
  fragment: false,
};

/** Views share the memory of `bytes`. A request that comes twice is merged, of different ones the last wins. */
export function decodeWatchRequest(bytes: Uint8Array): WatchRequest {
  const reader = new WireReader(bytes);
  let request: WatchRequest = { kind: "none" };
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x0a) {
      request = readCreate(new WireReader(reader.bytes()), request.kind === "create" ? request : emptyCreate);
    } else if (tag === 0x12) {
      const before: bigint = request.kind === "cancel" ? request.watchId : 0n;
      request = { kind: "cancel", watchId: readCancel(new WireReader(reader.bytes()), before) };
    } else if (tag === 0x1a) {
      const inner = new WireReader(reader.bytes());
      while (!inner.done) skipUnknown(inner, inner.tag(), 0, "WatchProgressRequest");
      request = { kind: "progress" };
    } else skipUnknown(reader, tag, 3, "WatchRequest");
  }
  return request;
}

function readCreate(reader: WireReader, base: WatchCreateRequest): WatchCreateRequest {
  let { key, rangeEnd, startRevision, progressNotify, prevKv, watchId, fragment } = base;
  const filters = [...base.filters];
  while (!reader.done) {
    const tag = reader.tag();
    switch (tag) {
      case 0x0a:
        key = reader.bytes();
        break;
      case 0x12:
        rangeEnd = reader.bytes();
        break;
      case 0x18:
        startRevision = reader.int64Clamped();
        break;
      case 0x20:
        progressNotify = reader.bool();
        break;
      case 0x28:
        filters.push(reader.int32());
        break;
      case 0x2a: {
        const packed = new WireReader(reader.bytes());
        while (!packed.done) filters.push(packed.int32());
        break;
      }
      case 0x30:
        prevKv = reader.bool();
        break;
      case 0x38:
        watchId = reader.int64();
        break;
      case 0x40:
        fragment = reader.bool();
        break;
      default:
        skipUnknown(reader, tag, 8, "WatchCreateRequest");
    }
  }
  return { kind: "create", key, rangeEnd, startRevision, progressNotify, filters, prevKv, watchId, fragment };
}

function readCancel(reader: WireReader, base: bigint): bigint {
  let id = base;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x08) id = reader.int64();
    else skipUnknown(reader, tag, 1, "WatchCancelRequest");
  }
  return id;
}

function skipUnknown(reader: WireReader, tag: number, lastField: number, message: string): void {
  const field = tag >>> 3;
  if (field <= lastField) throw new WireError(`wrong wire type ${tag & 7} for ${message} field ${field}`);
  reader.skip(tag);
}

/** WatchResponse.watch_id, encoded: made once for a watch and copied into all its responses. */
export type WatchId = Uint8Array;

export function watchId(id: bigint): WatchId {
  return new WireWriter(16).int64(2, id).finish();
}

/** What a response may say besides events. */
export interface WatchNotice {
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compactRevision?: number;
  readonly cancelReason?: string;
}

const slabLimitBytes = 1024;
/** created, canceled and fragment are a byte of tag and one of value. */
const flagBytes = 2;

export class WatchResponseEncoder {
  private readonly writer = new WireWriter();
  /** cluster_id and member_id, encoded. */
  private readonly identity: Uint8Array;
  /** The last header, encoded: all watchers of a revision share it. */
  private head: Uint8Array = empty;
  private headRevision = -1;
  private headTerm = -1;

  /** @param clusterId and memberId unsigned 64-bit, part of every header. */
  constructor(clusterId: bigint, memberId: bigint) {
    this.identity = new WireWriter(64).int64(1, clusterId).int64(2, memberId).finish();
  }

  notice(revision: number, term: number, id: WatchId, notice: WatchNotice): Uint8Array {
    const writer = new WireWriter(256);
    writer.raw(this.header(revision, term)).raw(id);
    return writer
      .bool(3, notice.created === true)
      .bool(4, notice.canceled === true)
      .uint(5, notice.compactRevision ?? 0)
      .string(6, notice.cancelReason ?? "")
      .finish();
  }

  /** Size of the response without its events. */
  baseBytes(revision: number, term: number, id: WatchId, fragment: boolean): number {
    return this.header(revision, term).length + id.length + (fragment ? flagBytes : 0);
  }

  /**
   * @param events each the whole field `events`
   * @param fragment more of the same revision follows
   */
  events(
    revision: number,
    term: number,
    id: WatchId,
    events: readonly Uint8Array[],
    fragment: boolean,
  ): Uint8Array {
    const header = this.header(revision, term);
    let total = header.length + id.length + flagBytes;
    for (const event of events) total += event.length;
    const writer = total <= slabLimitBytes ? this.writer : new WireWriter(total);
    writer.reserve(total);
    writer.raw(header).raw(id).bool(7, fragment);
    for (const event of events) writer.raw(event);
    return writer.finish();
  }

  private header(revision: number, term: number): Uint8Array {
    if (revision !== this.headRevision || term !== this.headTerm) {
      const bytes = this.identity.length + uintFieldBytes(revision) + uintFieldBytes(term);
      const writer = new WireWriter(1 + varintBytes(bytes) + bytes + 16);
      this.head = writer.header(1, bytes).raw(this.identity).uint(3, revision).uint(4, term).finish();
      this.headRevision = revision;
      this.headTerm = term;
    }
    return this.head;
  }
}

/** For clients and tests. */
export function encodeWatchRequest(request: WatchRequest): Uint8Array {
  switch (request.kind) {
    case "create": {
      const inner = new WireWriter(64 + bytesFieldBytes(request.key.length + request.rangeEnd.length))
        .bytes(1, request.key)
        .bytes(2, request.rangeEnd)
        .int64(3, BigInt(request.startRevision))
        .bool(4, request.progressNotify);
      for (const filter of request.filters) {
        if (filter === 0) inner.varint(0x28).varint(0);
        else inner.int64(5, BigInt(filter));
      }
      inner.bool(6, request.prevKv).int64(7, request.watchId).bool(8, request.fragment);
      return new WireWriter().bytes(1, inner.finish(), true).finish();
    }
    case "cancel":
      return new WireWriter().bytes(2, new WireWriter(16).int64(1, request.watchId).finish(), true).finish();
    case "progress":
      return new WireWriter(16).bytes(3, empty, true).finish();
    case "none":
      return empty;
    default:
      return request satisfies never;
  }
}
