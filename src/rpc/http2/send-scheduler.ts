// Which streams send next when several wait for the connection's window or for the socket: in turn,
// one DATA frame each, so a large message does not keep small ones waiting.

import { Flag, FrameType, frameHeaderBytes, writeFrameHeader } from "./frames.js";
import type { Link } from "./link.js";
import type { Http2Stream } from "./stream.js";

export class SendScheduler {
  private waiting: Http2Stream[] = [];
  private pumping = false;

  constructor(private readonly link: Link) {}

  /** The stream has something to send and a window to send it in, or may have. */
  add(stream: Http2Stream): void {
    if (stream.queued || stream.closed || stream.waitingBytes === 0 || stream.sendWindow <= 0) return;
    stream.queued = true;
    this.waiting.push(stream);
  }

  /** Sends what windows and socket allow. */
  pump(): void {
    if (this.pumping || this.waiting.length === 0) return;
    this.pumping = true;
    const link = this.link;
    while (this.waiting.length > 0 && link.sendWindow > 0 && link.maySend()) {
      const round = this.waiting;
      this.waiting = [];
      for (let index = 0; index < round.length; index++) {
        if (link.sendWindow <= 0 || !link.maySend()) {
          this.waiting = round.slice(index).concat(this.waiting);
          break;
        }
        const stream = round[index]!;
        stream.queued = false;
        this.sendOne(stream);
        this.add(stream);
      }
    }
    this.pumping = false;
    link.changed();
  }

  private sendOne(stream: Http2Stream): void {
    const outbox = stream.outbox;
    const link = this.link;
    if (stream.closed || outbox === undefined || outbox.bytes === 0) return;
    const count = Math.min(outbox.bytes, stream.sendWindow, link.sendWindow, link.peerFrameBytes);
    if (count <= 0) return;
    const last = count === outbox.bytes && stream.endsWithData;
    const output = link.output;
    output.reserve(frameHeaderBytes + count);
    const at = writeFrameHeader(
      output.buffer,
      output.at,
      count,
      FrameType.DATA,
      last ? Flag.END_STREAM : 0,
      stream.id,
    );
    outbox.copy(output.buffer, at, count);
    output.at = at + count;
    stream.sendWindow -= count;
    link.sendWindow -= count;
    link.hold(-count);
    if (outbox.bytes === 0) stream.outboxEmptied(last);
    else stream.outboxShrank();
  }
}
