// What Multi-Paxos nodes say to each other: plain objects that map one to one onto
// proto/quorate/consensus/v1/paxos.proto. A ballot is (round, node); the node is that of the leader who
// sends or is addressed, and no round is ever promised to two nodes by a quorum, so messages carry the
// round alone. Also the check every message passes before it is believed.

import { type Entry, EntryKind, type Index, type Term } from "../types.js";

/** Asks how a voter fares, before anything is promised: can I reach you, do you hear a leader? */
export interface Ask {
  readonly kind: "ask";
  /** Highest round the sender has promised. */
  readonly round: Term;
  /** Echoed by the answer; tells one inquiry from the next. */
  readonly inquiry: number;
}

export interface Answer {
  readonly kind: "answer";
  /** Highest round the sender has promised. */
  readonly round: Term;
  readonly inquiry: number;
  /** The sender leads, or hears a leader other than the one it answers. */
  readonly happy: boolean;
}

/** Phase 1a, also to a node that was missed or lost its place. */
export interface Prepare {
  readonly kind: "prepare";
  readonly round: Term;
  /** The old leader asked for it. */
  readonly transfer: boolean;
  /** The sender leads this round: what is wanted is the place in the log, not a promise to win it. */
  readonly leading: boolean;
  /** The session that the answer opens; 0 before there is a leader. */
  readonly session: number;
}

/** Phase 1b: nothing below `round` will be accepted any more; this is how the sender's log ranks. */
export interface Promise1b {
  readonly kind: "promise";
  readonly round: Term;
  /** Round in which the whole log was accepted. */
  readonly accepted: Term;
  readonly lastIndex: Index;
  readonly decided: Index;
  /** Of the Prepare. */
  readonly session: number;
}

/** The leader to be asks the best promiser for its log from an index on. */
export interface Fetch {
  readonly kind: "fetch";
  readonly round: Term;
  readonly from: Index;
}

export interface Chunk {
  readonly kind: "chunk";
  readonly round: Term;
  readonly from: Index;
  readonly entries: readonly Entry[];
  /** Rank of the log this is a part of. */
  readonly accepted: Term;
  readonly lastIndex: Index;
}

/** Phase 2a for a whole log: after `previousIndex` come these entries; the last part makes it accepted. */
export interface AcceptSync {
  readonly kind: "acceptSync";
  readonly round: Term;
  readonly session: number;
  /** 0 begins the session. */
  readonly sequence: number;
  readonly decided: Index;
  readonly previousIndex: Index;
  readonly entries: readonly Entry[];
  readonly last: boolean;
}

/** Phase 2a for entries at the end of a log accepted in this round (AcceptDecide). */
export interface Accept {
  readonly kind: "accept";
  readonly round: Term;
  readonly session: number;
  readonly sequence: number;
  readonly decided: Index;
  readonly entries: readonly Entry[];
}

/** There was nothing to carry the decided index, or whether anything was lost is in question. */
export interface Decide {
  readonly kind: "decide";
  readonly round: Term;
  readonly session: number;
  /** That of the last part of the session. */
  readonly sequence: number;
  readonly decided: Index;
  /** An acknowledgement is wanted. */
  readonly asks: boolean;
}

/** Phase 2b, cumulative: durable up to `index`, accepted in `round` or known to be decided. */
export interface Accepted {
  readonly kind: "accepted";
  readonly round: Term;
  readonly index: Index;
}

/** A higher round was promised. */
export interface NotAccepted {
  readonly kind: "notAccepted";
  readonly round: Term;
}

/** Please prepare me (again): I missed something. */
export interface PrepareRequest {
  readonly kind: "prepareRequest";
  readonly round: Term;
  /** The session in which something was missed; 0 when none is known. */
  readonly session: number;
}

export interface Heartbeat {
  readonly kind: "heartbeat";
  readonly round: Term;
  /** Never above what the follower is known to have accepted. */
  readonly decided: Index;
  /** Read position that this heartbeat can confirm; 0 when no read waits. */
  readonly readPosition: number;
}

export interface HeartbeatReply {
  readonly kind: "heartbeatReply";
  readonly round: Term;
  /** Highest read position seen from this leader in this round. */
  readonly readPosition: number;
}

/** Tells the addressed node to take over at once. */
export interface TakeOver {
  readonly kind: "takeOver";
  readonly round: Term;
}

export type PaxosMessage =
  | Ask
  | Answer
  | Prepare
  | Promise1b
  | Fetch
  | Chunk
  | AcceptSync
  | Accept
  | Decide
  | Accepted
  | NotAccepted
  | PrepareRequest
  | Heartbeat
  | HeartbeatReply
  | TakeOver;

const counts = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** True when the message could have been sent by a correct node: numbers in range, entries in order. */
export function isWellFormed(message: PaxosMessage): boolean {
  if (!counts(message.round)) return false;
  switch (message.kind) {
    case "ask":
    case "answer":
      return counts(message.inquiry);
    case "prepare":
    case "prepareRequest":
      return message.round > 0 && counts(message.session);
    case "takeOver":
    case "notAccepted":
      return message.round > 0;
    case "promise":
      return (
        counts(message.accepted) &&
        message.accepted <= message.round &&
        counts(message.lastIndex) &&
        counts(message.decided) &&
        message.decided <= message.lastIndex &&
        counts(message.session)
      );
    case "fetch":
      return counts(message.from) && message.from > 0;
    case "chunk":
      return (
        counts(message.accepted) &&
        counts(message.lastIndex) &&
        areInOrder(message.from - 1, message.round, message.entries)
      );
    case "acceptSync":
      return (
        counts(message.session) &&
        counts(message.sequence) &&
        counts(message.decided) &&
        areInOrder(message.previousIndex, message.round, message.entries)
      );
    case "accept": {
      const first = message.entries[0];
      return (
        counts(message.session) &&
        counts(message.sequence) &&
        counts(message.decided) &&
        first !== undefined &&
        areInOrder(first.index - 1, message.round, message.entries)
      );
    }
    case "decide":
      return counts(message.session) && counts(message.sequence) && counts(message.decided);
    case "accepted":
      return counts(message.index);
    case "heartbeat":
      return message.round > 0 && counts(message.decided) && counts(message.readPosition);
    case "heartbeatReply":
      return counts(message.readPosition);
    default:
      return unknown(message);
  }
}

function areInOrder(after: Index, round: Term, entries: readonly Entry[]): boolean {
  if (!counts(after)) return false;
  let index = after;
  let epoch: Term = 1;
  for (const entry of entries) {
    if (entry.index !== ++index || !counts(entry.epoch)) return false;
    if (entry.epoch < epoch || entry.epoch > round) return false;
    if (
      entry.kind !== EntryKind.command &&
      entry.kind !== EntryKind.noop &&
      entry.kind !== EntryKind.membership
    )
      return false;
    epoch = entry.epoch;
  }
  return true;
}

/** A kind that the types do not know can only come from a peer: it is refused, not thrown at. */
function unknown(_message: never): boolean {
  return false;
}
