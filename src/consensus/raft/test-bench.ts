// One Raft node on a bench, for tests: it is fed messages by hand and what it sends is caught. Its disk
// writes at once unless held.

import { membershipOf, payload } from "../conformance/network.js";
import type { EngineConfig, Ready } from "../engine.js";
import { type Entry, EntryKind, type Index, type Membership, type NodeId, type Term } from "../types.js";
import type { Append, RaftMessage } from "./messages.js";
import { Raft } from "./raft.js";

export interface BenchOptions {
  readonly id?: NodeId;
  readonly voters?: readonly NodeId[];
  readonly membership?: Membership;
  /** The log from index 1, as terms. */
  readonly terms?: readonly Term[];
  readonly term?: Term;
  readonly vote?: NodeId;
  readonly commit?: Index;
  readonly config?: Partial<EngineConfig>;
}

/** Entries with these terms, the first at `from`. */
export function entriesOf(from: Index, ...terms: Term[]): Entry[] {
  return terms.map((epoch, i) => ({
    index: from + i,
    epoch,
    kind: EntryKind.command,
    payload: payload(`${from + i}@${epoch}`),
  }));
}

export function append(
  term: Term,
  previous: readonly [Index, Term],
  commit: Index,
  ...terms: Term[]
): Append {
  const [previousIndex, previousTerm] = previous;
  return {
    kind: "append",
    term,
    previousIndex,
    previousTerm,
    commit,
    entries: entriesOf(previousIndex + 1, ...terms),
  };
}

export function configOf(options: BenchOptions): EngineConfig {
  const { terms = [], term = terms.at(-1) ?? 0, vote = 0, commit = 0 } = options;
  const zero = { round: 0, node: 0 };
  const start = { index: 0, epoch: 0 };
  return {
    id: options.id ?? 1,
    electionTicks: 10,
    heartbeatTicks: 1,
    random: () => 0,
    maxInflightMessages: 256,
    maxInflightBytes: 1 << 20,
    maxAppendBytes: 1 << 20,
    maxUncommittedBytes: 1 << 24,
    ...options.config,
    restored: {
      hardState: { promised: { round: term, node: vote }, accepted: zero, commit },
      snapshot: {
        id: start,
        membership: options.membership ?? membershipOf(options.voters ?? [1, 2, 3]),
        membershipIndex: 0,
      },
      entries: entriesOf(1, ...terms),
      entriesAfter: start,
    },
  };
}

/** A Raft node whose inner state tests may look at and set. */
export class OpenRaft extends Raft {
  get terms(): Term[] {
    const { firstIndex, lastIndex } = this.log;
    return this.log.slice(firstIndex, lastIndex).map((entry) => entry.epoch);
  }

  get impossibleMessages(): number {
    return this.impossible;
  }

  get timeout(): number {
    return this.electionTimeout;
  }

  get durable(): Index {
    return this.writes.durable;
  }

  /** The handler behind the check of terms. */
  appendDirectly(from: NodeId, message: Append): void {
    this.handleAppend(from, message);
  }

  /** Leads at once, without votes and without an entry of its own. */
  leadAtOnce(term: Term, matches: ReadonlyMap<NodeId, Index>): void {
    this.term = term;
    this.role = "leader";
    this.leader = this.id;
    this.followMembership(this.trail.effective);
    for (const [node, match] of matches) {
      const progress = this.progress.get(node);
      if (progress !== undefined) progress.match = match;
    }
  }

  commitNow(): Index {
    this.advanceCommit();
    return this.commit;
  }
}

export class Bench {
  readonly raft: OpenRaft;
  /** What was sent since take(). */
  sent: { readonly to: NodeId; readonly message: RaftMessage }[] = [];
  readonly committed: Entry[] = [];
  diskHeld = false;
  readonly writes: Ready<RaftMessage>[] = [];

  constructor(options: BenchOptions = {}) {
    this.raft = new OpenRaft(configOf(options));
    this.drain();
  }

  drain(): void {
    while (this.raft.hasReady()) {
      const ready = this.raft.ready();
      this.sent.push(...ready.messages);
      this.committed.push(...ready.committed);
      const last = ready.committed.at(-1);
      if (last !== undefined) this.raft.step({ kind: "applied", index: last.index });
      this.writes.push(ready);
      if (!this.diskHeld) this.persist();
    }
  }

  /** Completes the writes under way, or the first `count`. */
  persist(count = this.writes.length): void {
    for (const ready of this.writes.splice(0, count)) {
      if (ready.append !== undefined) this.raft.step({ kind: "persisted", mark: ready.append.mark });
      this.sent.push(...ready.messagesAfterAppend);
    }
  }

  receive(from: NodeId, message: RaftMessage): void {
    this.raft.step({ kind: "message", from, message });
    this.drain();
  }

  tick(times = 1): void {
    for (let i = 0; i < times; i++) {
      this.raft.step({ kind: "tick" });
      this.drain();
    }
  }

  propose(...texts: string[]): void {
    this.raft.step({
      kind: "propose",
      proposals: texts.map((each, i) => ({ id: i + 1, payload: payload(each) })),
    });
    this.drain();
  }

  take<K extends RaftMessage["kind"]>(kind: K): { to: NodeId; message: Extract<RaftMessage, { kind: K }> }[] {
    const taken = this.sent.filter(({ message }) => message.kind === kind);
    this.sent = this.sent.filter(({ message }) => message.kind !== kind);
    return taken as { to: NodeId; message: Extract<RaftMessage, { kind: K }> }[];
  }

  get term(): Term {
    return this.raft.status().epoch;
  }

  get role(): string {
    return this.raft.status().role;
  }

  /** Campaigns, wins every vote and acknowledges nothing. */
  lead(): this {
    this.tick(this.raft.timeout);
    for (const pre of [true, false]) {
      for (const { to, message } of this.take("vote")) {
        this.receive(to, { kind: "voteReply", term: message.term, pre, granted: true });
      }
    }
    return this;
  }

  /** The follower has everything up to `index`. */
  acknowledge(from: NodeId, index: Index = this.raft.status().lastIndex): void {
    this.receive(from, acknowledgement(this.term, index));
  }
}

export function acknowledgement(term: Term, index: Index): RaftMessage {
  return { kind: "appendReply", term, rejected: false, index, hintIndex: 0, hintTerm: 0 };
}
