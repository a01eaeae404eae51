// etcdserverpb.Watch: any number of watches on one stream, served by any node from what it applied.

import { WatchResponseEncoder } from "../../mvcc/codec.js";
import type { RawMethod, StreamCall } from "../../rpc/call.js";
import type { ApiContext } from "../context.js";
import { admit, requiresLeader } from "./admission.js";
import { LeaderMonitor } from "./leader-monitor.js";
import { WatchStream } from "./watch/stream.js";

const defaultProgressIntervalMs = 600_000;
/** Streams are spread over a tenth of the interval, so that they do not all speak at once. */
const spreadSteps = 100;

export function watchMethods(context: ApiContext): readonly RawMethod[] {
  const encoder = new WatchResponseEncoder(context.clusterId, context.memberId);
  const monitor = new LeaderMonitor(context);
  let opened = 0;
  const handle = (call: StreamCall): void => {
    if (!admit(context, call, false)) return;
    const intervalMs = context.watchProgressIntervalMs ?? defaultProgressIntervalMs;
    const spread = (opened++ % spreadSteps) / spreadSteps / 10;
    const stream = new WatchStream({
      context,
      call,
      encoder,
      progressIntervalMs: intervalMs * (1 + spread),
      closed: () => monitor.remove(call),
    });
    if (requiresLeader(call)) monitor.add(call, () => stream.close());
  };
  return [{ kind: "stream", path: "/etcdserverpb.Watch/Watch", handle }];
}
