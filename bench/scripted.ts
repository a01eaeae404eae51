// For tests: time that passes only when told to, and a server that answers by a script.
import {
  type CallEnd,
  type CallOptions,
  type Channel,
  emptyMetadata,
  RpcError,
  Status,
} from "../src/rpc/call.js";
import type { Clock } from "./schedule.js";

/** Time that passes only when the test says so; wakes run in order of their time. */
export class ManualClock implements Clock {
  private time = 0;
  private wakes: { atMs: number; run: () => void }[] = [];

  now(): number {
    return this.time;
  }

  wake(atMs: number, run: () => void): () => void {
    const entry = { atMs, run };
    this.wakes.push(entry);
    return () => {
      this.wakes = this.wakes.filter((other) => other !== entry);
    };
  }

  /** Runs until nothing waits any more. */
  async run(): Promise<void> {
    for (;;) {
      const next = this.wakes.reduce<(typeof this.wakes)[number] | undefined>(
        (first, entry) => (first === undefined || entry.atMs < first.atMs ? entry : first),
        undefined,
      );
      if (next === undefined) return;
      this.wakes = this.wakes.filter((entry) => entry !== next);
      this.time = Math.max(this.time, next.atMs);
      next.run();
      // Promises resolved by that run see the time at which they were.
      await Promise.resolve();
      await Promise.resolve();
    }
  }
}

export interface ScriptedCall {
  readonly now: number;
  readonly path: string;
  /** A copy of the request. */
  readonly message: Uint8Array;
}

export interface ScriptedAnswer {
  readonly delayMs: number;
  readonly code?: Status;
  readonly body?: Uint8Array;
}

/** A connection to a server that answers every call as the script says. */
export class ScriptedChannel implements Channel {
  ready = false;
  closed = false;
  connects = 0;
  readonly sentAt: number[] = [];
  mostOutstanding = 0;
  private outstanding = 0;
  private readonly closeListeners: ((reason: string) => void)[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly script: (call: ScriptedCall) => ScriptedAnswer,
    /** Whether attempt number N to connect, from 1, succeeds. */
    private readonly accepts: (attempt: number) => boolean = () => true,
  ) {}

  unary(
    path: string,
    message: Uint8Array,
    _options: CallOptions,
    done: (end: CallEnd, message: Uint8Array | undefined) => void,
  ): void {
    const now = this.clock.now();
    const { delayMs, code = Status.OK, body } = this.script({ now, path, message: Uint8Array.from(message) });
    this.sentAt.push(now);
    this.mostOutstanding = Math.max(this.mostOutstanding, ++this.outstanding);
    this.clock.wake(now + delayMs, () => {
      this.outstanding--;
      done({ code, message: code === Status.OK ? "" : `at ${code}`, trailers: emptyMetadata }, body);
    });
  }

  stream(): never {
    throw new Error("the load generator calls unary methods only");
  }

  connect(): Promise<void> {
    this.connects++;
    this.ready = this.accepts(this.connects);
    return this.ready ? Promise.resolve() : Promise.reject(new RpcError(Status.UNAVAILABLE, "refused"));
  }

  onClose(listener: (reason: string) => void): void {
    this.closeListeners.push(listener);
  }

  /** The server closes the connection. */
  drop(): void {
    this.ready = false;
    for (const listener of this.closeListeners) listener("dropped");
  }

  close(): void {
    this.closed = true;
  }
}
