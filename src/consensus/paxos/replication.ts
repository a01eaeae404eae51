// The leader's half of phase 2: brings each follower's log to its own in one session, then sends what is
// new ahead of the acknowledgements, counts what is durable where, and decides what an accept quorum
// holds. Messages are made when a Ready is taken, so that everything proposed, acknowledged or decided in
// one turn leaves as one message a follower.

import { members } from "../membership/change.js";
import { Progress } from "../progress/progress.js";
import type { Entry, EntryKind, Index, NodeId } from "../types.js";
import { Acceptor, type Rank } from "./acceptor.js";
import type { Accepted, PrepareRequest, Promise1b } from "./messages.js";

const NO_ENTRIES: readonly Entry[] = [];
/** A snapshot that is neither reported nor acknowledged is asked for again after this many elections. */
const SNAPSHOT_PATIENCE = 60;
/** A removed member is told so for this many election timeouts. */
const FAREWELL = 3;

/** A follower as the leader sees it: probe until it promised, replicate in a session, or snapshot. */
export class Peer {
  session = 0;
  /** The session that a promise under way will open; 0: none is. */
  opening = 0;
  /** Of the next part. */
  sequence = 0;
  /** The log that the session begins with ends here; every later part carries new entries. */
  syncEnd: Index = 0;
  syncing = false;
  preparedAt = Number.NEGATIVE_INFINITY;

  constructor(readonly progress: Progress) {}
}

export abstract class Replication extends Acceptor {
  /** What a leader knows of every other member, and for a while of those it removed. */
  protected readonly peers = new Map<NodeId, Peer>();
  /** Payload bytes above the decided index, on a leader. */
  protected uncommittedBytes = 0;
  /** Rank of the log this leader adopted in phase 1. */
  private adopted: Rank = { accepted: 0, lastIndex: 0 };
  private sessions = 0;

  /** A follower's match moved: transfers may go on. */
  protected abstract followerAdvanced(progress: Progress): void;

  protected appendAsLeader(kind: EntryKind, payload: Uint8Array): Entry {
    const entry: Entry = { index: this.log.lastIndex + 1, epoch: this.round, kind, payload };
    this.log.push(entry);
    this.uncommittedBytes += payload.length;
    return entry;
  }

  protected startReplicating(adopted: Rank): void {
    this.adopted = adopted;
    this.peers.clear();
    this.uncommittedBytes = 0;
    for (let index = this.commit + 1; index <= this.log.lastIndex; index++) {
      this.uncommittedBytes += this.log.at(index).payload.length;
    }
    this.meetMembers();
  }

  protected stopReplicating(): void {
    this.peers.clear();
    this.uncommittedBytes = 0;
  }

  /** Everybody who takes part in any configuration that counts. */
  protected everybody(): readonly NodeId[] {
    return [...new Set(this.configurations.flatMap((membership) => members(membership)))];
  }

  /** Keeps one peer per other member; those removed are followed until they could have learnt it. */
  protected followMembership(): void {
    this.meetMembers();
    this.prepareNewcomers();
  }

  private meetMembers(): void {
    const { maxInflightMessages, maxInflightBytes, electionTicks } = this.config;
    const present = this.everybody();
    for (const node of present) {
      if (node === this.id) continue;
      const known = this.peers.get(node);
      if (known !== undefined) {
        known.progress.leavesAt = 0;
        continue;
      }
      const next = this.log.lastIndex + 1;
      const progress = new Progress(node, next, this.now, maxInflightMessages, maxInflightBytes);
      this.peers.set(node, new Peer(progress));
    }
    for (const { progress } of this.peers.values()) {
      if (progress.leavesAt === 0 && !present.includes(progress.node)) {
        progress.leavesAt = this.now + FAREWELL * electionTicks;
      }
    }
  }

  /** Phase 1 for everybody who has not promised this leader anything yet. */
  protected prepareNewcomers(): void {
    for (const peer of this.peers.values()) {
      const { state } = peer.progress;
      if (state === "probe" && peer.session === 0 && peer.opening === 0) this.preparePeer(peer);
    }
  }

  /** On a leader: the node takes part and is not on its way out. */
  protected isMember(node: NodeId): boolean {
    return this.peers.get(node)?.progress.leavesAt === 0;
  }

  protected isActive(progress: Progress): boolean {
    return this.now - progress.lastActive < this.config.electionTicks;
  }

