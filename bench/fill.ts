// Writes keys 0 to N - 1 in transactions of many puts. Ends only when every key is known to be
// written: a failed transaction is sent again, and a server that keeps refusing ends the fill.
import { type CallEnd, type Channel, RpcError, Status } from "../src/rpc/call.js";
import { FillMaker } from "./requests.js";
import type { Clock } from "./schedule.js";

export interface FillPlan {
  readonly channels: readonly Channel[];
  readonly count: number;
  /** Puts in a transaction. */
  readonly batch: number;
  /** Transactions in flight over all channels. */
  readonly inFlight: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Told how many keys have been written so far. */
  readonly progress?: (written: number) => void;
}

const attemptsLimit = 50;
const retryPauseMs = 100;
const callTimeoutMs = 30_000;

export interface FillResult {
  readonly keys: number;
  readonly elapsedMs: number;
  /** Transactions that had to be sent again. */
  readonly retries: number;
}

/** Rejects with RpcError after fifty failures of one transaction, or with the reason of the abort. */
export function fillKeys(plan: FillPlan, clock: Clock): Promise<FillResult> {
  const maker = new FillMaker(plan.keyBytes, plan.valueBytes, plan.seed);
  const startedAt = clock.now();
  let next = 0;
  let written = 0;
  let retries = 0;
  let gaveUp = false;
  return new Promise((resolve, reject) => {
    const giveUp = (reason: unknown): void => {
      gaveUp = true;
      reject(reason);
    };
    const sendNext = (channel: Channel): void => {
      if (next >= plan.count || gaveUp) return;
      const first = next;
      const count = Math.min(plan.batch, plan.count - first);
      next += count;
      send(channel, maker.make(first, count), count, 1);
    };
    const send = (channel: Channel, request: Uint8Array, count: number, attempt: number): void => {
      if (gaveUp) return;
      if (plan.signal?.aborted === true) {
        giveUp(plan.signal.reason);
        return;
      }
      channel.unary(maker.path, request, { timeoutMs: callTimeoutMs }, (end: CallEnd) => {
        if (end.code !== Status.OK) {
          if (attempt >= attemptsLimit) {
            giveUp(new RpcError(end.code, end.message));
            return;
          }
          retries++;
          clock.wake(clock.now() + retryPauseMs, () => send(channel, request, count, attempt + 1));
          return;
        }
        written += count;
        plan.progress?.(written);
        if (written < plan.count) sendNext(channel);
        else resolve({ keys: written, elapsedMs: clock.now() - startedAt, retries });
      });
    };
    for (let at = 0; at < plan.inFlight; at++) sendNext(plan.channels[at % plan.channels.length]!);
  });
}
