// Drives one operation against a set of connections, closed loop (a fixed number in flight) or open
// loop (a fixed rate), through warm-up, measurement and drain, and measures latency, throughput,
// failures and its own cost. Bounded in time by the plan, in memory by the number in flight.
import { type CallEnd, type CallOptions, type Channel, Status } from "../src/rpc/call.js";
import { type FailureCount, FailureTally } from "./errors.js";
import { LatencyHistogram } from "./histogram.js";
import { type Clock, OpenLoopSchedule } from "./schedule.js";

/** Makes requests in place; RequestMaker is the one the program uses. */
export interface RequestSource {
  readonly path: string;
  allocate(): Buffer;
  next(request: Buffer): void;
}

export interface LoadPlan {
  readonly channels: readonly Channel[];
  readonly requests: RequestSource;
  /** Requests in flight over all channels; in an open loop the most there may be. */
  readonly inFlight: number;
  /** Open loop with this many requests a second; closed loop when absent. */
  readonly ratePerSecond?: number;
  readonly warmUpMs: number;
  /** Length of the measurement, after warm-up. */
  readonly durationMs: number;
  /** Measured requests after which to stop, if that is before the end of the duration. */
  readonly count?: number;
  /** How long to wait for answers after the last request. */
  readonly drainMs: number;
  readonly signal?: AbortSignal;
  /** Called when the measurement begins and ends, for what else is to be measured in the meantime. */
  readonly window?: { begin(): void; end(): void };
}

export interface LoadResult {
  /** Length of the measurement: as planned, or to the last answer when a count ended it. */
  readonly elapsedMs: number;
  /** Successful answers that arrived during the measurement. */
  readonly completed: number;
  readonly perSecond: number;
  /** Latencies of the successful requests whose time to be sent fell into the measurement. */
  readonly latency: LatencyHistogram;
  readonly failures: readonly FailureCount[];
  readonly failed: number;
  /** Requests without an answer when the drain ended. */
  readonly unanswered: number;
  /** How much later than intended requests left (open loop): the generator's own lateness. */
  readonly sendLag: LatencyHistogram | undefined;
  /** CPU time of this process per completed request, user and system. */
  readonly clientMicrosPerRequest: number;
}

/** A failed request is followed by a pause, so that a server that is down does not make us spin. */
const failurePauseMs = 10;
const callOptions: CallOptions = {};

interface Slot {
  readonly channel: Channel;
  readonly request: Buffer;
  /** When the request was sent, or in an open loop should have been. */
  startedAt: number;
  readonly answered: (end: CallEnd) => void;
}

/** Runs the plan to its end. Never rejects for failed calls; they are counted. */
export function runLoad(plan: LoadPlan, clock: Clock, cpuMicros: () => number): Promise<LoadResult> {
  return new Promise((resolve) => new Load(plan, clock, cpuMicros, resolve).start());
}

class Load {
  private readonly latency = new LatencyHistogram();
  private readonly sendLag = new LatencyHistogram();
  private readonly failures = new FailureTally();
  private readonly schedule: OpenLoopSchedule | undefined;
  private readonly idle: Slot[] = [];
  private readonly measureFromMs: number;
  private readonly measureUntilMs: number;

  private outstanding = 0;
  private sentToMeasure = 0;
  private completed = 0;
  private lastAnswerMs: number;
  private cpuAtStart = 0;
  private cpuSpent: number | undefined;
  private sending = true;
  private finished = false;
  private pumpAtMs = Number.POSITIVE_INFINITY;
  private cancelPump: () => void = () => {};
  private readonly cancels: (() => void)[] = [];

  constructor(
    private readonly plan: LoadPlan,
    private readonly clock: Clock,
    private readonly cpuMicros: () => number,
    private readonly resolve: (result: LoadResult) => void,
  ) {
    const now = clock.now();
    this.measureFromMs = now + plan.warmUpMs;
    this.measureUntilMs = this.measureFromMs + plan.durationMs;
    this.lastAnswerMs = this.measureFromMs;
    this.schedule =
      plan.ratePerSecond === undefined ? undefined : new OpenLoopSchedule(plan.ratePerSecond, now);
    if (plan.channels.length === 0 || plan.inFlight < 1) throw new RangeError("nothing to send with");
  }

