// Counts what happened in a run, so that a batch of runs can prove that it went where bugs live.

export const coverageNames = [
  "elections",
  "leadersDeposed",
  "crashes",
  "powerLosses",
  "restarts",
  "pauses",
  "lostWrites",
  "tornWrites",
  "unacknowledgedWritesKept",
  "truncations",
  "committedBeforeLocallyDurable",
  "snapshotsSent",
  "snapshotsFailed",
  "snapshotsInstalled",
  "compactions",
  "stateAheadOfLog",
  "partitions",
  "oneWayPartitions",
  "isolations",
  "swizzles",
  "messagesSent",
  "messagesLost",
  "messagesDuplicated",
  "messagesDelayedLong",
  "transfersAsked",
  "membershipChangesAsked",
  "membershipChangesRefused",
  "votersAdded",
  "learnersAdded",
  "learnersPromoted",
  "votersDemoted",
  "membersRemoved",
  "jointEntered",
  "jointLeft",
  "membershipsRolledBack",
  "writesAsked",
  "writesAcknowledged",
  "writesRefused",
  "writesUnknown",
  "readsAsked",
  "readsAnswered",
  "readsRefused",
  "retirements",
  "livenessReached",
] as const;

export type CoverageName = (typeof coverageNames)[number];
export type CoverageCounts = Readonly<Record<CoverageName, number>>;

export class Coverage {
  private readonly values = Object.fromEntries(coverageNames.map((name) => [name, 0])) as Record<
    CoverageName,
    number
  >;

  count(name: CoverageName, times = 1): void {
    this.values[name] += times;
  }

  add(counts: CoverageCounts): void {
    for (const name of coverageNames) this.values[name] += counts[name];
  }

  get counts(): CoverageCounts {
    return { ...this.values };
  }
}
