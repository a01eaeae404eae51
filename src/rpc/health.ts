// The standard health service (grpc.health.v1): Check answers the current status of a service, Watch
// sends it and every change. The empty name stands for the server as a whole.

import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../gen/grpc/health/v1/health_pb.js";
import { type RawMethod, RpcError, Status } from "./call.js";
import { serviceMethods } from "./typed.js";

export { ServingStatus };

export class HealthService {
  private readonly statuses = new Map<string, ServingStatus>([["", ServingStatus.SERVING]]);
  private readonly watchers = new Set<(service: string) => void>();

  /** Sets the status of a service ("" for the whole server) and tells its watchers if it changed. */
  set(service: string, status: ServingStatus): void {
    if (this.statuses.get(service) === status) return;
    this.statuses.set(service, status);
    for (const watcher of this.watchers) watcher(service);
  }

  /** The server is going away: everything known is NOT_SERVING from now on. */
  shutdown(): void {
    for (const service of [...this.statuses.keys()]) this.set(service, ServingStatus.NOT_SERVING);
  }

  methods(): RawMethod[] {
    return serviceMethods(Health, {
      check: ({ service }) => {
        const status = this.statuses.get(service);
        if (status === undefined) throw new RpcError(Status.NOT_FOUND, `unknown service ${service}`);
        return { status };
      },
      watch: ({ service }, { signal }) => this.watch(service, signal),
    });
  }

  private async *watch(service: string, signal: AbortSignal): AsyncGenerator<{ status: ServingStatus }> {
    let wake: (() => void) | undefined;
    const watcher = (changed: string): void => {
      if (changed === service) wake?.();
    };
    const stop = (): void => wake?.();
    this.watchers.add(watcher);
    signal.addEventListener("abort", stop);
    try {
      let last: ServingStatus | undefined;
      while (!signal.aborted) {
        const status = this.statuses.get(service) ?? ServingStatus.SERVICE_UNKNOWN;
        if (status !== last) {
          last = status;
          yield { status };
          continue;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      this.watchers.delete(watcher);
      signal.removeEventListener("abort", stop);
    }
  }
}