  protected tickPeers(): void {
    const { electionTicks } = this.config;
    for (const { progress } of this.peers.values()) {
      if (progress.leavesAt !== 0 && this.now >= progress.leavesAt) {
        this.peers.delete(progress.node);
      } else if (progress.state === "snapshot") {
        const waited = this.now - progress.snapshotSince;
        const silent = this.now - progress.lastActive;
        if (
          waited > SNAPSHOT_PATIENCE * electionTicks ||
          (waited > electionTicks && silent > electionTicks)
        ) {
          progress.pendingSnapshot = 0;
          progress.becomeProbe();
        }
      }
    }
  }

  /** Phase 1 for one follower that has not promised, or lost its place in the stream. */
  protected preparePeer(peer: Peer): void {
    if (peer.opening !== 0 && peer.preparedAt === this.now) return;
    peer.preparedAt = this.now;
    // Sent again, it is the same: whichever answer comes first opens the session, the others are late.
    if (peer.opening === 0) peer.opening = ++this.sessions;
    const { round } = this;
    const session = peer.opening;
    this.sendAfterAppend(
      peer.progress.node,
      { kind: "prepare", round, transfer: false, leading: true, session },
      true,
    );
  }

  protected onPrepareRequest(from: NodeId, { session }: PrepareRequest): void {
    const peer = this.peers.get(from);
    if (peer === undefined) return;
    peer.progress.lastActive = this.now;
    // What was missed in an earlier session has been made up for.
    if (session > 0 && session < peer.session) return;
    if (peer.progress.state === "replicate") {
      peer.syncing = false;
      peer.progress.becomeProbe();
    }
    this.preparePeer(peer);
  }

  /** How much of the follower's log is surely equal to the leader's. */
  private validPrefix({ accepted, lastIndex, decided }: Promise1b): Index {
    if (accepted === this.round) return lastIndex;
    if (accepted !== this.adopted.accepted) return decided;
    return Math.max(decided, Math.min(lastIndex, this.adopted.lastIndex));
  }

  /** The follower promised this round: a session brings it the log. */
  protected onLatePromise(from: NodeId, promise: Promise1b): void {
    const peer = this.peers.get(from);
    if (peer === undefined || peer.opening === 0 || promise.session !== peer.opening) return;
    this.openSession(from, promise);
  }

  protected openSession(from: NodeId, promise: Promise1b): void {
    const peer = this.peers.get(from);
    if (peer === undefined) return;
    const { progress } = peer;
    progress.lastActive = this.now;
    const valid = this.validPrefix(promise);
    if (valid > this.log.lastIndex) {
      this.impossible++;
      return;
    }
    if (valid + 1 < this.log.firstIndex) {
      peer.opening = 0;
      this.sendSnapshotTo(progress);
      return;
    }
    progress.becomeReplicate();
    progress.match = promise.accepted === this.round ? promise.lastIndex : 0;
    progress.next = valid + 1;
    progress.sentCommit = 0;
    peer.session = peer.opening > 0 ? peer.opening : ++this.sessions;
    peer.opening = 0;
    peer.sequence = 0;
    peer.syncEnd = Math.max(this.log.lastIndex, valid);
    peer.syncing = true;
    this.advanceCommit();
  }

  private sendSnapshotTo(progress: Progress): void {
    if (progress.state === "snapshot" || progress.leavesAt !== 0 || !this.isActive(progress)) return;
    const atLeast = this.log.firstIndex - 1;
    progress.becomeSnapshot(atLeast, this.now);
    this.needSnapshot.push({ to: progress.node, atLeast });
  }

  /** True when replicate() would send this follower anything. */
  protected wants({ progress, syncing, syncEnd }: Peer): boolean {
    if (progress.state !== "replicate") return false;
    if (progress.probeDue) return true;
    if (syncing) return this.maySync(progress, syncEnd);
    if (progress.next <= this.log.lastIndex) return !progress.inflights.full;
    return Math.min(this.commit, progress.next - 1) > progress.sentCommit;
  }

  /** What is not decided is staged there without an answer: the window does not count it. */
  private maySync(progress: Progress, syncEnd: Index): boolean {
    return progress.next > Math.min(this.commit, syncEnd) || !progress.inflights.full;
  }

  /** Sends every follower what it lacks, as far as its window allows. */
  protected replicate(): void {
    for (const peer of this.peers.values()) {
      while (this.wants(peer)) this.sendPart(peer);
    }
  }

