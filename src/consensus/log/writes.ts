// How much of the log is durable. Writes are under way while the log goes on changing: an entry that
// was handed to the disk may be cut off and written anew at the same index before the first write is
// reported. So each write under way remembers how much of it still stands, and what its end is worth.

import type { Index, LogMark, Term } from "../types.js";

interface Write {
  readonly epoch: Term;
  readonly index: Index;
  /** What this write proves of the present log: lowered when the log is cut. */
  proves: Index;
}

export class Writes {
  private readonly underWay: Write[] = [];
  private durableIndex: Index;
  private handedIndex: Index;
  private cut: Index | undefined;

  constructor(durable: Index) {
    this.durableIndex = durable;
    this.handedIndex = durable;
  }

  /** The present log is durable up to here. */
  get durable(): Index {
    return this.durableIndex;
  }

  /** The present log was handed to the disk up to here. */
  get handed(): Index {
    return this.handedIndex;
  }

  /** Set while entries that were handed to the disk have been cut off and the disk was not told. */
  get truncateAfter(): Index | undefined {
    return this.cut;
  }

  /** The log was cut: nothing above `index` is what was written there. */
  truncated(index: Index): void {
    if (index < this.handedIndex) {
      this.cut = this.cut === undefined ? index : Math.min(this.cut, index);
      this.handedIndex = index;
    }
    this.lower(index);
  }

  /** The log was replaced by a snapshot that ends at `index`, which is yet to be written. */
  restarted(index: Index): void {
    this.cut = undefined;
    this.handedIndex = index;
    this.lower(0);
  }

  /** A batch that ends at `index` goes to the disk on behalf of the leader of `epoch`. */
  handOver(epoch: Term, index: Index): LogMark {
    this.cut = undefined;
    this.handedIndex = index;
    this.underWay.push({ epoch, index, proves: index });
    return { epoch, index };
  }

  /**
   * Every batch up to the one with this mark is durable. Of several with the same mark the earliest is
   * meant, which can only claim too little. A mark that is not under way is old news.
   * @returns whether the mark was under way.
   */
  persisted(mark: LogMark): boolean {
    const position = this.underWay.findIndex(
      (write) => write.epoch === mark.epoch && write.index === mark.index,
    );
    if (position < 0) return false;
    for (const write of this.underWay.splice(0, position + 1)) {
      if (write.proves > this.durableIndex) this.durableIndex = write.proves;
    }
    return true;
  }

  private lower(index: Index): void {
    this.durableIndex = Math.min(this.durableIndex, index);
    for (const write of this.underWay) write.proves = Math.min(write.proves, index);
  }
}
