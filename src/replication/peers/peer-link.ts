// The way to one other node: a channel, an Exchange stream on it, and the patience to open both again
// when they break. Urgent messages never wait behind bulk: bulk is handed to the stream only while
// little is buffered there. A link on which nothing comes back for an election timeout is broken,
// whatever TCP says.

import type { NodeId } from "../../consensus/types.js";
import { WireReader } from "../../protobuf/wire.js";
import { type CallEnd, type ClientStream, type MeasuredChannel, Status } from "../../rpc/call.js";
import { decodeHello, type Hello } from "./exchange-codec.js";

/** Ends the stream of a node that has been removed from the cluster. */
export const removedStatus = Status.PERMISSION_DENIED;

export const exchangePath = "/quorate.consensus.v1.PeerService/Exchange";

/** Milliseconds between attempts to connect: the first, and the most. */
const retryMs = { first: 50, most: 1000 };
/** Probes within the time of silence that breaks a link. */
const probesPerSilence = 4;
/** Bulk bytes waiting for a slow link, at most; beyond it they are dropped (the engine sends again). */
const bulkLimitBytes = 128 << 20;

export interface PeerLinkOptions {
  readonly peer: NodeId;
  /** The Hello of this node as of now, encoded as an ExchangeRequest. */
  readonly introduction: () => Uint8Array;
  /** Opens a channel to wherever the peer is now; undefined while that is not known. */
  readonly open: () => MeasuredChannel | undefined;
  /** Throws an Error when the peer that answered is not the one meant. */
  readonly check: (hello: Hello) => void;
  readonly up: () => void;
  readonly down: (reason: string) => void;
  /** The peer knows that this node was removed from the cluster. */
  readonly removed: () => void;
  readonly sent: (bytes: number) => void;
  /** Milliseconds without an answer to a PING after which the link counts as broken. */
  readonly silenceMs: number;
  readonly roundTrip: (milliseconds: number) => void;
}

export class PeerLink {
  private channel: MeasuredChannel | undefined;
  private stream: ClientStream | undefined;
  private greeted = false;
  private blocked = false;
  private bulk: Uint8Array[] = [];
  private bulkBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private prober: NodeJS.Timeout | undefined;
  /** Probes that came due while one waited for its answer; undefined while none waits. */
  private unanswered: number | undefined;
  private waitMs = retryMs.first;
  private closed = false;

  constructor(private readonly options: PeerLinkOptions) {
    this.connect();
  }

  /** True when messages can be sent. */
  get isUp(): boolean {
    return this.greeted;
  }

  /** Sends one encoded ExchangeRequest; false when it was certainly not sent. */
  send(message: Uint8Array, urgent: boolean): boolean {
    const stream = this.stream;
    if (!this.greeted || stream === undefined) return false;
    if (urgent || (!this.blocked && this.bulk.length === 0)) {
      this.options.sent(message.length);
      if (!stream.write(message)) this.blocked = true;
      return true;
    }
    if (this.bulkBytes + message.length > bulkLimitBytes) return false;
    this.bulk.push(message);
    this.bulkBytes += message.length;
    return true;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.stream?.cancel();
    this.channel?.close();
    this.reset();
  }

  private reset(): void {
    clearInterval(this.prober);
    this.stream = undefined;
    this.channel = undefined;
    this.greeted = false;
    this.blocked = false;
    this.bulk = [];
    this.bulkBytes = 0;
  }

  private connect(): void {
    if (this.closed) return;
    const channel = this.options.open();
    if (channel === undefined) return this.again("address not known");
    this.channel = channel;
    channel.connect().then(
      () => this.connected(channel),
      (error: unknown) => {
        channel.close();
        this.again(error instanceof Error ? error.message : String(error));
      },
    );
  }

  private connected(channel: MeasuredChannel): void {
    if (this.closed || this.channel !== channel) return channel.close();
    const stream = channel.stream(
      exchangePath,
      {},
      {
        message: (message) => this.welcome(message),
        end: (end) => this.ended(channel, end),
      },
    );
    this.stream = stream;
    stream.onDrain(() => this.drained());
    stream.write(this.options.introduction());
    this.unanswered = undefined;
    this.prober = setInterval(() => this.probe(channel), this.options.silenceMs / probesPerSilence);
  }

  private probe(channel: MeasuredChannel): void {
    const { silenceMs, roundTrip } = this.options;
    if (this.unanswered !== undefined) {
      // Counted, not timed: after a pause of this process the answer may wait to be read.
      if (++this.unanswered >= probesPerSilence) this.fail(`nothing came back for ${silenceMs} ms`);
      return;
    }
    const sent = channel.ping((milliseconds) => {
      if (this.channel !== channel) return;
      this.unanswered = undefined;
      roundTrip(milliseconds);
    });
    if (sent) this.unanswered = 0;
  }

  /** The peer answered with its own Hello. */
  private welcome(message: Uint8Array): void {
    try {
      const reader = new WireReader(message);
      while (!reader.done) {
        const tag = reader.tag();
        if (tag === 10) this.options.check(decodeHello(reader.bytes()));
        else reader.skip(tag);
      }
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error), retryMs.most);
      return;
    }
    this.greeted = true;
    this.waitMs = retryMs.first;
    this.options.up();
  }

  private drained(): void {
    this.blocked = false;
    const waiting = this.bulk;
    this.bulk = [];
    this.bulkBytes = 0;
    for (const message of waiting) this.send(message, false);
  }

  private ended(channel: MeasuredChannel, end: CallEnd): void {
    if (this.channel !== channel) return;
    if (end.code === removedStatus) this.options.removed();
    const refused = end.code === Status.FAILED_PRECONDITION || end.code === Status.INVALID_ARGUMENT;
    this.fail(end.message || `stream ended with status ${end.code}`, refused ? retryMs.most : undefined);
  }

  private fail(reason: string, waitMs?: number): void {
    const channel = this.channel;
    this.reset();
    channel?.close();
    if (waitMs !== undefined) this.waitMs = waitMs;
    this.again(reason);
  }

  private again(reason: string): void {
    this.channel = undefined;
    if (this.closed) return;
    this.options.down(reason);
    this.timer = setTimeout(() => this.connect(), this.waitMs);
    this.waitMs = Math.min(retryMs.most, this.waitMs * 2);
  }
}
