// Message compression with gzip, the one algorithm spoken besides identity. What is small is done at
// once on the event loop; the rest goes to libuv's threads, a few at a time, since those threads also
// sync the log, and in turn among connections, so that one cannot keep the others waiting.

import { gunzip, gunzipSync, gzip, gzipSync, type ZlibOptions } from "node:zlib";
import { RpcError, Status } from "../call.js";

export const gzipName = "gzip";
/** grpc-accept-encoding of both our ends. */
export const acceptedEncodings = gzipName;

/** Messages up to this size, in and out, are handled on the event loop: 0.1 ms at most. */
const inlineBytes = 16 * 1024;
/** Tasks on libuv's threads at any moment; it has four of them by default. */
const concurrentTasks = 2;
/** Nearly the size that slower levels give, at half their time or less. */
const level = 1;
/** Largest piece that output is gathered in. */
const longestChunk = 1024 * 1024;

export type GzipOutcome = Uint8Array | RpcError;

interface Task {
  readonly run: (done: (outcome: GzipOutcome) => void) => void;
  readonly done: (outcome: GzipOutcome) => void;
  cancelled: boolean;
}

/** Work handed to the threads. A cancelled task that did not start yet never does; done() is not called. */
export interface GzipTask {
  cancel(): void;
}

export class GzipQueue {
  /** Tasks by the connection they belong to; the next to be served stands first. */
  private readonly waiting = new Map<object, Task[]>();
  private running = 0;

  /** Unpacks a message; `done` gets an RpcError when it is damaged or longer than `limitBytes`. */
  inflate(
    owner: object,
    message: Uint8Array,
    limitBytes: number,
    done: (outcome: GzipOutcome) => void,
  ): GzipTask {
    const options = inflateOptions(message, limitBytes);
    return this.add(owner, done, (finish) =>
      gunzip(message, options, (error, result) =>
        finish(error === null ? result : inflateError(error, limitBytes)),
      ),
    );
  }

  deflate(owner: object, message: Uint8Array, done: (outcome: GzipOutcome) => void): GzipTask {
    return this.add(owner, done, (finish) =>
      gzip(message, { level, chunkSize: chunkBytes(message.length) }, (error, result) =>
        finish(error === null ? result : new RpcError(Status.INTERNAL, `grpc: ${error.message}`)),
      ),
    );
  }

  private add(owner: object, done: Task["done"], run: Task["run"]): GzipTask {
    const task: Task = { run, done, cancelled: false };
    const tasks = this.waiting.get(owner);
    if (tasks === undefined) this.waiting.set(owner, [task]);
    else tasks.push(task);
    this.start();
    return {
      cancel: () => {
        task.cancelled = true;
      },
    };
  }

  private start(): void {
    while (this.running < concurrentTasks) {
      const task = this.next();
      if (task === undefined) return;
      if (task.cancelled) continue;
      this.running++;
      task.run((outcome) => {
        this.running--;
        this.start();
        if (!task.cancelled) task.done(outcome);
      });
    }
  }

  /** The oldest task of the connection that waited longest for its turn. */
  private next(): Task | undefined {
    for (const [owner, tasks] of this.waiting) {
      this.waiting.delete(owner);
      const task = tasks.shift();
      if (tasks.length > 0) this.waiting.set(owner, tasks);
      return task;
    }
    return undefined;
  }
}

/**
 * Unpacks a small message at once; undefined when it has to go through the queue.
 * @throws RpcError INTERNAL when it is damaged, RESOURCE_EXHAUSTED when it is too long.
 */
export function inflateNow(message: Uint8Array, limitBytes: number): Uint8Array | undefined {
  if (message.length > inlineBytes || announcedBytes(message) > inlineBytes) return undefined;
  // The announced length may be a lie: no more than the bound is ever unpacked here.
  const most = Math.min(limitBytes, inlineBytes);
  try {
    return gunzipSync(message, inflateOptions(message, most));
  } catch (error) {
    if (most < limitBytes && isTooLarge(error)) return undefined;
    throw inflateError(error, limitBytes);
  }
}

/** Packs a small message at once; undefined when it has to go through the queue. */
export function deflateNow(message: Uint8Array): Uint8Array | undefined {
  return message.length > inlineBytes
    ? undefined
    : gzipSync(message, { level, chunkSize: chunkBytes(message.length) });
}

function inflateOptions(message: Uint8Array, limitBytes: number): ZlibOptions {
  return {
    maxOutputLength: limitBytes,
    chunkSize: chunkBytes(Math.min(announcedBytes(message), limitBytes)),
  };
}

function chunkBytes(bytes: number): number {
  return Math.min(longestChunk, Math.max(1024, bytes + 64));
}

/** The length modulo 2^32 that a gzip member ends with (RFC 1952 section 2.3.1). */
function announcedBytes(message: Uint8Array): number {
  const end = message.length;
  if (end < 18) return 0;
  return (
    message[end - 1]! * 0x1000000 + ((message[end - 2]! << 16) | (message[end - 3]! << 8) | message[end - 4]!)
  );
}

function isTooLarge(error: unknown): boolean {
  return error instanceof RangeError && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE";
}

function inflateError(error: unknown, limitBytes: number): RpcError {
  if (isTooLarge(error)) {
    const text = `grpc: received message after decompression larger than max ${limitBytes}`;
    return new RpcError(Status.RESOURCE_EXHAUSTED, text);
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new RpcError(Status.INTERNAL, `grpc: failed to decompress the received message: ${detail}`);
}