  start(): void {
    const { channels, inFlight, requests } = this.plan;
    for (let at = 0; at < inFlight; at++)
      this.idle.push(this.slot(channels[at % channels.length]!, requests.allocate()));
    // The first slots taken should be on different channels.
    this.idle.reverse();
    this.beginWindow();
    this.cancels.push(
      this.clock.wake(this.measureFromMs, () => this.beginWindow()),
      this.clock.wake(this.measureUntilMs, () => this.stopSending()),
    );
    this.plan.signal?.addEventListener("abort", () => this.stopSending(), { once: true });
    if (this.plan.signal?.aborted === true) this.stopSending();
    this.pump();
  }

  /** At the start, in case the run is aborted during warm-up, and again when that is over. */
  private beginWindow(): void {
    this.cpuAtStart = this.cpuMicros();
    this.plan.window?.begin();
  }

  private endWindow(): void {
    if (this.cpuSpent !== undefined) return;
    this.cpuSpent = this.cpuMicros() - this.cpuAtStart;
    this.plan.window?.end();
  }

  private slot(channel: Channel, request: Buffer): Slot {
    const slot: Slot = {
      channel,
      request,
      startedAt: 0,
      answered: (end) => this.answered(slot, end),
    };
    return slot;
  }

  /** Sends with every idle slot for which a request is due. */
  private pump(): void {
    while (this.sending && this.idle.length > 0) {
      const now = this.clock.now();
      const startAt = this.schedule === undefined ? now : this.schedule.take(now);
      if (startAt === undefined) {
        this.pumpAt(this.schedule!.nextMs);
        return;
      }
      this.send(this.idle.pop()!, startAt, now);
    }
  }

  private pumpAt(atMs: number): void {
    if (this.pumpAtMs <= atMs) return;
    this.cancelPump();
    this.pumpAtMs = atMs;
    this.cancelPump = this.clock.wake(atMs, () => {
      this.pumpAtMs = Number.POSITIVE_INFINITY;
      this.pump();
    });
  }

  private send(slot: Slot, startAt: number, now: number): void {
    const { requests, count } = this.plan;
    slot.startedAt = startAt;
    this.outstanding++;
    requests.next(slot.request);
    slot.channel.unary(requests.path, slot.request, callOptions, slot.answered);
    if (startAt < this.measureFromMs) return;
    if (this.schedule !== undefined) this.sendLag.record(now - startAt);
    this.sentToMeasure++;
    if (this.sentToMeasure === count) this.stopSending();
  }

  private answered(slot: Slot, end: CallEnd): void {
    if (this.finished) return;
    this.outstanding--;
    const now = this.clock.now();
    const measured = slot.startedAt >= this.measureFromMs;
    if (end.code === Status.OK) {
      if (measured) this.latency.record(now - slot.startedAt);
      if (this.counts(measured, now)) {
        this.completed++;
        this.lastAnswerMs = now;
      }
      this.release(slot);
    } else {
      if (measured) this.failures.add(end.code, end.message);
      this.clock.wake(now + failurePauseMs, () => this.release(slot));
    }
    if (!this.sending && this.outstanding === 0) this.finish();
  }

  /** Throughput is of the answers within the measurement; with a count, of the counted requests. */
  private counts(measured: boolean, now: number): boolean {
    if (this.plan.count !== undefined) return measured;
    return now >= this.measureFromMs && now <= this.measureUntilMs;
  }

  private release(slot: Slot): void {
    if (!this.sending) return;
    this.idle.push(slot);
    this.pump();
  }

  private stopSending(): void {
    if (!this.sending) return;
    this.sending = false;
    this.cancelPump();
    if (this.plan.count === undefined) this.endWindow();
    this.cancels.push(this.clock.wake(this.clock.now() + this.plan.drainMs, () => this.finish()));
    if (this.outstanding === 0) this.finish();
  }

  private finish(): void {
    if (this.finished) return;
    this.finished = true;
    for (const cancel of this.cancels) cancel();
    const whole = this.plan.count === undefined && this.clock.now() >= this.measureUntilMs;
    const elapsedMs = whole ? this.plan.durationMs : this.lastAnswerMs - this.measureFromMs;
    this.endWindow();
    this.resolve({
      elapsedMs,
      completed: this.completed,
      perSecond: elapsedMs === 0 ? 0 : (this.completed * 1000) / elapsedMs,
      latency: this.latency,
      failures: this.failures.list(),
      failed: this.failures.total,
      unanswered: this.outstanding,
      sendLag: this.schedule === undefined ? undefined : this.sendLag,
      clientMicrosPerRequest: this.completed === 0 ? 0 : this.cpuSpent! / this.completed,
    });
  }
}
