// What Raft nodes say to each other: plain objects that map one to one onto
// proto/quorate/consensus/v1/raft.proto. Also the check every message passes before it is believed.

import { type Entry, EntryKind, type Index, type Term } from "../types.js";

/** Asks for a vote (paper, 5.2), or with `pre` whether one would be given (thesis, 9.6). */
export interface VoteRequest {
  readonly kind: "vote";
  /** For a pre-vote, the term the sender would campaign in. */
  readonly term: Term;
  readonly pre: boolean;
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** The campaign is a leadership transfer, which overrides a leader's lease. */
  readonly transfer: boolean;
}

export interface VoteReply {
  readonly kind: "voteReply";
  /** For a granted pre-vote, the term asked about. */
  readonly term: Term;
  readonly pre: boolean;
  readonly granted: boolean;
}

/** AppendEntries (paper, 5.3). */
export interface Append {
  readonly kind: "append";
  readonly term: Term;
  readonly previousIndex: Index;
  readonly previousTerm: Term;
  readonly commit: Index;
  readonly entries: readonly Entry[];
}

export interface AppendReply {
  readonly kind: "appendReply";
  readonly term: Term;
  readonly rejected: boolean;
  /** Accepted: last index known to match. Rejected: the previousIndex that was refused. */
  readonly index: Index;
  /** Rejected: highest index at which the logs may still agree. */
  readonly hintIndex: Index;
  /** Rejected: term of the entry at hintIndex; 0 when it is no longer known. */
  readonly hintTerm: Term;
}

export interface Heartbeat {
  readonly kind: "heartbeat";
  readonly term: Term;
  /** Never above what the follower is known to match. */
  readonly commit: Index;
  /** Read position that this heartbeat can confirm; 0 when no read waits. */
  readonly readPosition: number;
}

export interface HeartbeatReply {
  readonly kind: "heartbeatReply";
  readonly term: Term;
  /** Highest read position seen from this leader in this term. */
  readonly readPosition: number;
}

/** Tells the addressed node to campaign at once (thesis, 3.10). */
export interface TimeoutNow {
  readonly kind: "timeoutNow";
  readonly term: Term;
}

export type RaftMessage =
  | VoteRequest
  | VoteReply
  | Append
  | AppendReply
  | Heartbeat
  | HeartbeatReply
  | TimeoutNow;

const counts = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** True when the message could have been sent by a correct node: numbers in range, entries in order. */
export function isWellFormed(message: RaftMessage): boolean {
  if (!counts(message.term)) return false;
  switch (message.kind) {
    case "vote":
      if (message.term === 0) return false;
      return counts(message.lastIndex) && counts(message.lastTerm) && message.lastTerm <= message.term;
    case "voteReply":
      return true;
    case "timeoutNow":
      return message.term > 0;
    case "append":
      return (
        message.term > 0 &&
        counts(message.previousIndex) &&
        counts(message.previousTerm) &&
        counts(message.commit) &&
        areInOrder(message)
      );
    case "appendReply":
      return counts(message.index) && counts(message.hintIndex) && counts(message.hintTerm);
    case "heartbeat":
      return message.term > 0 && counts(message.commit) && counts(message.readPosition);
    case "heartbeatReply":
      return counts(message.readPosition);
    default:
      return unknown(message);
  }
}

function areInOrder(message: Append): boolean {
  let index = message.previousIndex;
  let term = message.previousTerm;
  if (term > message.term) return false;
  for (const entry of message.entries) {
    if (entry.index !== ++index || entry.epoch < term || entry.epoch > message.term) return false;
    if (!counts(entry.index) || !counts(entry.epoch) || entry.epoch === 0) return false;
    if (
      entry.kind !== EntryKind.command &&
      entry.kind !== EntryKind.noop &&
      entry.kind !== EntryKind.membership
    )
      return false;
    term = entry.epoch;
  }
  return true;
}

/** A kind that the types do not know can only come from a peer: it is refused, not thrown at. */
function unknown(_message: never): boolean {
  return false;
}
