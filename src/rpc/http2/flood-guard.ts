// Counts the frames that are cheap to send and dear to answer (resets, pings, settings, priorities,
// empty DATA, window updates) and says when one kind passes its number for the current second. The
// connection then ends with ENHANCE_YOUR_CALM. RFC 9113 section 10.5; CVE-2019-9512 to 9518, CVE-2023-44487.

import type { FloodLimits } from "../limits.js";
import { ConnectionError, ErrorCode } from "./frames.js";

export type FloodKind = "resets" | "pings" | "settings" | "priorities" | "emptyData" | "windowUpdates";

export class FloodGuard {
  private readonly counts: Record<FloodKind, number> = {
    resets: 0,
    pings: 0,
    settings: 0,
    priorities: 0,
    emptyData: 0,
    windowUpdates: 0,
  };
  private windowStart = 0;

  constructor(private readonly limits: FloodLimits) {}

  /** @throws ConnectionError ENHANCE_YOUR_CALM when the kind passes its limit for this second. */
  count(kind: FloodKind, nowMs: number): void {
    const counts = this.counts;
    if (nowMs - this.windowStart >= 1000) {
      this.windowStart = nowMs;
      for (const name of Object.keys(counts) as FloodKind[]) counts[name] = 0;
    }
    if (++counts[kind] > this.limits[kind]) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, `too many ${kind} in a second`);
    }
  }

  /** @throws ConnectionError ENHANCE_YOUR_CALM when a header block has too many pieces. */
  continuation(pieces: number): void {
    if (pieces > this.limits.continuations) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "header block in too many CONTINUATION frames");
    }
  }
}
