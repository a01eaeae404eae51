// LeaseKeepAlive: each message on the stream renews one lease and gets one answer; a lease that does not
// exist is answered with a time of 0 and leaves the stream open. On the leader nearly every answer is
// given at once, so the request's ID is copied to the answer as it came and nothing is decoded twice.

import { ResponseEncoder } from "../../mvcc/codec.js";
import { WireError, WireReader } from "../../protobuf/wire.js";
import type { GroupFailure } from "../../replication/proposer.js";
import { type RawMethod, Status, type StreamCall } from "../../rpc/call.js";
import type { ApiContext } from "../context.js";
import { errorOfFailure, errors, fail, failDecoding } from "../errors.js";
import { admit, requiresLeader } from "./admission.js";
import { LeaderMonitor } from "./leader-monitor.js";

/** Renewals of one stream that wait for an answer; beyond it the client waits to be read. */
const maxPending = 10_000;

export function keepAliveMethod(context: ApiContext): RawMethod {
  const headers = new Headers(context);
  const monitor = new LeaderMonitor(context);
  return {
    kind: "stream",
    path: "/etcdserverpb.Lease/LeaseKeepAlive",
    handle: (call) => {
      if (!admit(context, call, false)) return;
      new KeepAliveStream(context, headers, call, () => monitor.remove(call));
      if (requiresLeader(call)) monitor.add(call, () => {});
    },
  };
}

/** The header of an answer, encoded; the same bytes as long as neither revision nor term move. */
class Headers {
  private readonly encoder: ResponseEncoder;
  private revision = -1;
  private term = -1;
  private bytes: Uint8Array = new Uint8Array(0);

  constructor(private readonly context: ApiContext) {
    this.encoder = new ResponseEncoder(context.clusterId, context.memberId);
  }

  get now(): Uint8Array {
    const { currentRevision } = this.context.reader;
    const { epoch } = this.context.role;
    if (currentRevision !== this.revision || epoch !== this.term) {
      this.revision = currentRevision;
      this.term = epoch;
      this.bytes = this.encoder.headerOnly(currentRevision, epoch);
    }
    return this.bytes;
  }
}

class KeepAliveStream {
  private pending = 0;
  private paused = false;
  private blocked = false;
  private halfClosed = false;
  private readonly id = new RequestId();

  constructor(
    private readonly context: ApiContext,
    private readonly headers: Headers,
    private readonly call: StreamCall,
    private readonly closed: () => void,
  ) {
    call.onMessage((message) => this.renew(message));
    call.onCancel(closed);
    call.onDrain(() => {
      this.blocked = false;
      this.adjust();
    });
    call.onHalfClose(() => {
      this.halfClosed = true;
      this.endWhenDone();
    });
  }

  private renew(message: Uint8Array): void {
    const { id, context } = this;
    try {
      id.read(message);
    } catch (error) {
      failDecoding(this.call, error);
      this.closed();
      return;
    }
    // etcd fills the header before it renews (semantics, H9).
    const header = this.headers.now;
    const ttl = context.leases.renewNow(id.high, id.low);
    if (ttl >= 0) return this.answer(header, id.bytes, ttl);
    const copy = Uint8Array.prototype.slice.call(id.bytes);
    this.pending++;
    this.adjust();
    context.leases.keepAlive(id.high, id.low, (outcome) => {
      this.pending--;
      if (typeof outcome === "number") this.answer(header, copy, outcome);
      else this.fail(outcome);
      this.adjust();
      this.endWhenDone();
    });
  }

  private answer(header: Uint8Array, id: Uint8Array, ttl: number): void {
    const message = Buffer.allocUnsafe(header.length + id.length + 12);
    message.set(header);
    let at = header.length;
    if (id.length > 0) {
      message[at++] = 0x10;
      message.set(id, at);
      at += id.length;
    }
    if (ttl > 0) {
      message[at++] = 0x18;
      let rest = ttl;
      for (; rest >= 128; rest = Math.floor(rest / 128)) message[at++] = (rest % 128) | 128;
      message[at++] = rest;
    }
    if (this.call.write(message.subarray(0, at))) return;
    this.blocked = true;
    this.adjust();
  }

  private fail(failure: GroupFailure): void {
    // Asking for a renewal again does no harm, whatever became of it.
    fail(this.call, failure.reason === "noLeader" ? errors.noLeader : errorOfFailure(failure));
    this.closed();
  }

  private adjust(): void {
    const paused = this.blocked || this.pending >= maxPending;
    if (paused === this.paused || this.call.ended) return;
    this.paused = paused;
    this.call.pause(paused);
  }

  private endWhenDone(): void {
    if (!this.halfClosed || this.pending > 0) return;
    this.call.end(Status.OK);
    this.closed();
  }
}

/** The ID of a LeaseKeepAliveRequest: its halves, and the bytes of its varint (none for 0). */
class RequestId {
  high = 0;
  low = 0;
  bytes: Uint8Array = new Uint8Array(0);

  /** Throws WireError. `bytes` is a view into the message. */
  read(message: Uint8Array): void {
    this.high = 0;
    this.low = 0;
    this.bytes = message.subarray(0, 0);
    const reader = new WireReader(message);
    while (!reader.done) {
      const tag = reader.tag();
      const start = reader.position;
      reader.skip(tag);
      if (tag === 8) this.take(message, start, reader.position);
    }
  }

  private take(message: Uint8Array, start: number, end: number): void {
    let low = 0;
    let high = 0;
    for (let at = start; at < end; at++) {
      const bits = message[at]! & 127;
      const shift = 7 * (at - start);
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else if (shift < 64) high |= bits << (shift - 32);
      else throw new WireError("varint longer than ten bytes");
    }
    this.high = high | 0;
    this.low = low | 0;
    // A zero is left out of the answer, as proto3 does.
    this.bytes = this.high === 0 && this.low === 0 ? message.subarray(0, 0) : message.subarray(start, end);
  }
}
