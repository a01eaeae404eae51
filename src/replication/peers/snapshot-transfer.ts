// Moves a snapshot from the leader to a follower on a connection of its own: the sender streams what
// the state machine hands out, the receiver stages it beside its present state and lets the group
// install it only when length and checksum are right.

import { crc32 } from "../../checksum/crc32.js";
import type { Index, Term } from "../../consensus/types.js";
import { WireReader, WireWriter } from "../../protobuf/wire.js";
import { type Channel, RpcError, Status, type StreamCall } from "../../rpc/call.js";
import type { SnapshotSink, StateMachine } from "../state-machine.js";
import type { Hello } from "./exchange-codec.js";
import { decodePiece, encodePiece, type SnapshotHeader } from "./snapshot-codec.js";

export const snapshotPath = "/quorate.consensus.v1.PeerService/Snapshot";

/** Streams a snapshot over `channel`, which it connects and the caller closes. Resolves with its index once installed. */
export async function sendSnapshot(options: {
  readonly channel: Channel;
  readonly group: number;
  readonly sender: Hello;
  readonly epoch: Term;
  readonly stateMachine: StateMachine;
}): Promise<Index> {
  const { channel, stateMachine } = options;
  await channel.connect();
  const { meta, chunks } = await stateMachine.snapshot();
  let drained: (() => void) | undefined;
  let ended = false;
  const outcome = new Promise<void>((resolve, reject) => {
    let answer: { installed: boolean; reason: string } | undefined;
    const stream = channel.stream(
      snapshotPath,
      {},
      {
        message: (message) => {
          answer = decodeAnswer(message);
        },
        end: (end) => {
          ended = true;
          drained?.();
          if (end.code !== Status.OK) reject(new RpcError(end.code, end.message));
          else if (answer?.installed === true) resolve();
          else reject(new Error(answer?.reason || "the follower did not install the snapshot"));
        },
      },
    );
    stream.onDrain(() => drained?.());
    const pump = async (): Promise<void> => {
      const header = { group: options.group, sender: options.sender, epoch: options.epoch, meta };
      stream.write(encodePiece({ kind: "header", header }));
      let checksum = 0;
      let bytes = 0;
      for await (const chunk of chunks) {
        if (ended) return;
        checksum = crc32(chunk, checksum);
        bytes += chunk.length;
        if (stream.write(encodePiece({ kind: "chunk", chunk }))) continue;
        await new Promise<void>((resume) => {
          drained = resume;
          if (ended) resume();
        });
      }
      if (ended) return;
      stream.write(encodePiece({ kind: "trailer", crc32: checksum, bytes }));
      stream.halfClose();
    };
    pump().catch((error: unknown) => {
      stream.cancel();
      reject(error instanceof Error ? error : new Error(String(error)));
    });
  });
  await outcome;
  return meta.id.index;
}

function decodeAnswer(message: Uint8Array): { installed: boolean; reason: string } {
  const reader = new WireReader(message);
  const answer = { installed: false, reason: "" };
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) answer.installed = reader.varint() !== 0;
    else if (tag === 18) answer.reason = reader.string();
    else reader.skip(tag);
  }
  return answer;
}

/** Serves one Snapshot call. */
export class SnapshotReceiver {
  private header: SnapshotHeader | undefined;
  private sink: SnapshotSink | undefined;
  private checksum = 0;
  private bytes = 0;
  private finished = false;
  /** Pieces are worked on one after the other. */
  private work: Promise<void> = Promise.resolve();
  private waiting = 0;

  /**
   * @param accept refuses (by throwing) a header that is not for us.
   * @param install hands the finished snapshot to its group.
   */
  constructor(
    private readonly call: StreamCall,
    private readonly accept: (header: SnapshotHeader) => StateMachine,
    private readonly install: (header: SnapshotHeader, sink: SnapshotSink) => Promise<boolean>,
  ) {
    call.onMessage((message) => this.enqueue(Uint8Array.prototype.slice.call(message)));
    call.onHalfClose(() => {
      this.work = this.work.then(() => {
        if (!this.finished) this.abort(Status.INVALID_ARGUMENT, "the snapshot ended without a trailer");
      });
    });
    call.onCancel(() => {
      this.work = this.work.then(() => this.abort(Status.CANCELLED, "the sender went away"));
    });
  }

  private enqueue(message: Uint8Array): void {
    this.waiting++;
    this.call.pause(true);
    this.work = this.work
      .then(() => this.take(message))
      .catch((error: unknown) => {
        const code = error instanceof RpcError ? error.code : Status.INTERNAL;
        return this.abort(code, error instanceof Error ? error.message : String(error));
      })
      .finally(() => {
        if (--this.waiting === 0) this.call.pause(false);
      });
  }

  private async take(message: Uint8Array): Promise<void> {
    if (this.finished) return;
    const piece = decodePiece(message);
    if (piece.kind === "header") {
      if (this.header !== undefined) throw new RpcError(Status.INVALID_ARGUMENT, "second snapshot header");
      const stateMachine = this.accept(piece.header);
      this.header = piece.header;
      this.sink = await stateMachine.receiveSnapshot(piece.header.meta);
      return;
    }
    if (this.header === undefined || this.sink === undefined) {
      throw new RpcError(Status.INVALID_ARGUMENT, "snapshot without a header");
    }
    if (piece.kind === "chunk") {
      this.checksum = crc32(piece.chunk, this.checksum);
      this.bytes += piece.chunk.length;
      return this.sink.write(piece.chunk);
    }
    if (piece.crc32 !== this.checksum || piece.bytes !== this.bytes) {
      throw new RpcError(
        Status.DATA_LOSS,
        `snapshot damaged on the way: ${this.bytes} bytes with CRC ${this.checksum}, announced ${piece.bytes} with ${piece.crc32}`,
      );
    }
    await this.sink.finish();
    const sink = this.sink;
    this.sink = undefined;
    this.finished = true;
    const installed = await this.install(this.header, sink);
    const answer = new WireWriter(64).bool(1, installed);
    if (!installed) answer.string(2, "the snapshot was not wanted");
    this.call.write(answer.finish());
    this.call.end(Status.OK);
  }

  private async abort(code: Status, message: string): Promise<void> {
    // Also when the failure came after everything had arrived: the sender must not wait for ever.
    this.call.end(code, message);
    if (this.finished) return;
    this.finished = true;
    const sink = this.sink;
    this.sink = undefined;
    await sink?.abort();
  }
}
