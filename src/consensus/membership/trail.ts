// The memberships a log contains: the committed one and those appended after it. The last is in force
// from the moment it is appended (thesis, 4.1), and gives way again when its entry is cut off.

import type { Index, Membership } from "../types.js";

interface Mark {
  readonly index: Index;
  readonly membership: Membership;
}

export class MembershipTrail {
  /** Ascending; the first is committed, the last in force. Never empty. */
  private marks: Mark[];

  constructor(membership: Membership, index: Index) {
    this.marks = [{ index, membership }];
  }

  get effective(): Membership {
    return this.last.membership;
  }

  /** Index of the entry that set the membership in force. */
  get effectiveIndex(): Index {
    return this.last.index;
  }

  get committed(): Membership {
    return (this.marks[0] as Mark).membership;
  }

  get committedIndex(): Index {
    return (this.marks[0] as Mark).index;
  }

  /** True while the membership in force may still be rolled back. */
  get pending(): boolean {
    return this.marks.length > 1;
  }

  /** The membership before the one in force; undefined when that is the committed one. */
  get previous(): Membership | undefined {
    return this.marks[this.marks.length - 2]?.membership;
  }

  /** Asks of every membership from the committed one to the one in force. */
  some(predicate: (membership: Membership) => boolean): boolean {
    return this.marks.some((mark) => predicate(mark.membership));
  }

  appended(index: Index, membership: Membership): void {
    this.marks.push({ index, membership });
  }

  /** Rolls back what was appended above `index`. Returns whether the membership in force changed. */
  truncatedAfter(index: Index): boolean {
    const before = this.marks.length;
    while (this.marks.length > 1 && this.last.index > index) this.marks.pop();
    return this.marks.length < before;
  }

  committedTo(index: Index): void {
    while (this.marks.length > 1 && (this.marks[1] as Mark).index <= index) this.marks.shift();
  }

  /** A snapshot replaces everything known, uncommitted changes included. */
  reset(membership: Membership, index: Index): void {
    this.marks = [{ index, membership }];
  }

  private get last(): Mark {
    return this.marks[this.marks.length - 1] as Mark;
  }
}
