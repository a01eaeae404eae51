// Ends streams whose callers require a leader (metadata "hasleader: true") once there has been none
// for three election timeouts, as etcd does.

import type { ServerCall } from "../../rpc/call.js";
import type { ApiContext } from "../context.js";
import { errors, fail } from "../errors.js";

const timeoutsWithoutLeader = 3;
const defaultElectionTimeoutMs = 1000;

export class LeaderMonitor {
  /** What to do for each stream when it is to end. */
  private readonly streams = new Map<ServerCall, () => void>();
  private timer: NodeJS.Timeout | undefined = undefined;
  private missed = 0;

  constructor(private readonly context: ApiContext) {}

  /** @param ended runs right after the call was ended by this monitor. */
  add(call: ServerCall, ended: () => void): void {
    this.streams.set(call, ended);
    if (this.timer !== undefined) return;
    this.missed = 0;
    this.timer = setInterval(() => this.look(), this.context.electionTimeoutMs ?? defaultElectionTimeoutMs);
    this.timer.unref();
  }

  /** The call has ended. Does nothing for one that was never added. */
  remove(call: ServerCall): void {
    this.streams.delete(call);
    if (this.streams.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private look(): void {
    this.missed = this.context.role.leader === 0 ? this.missed + 1 : 0;
    if (this.missed < timeoutsWithoutLeader) return;
    this.missed = 0;
    for (const [call, ended] of [...this.streams]) {
      fail(call, errors.noLeader);
      this.remove(call);
      ended();
    }
  }
}
