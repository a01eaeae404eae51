// What a leader knows of one follower. Probe: one append at a time until the logs are found to meet.
// Replicate: appends are sent ahead of their acknowledgements, as far as the window allows. Snapshot:
// nothing is sent until the snapshot is reported, acknowledged, or given up.

import type { Index, NodeId } from "../types.js";
import { Inflights } from "./inflights.js";

export type ProgressState = "probe" | "replicate" | "snapshot";

export class Progress {
  state: ProgressState = "probe";
  /** Highest index known to be durable on the follower and equal to ours. */
  match: Index = 0;
  /** Index of the next entry to send. Always above match. */
  next: Index;
  /** Probe: the one append is under way; the next waits for an answer of any kind. */
  paused = false;
  /** Replicate: an empty append is due, to find out whether the whole window was lost. */
  probeDue = false;
  /** Highest commit index the follower has learnt if nothing sent to it was lost. */
  sentCommit: Index = 0;
  /** Snapshot: index the snapshot must reach for the log to continue after it. */
  pendingSnapshot: Index = 0;
  /** Snapshot: tick at which it was asked for. */
  snapshotSince = 0;
  /** Tick at which the follower was last heard of. */
  lastActive: number;
  /** The removed member stays here until it has learnt of it, or until this tick. 0: a member. */
  leavesAt = 0;
  readonly inflights: Inflights;

  constructor(
    readonly node: NodeId,
    next: Index,
    now: number,
    maxInflightMessages: number,
    maxInflightBytes: number,
  ) {
    this.next = next;
    this.lastActive = now;
    this.inflights = new Inflights(maxInflightMessages, maxInflightBytes);
  }

  becomeProbe(): void {
    const delivered = this.state === "snapshot" ? this.pendingSnapshot : 0;
    this.next = Math.max(this.match, delivered) + 1;
    this.enter("probe");
  }

  becomeReplicate(): void {
    this.next = this.match + 1;
    this.enter("replicate");
  }

  becomeSnapshot(atLeast: Index, now: number): void {
    this.enter("snapshot");
    this.pendingSnapshot = atLeast;
    this.snapshotSince = now;
  }

  /** The append that ends at `last` left, carrying `entries` entries of `bytes` and the commit index. */
  sent(last: Index, entries: number, bytes: number, commit: Index): void {
    this.probeDue = false;
    this.sentCommit = Math.max(this.sentCommit, Math.min(commit, last));
    if (this.state === "probe") {
      this.paused = true;
    } else if (entries > 0) {
      this.next = last + 1;
      this.inflights.add(last, bytes);
    }
  }

  /** The follower holds everything up to `index`. Returns whether that is news. */
  acknowledged(index: Index): boolean {
    const news = index > this.match;
    if (news) {
      this.match = index;
      this.next = Math.max(this.next, index + 1);
    }
    if (this.state === "replicate") this.inflights.freeTo(index);
    return news;
  }

  /**
   * The follower refused an append after `refused`; its log may agree up to `hint`. Returns false when
   * the answer is about a question that is no longer open.
   */
  rejected(refused: Index, hint: Index): boolean {
    if (this.state === "snapshot" || refused <= this.match) return false;
    if (this.state === "replicate") {
      if (refused >= this.next) return false;
      this.becomeProbe();
      this.next = Math.max(Math.min(refused, hint + 1), this.match + 1);
      return true;
    }
    if (this.next - 1 !== refused) return false;
    this.next = Math.max(Math.min(refused, hint + 1), this.match + 1);
    this.paused = false;
    return true;
  }

  private enter(state: ProgressState): void {
    this.state = state;
    this.paused = false;
    this.probeDue = false;
    this.pendingSnapshot = 0;
    this.inflights.clear();
    this.sentCommit = Math.min(this.sentCommit, this.match);
  }
}