  private sendPart(peer: Peer): void {
    const { progress } = peer;
    const { node, next } = progress;
    if (next < this.log.firstIndex && next <= this.log.lastIndex) {
      peer.syncing = false;
      progress.becomeProbe();
      this.sendSnapshotTo(progress);
    } else if (peer.syncing && this.maySync(progress, peer.syncEnd)) {
      this.sendSync(peer);
    } else if (!peer.syncing && next <= this.log.lastIndex && !progress.inflights.full) {
      const last = this.log.lastWithin(next, this.config.maxAppendBytes);
      const entries = this.log.slice(next, last);
      const { round, commit } = this;
      const { session } = peer;
      const sequence = peer.sequence++;
      this.send(node, { kind: "accept", round, session, sequence, decided: commit, entries }, false);
      progress.sent(last, entries.length, bytesOf(entries), commit);
    } else {
      const { round, commit } = this;
      const { session } = peer;
      const sequence = peer.sequence - 1;
      const asks = progress.probeDue;
      this.send(node, { kind: "decide", round, session, sequence, decided: commit, asks }, false);
      progress.sent(next - 1, 0, 0, commit);
    }
  }

  /** The next part of the log as it was when the session began. */
  private sendSync(peer: Peer): void {
    const { progress, syncEnd } = peer;
    const { next, node } = progress;
    let last = next - 1;
    let entries = NO_ENTRIES;
    if (next <= syncEnd) {
      const end = next <= this.commit ? Math.min(this.commit, syncEnd) : syncEnd;
      last = Math.min(end, this.log.lastWithin(next, this.config.maxAppendBytes));
      entries = this.log.slice(next, last);
    }
    const complete = last === syncEnd;
    this.send(
      node,
      {
        kind: "acceptSync",
        round: this.round,
        session: peer.session,
        sequence: peer.sequence++,
        decided: this.commit,
        previousIndex: next - 1,
        entries,
        last: complete,
      },
      false,
    );
    const acknowledged = last <= this.commit && entries.length > 0;
    if (acknowledged) {
      progress.sent(last, entries.length, bytesOf(entries), this.commit);
    } else {
      progress.next = last + 1;
      progress.sentCommit = Math.max(progress.sentCommit, Math.min(this.commit, last));
    }
    if (complete) peer.syncing = false;
  }

  protected onAccepted(from: NodeId, { index }: Accepted): void {
    const progress = this.peers.get(from)?.progress;
    if (progress === undefined) return;
    progress.lastActive = this.now;
    if (index > this.log.lastIndex) {
      this.impossible++;
      return;
    }
    if (progress.state !== "replicate") return;
    if (!progress.acknowledged(index)) return;
    this.advanceCommit();
    if (this.role === "leader") this.followerAdvanced(progress);
  }

  /** A follower answered a heartbeat: whatever was held back or lost is tried again. */
  protected resume(peer: Peer): void {
    const { progress } = peer;
    progress.lastActive = this.now;
    switch (progress.state) {
      case "probe":
        if (this.now - peer.preparedAt > this.config.heartbeatTicks) this.preparePeer(peer);
        break;
      case "replicate":
        if (progress.match < progress.next - 1) progress.probeDue = true;
        break;
      case "snapshot":
        break;
      default:
        progress.state satisfies never;
    }
  }

  /**
   * Decides what accept quorums hold durably in this round. While the log ends with an undecided
   * stop-sign, the quorum of the configuration it ends decides, and the next one's must agree: the next
   * configuration then begins with a quorum that holds the whole log.
   */
  protected advanceCommit(): void {
    if (this.role !== "leader") return;
    const accepted = this.quorums.accepted(this.configurations, this.acceptedOn);
    const index = Math.min(accepted, this.log.lastIndex);
    if (index <= this.commit) return;
    this.decide(index);
  }

  protected decide(index: Index): void {
    for (let each = this.commit + 1; each <= index; each++) {
      this.uncommittedBytes -= this.log.at(each).payload.length;
    }
    this.commitTo(index);
  }

  private readonly acceptedOn = (node: NodeId): Index =>
    node === this.id ? this.acceptedDurable : (this.peers.get(node)?.progress.match ?? 0);

  protected onSnapshotSent(to: NodeId, ok: boolean, index: Index): void {
    const progress = this.peers.get(to)?.progress;
    if (progress === undefined || progress.state !== "snapshot") return;
    progress.pendingSnapshot = ok ? Math.min(index, this.log.lastIndex) : 0;
    progress.becomeProbe();
  }

  protected onUnreachable(node: NodeId): void {
    const peer = this.peers.get(node);
    if (peer === undefined || peer.progress.state !== "replicate") return;
    peer.syncing = false;
    peer.progress.becomeProbe();
  }
}

function bytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.payload.length;
  return bytes;
}
