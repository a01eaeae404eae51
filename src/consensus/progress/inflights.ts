// The window of appends under way to one follower, bounded by number and by payload bytes. A ring of
// (last index, bytes) pairs in sending order; an acknowledgement frees everything up to its index.

import type { Index } from "../types.js";

export class Inflights {
  private readonly lastIndices: number[] = [];
  private readonly sizes: number[] = [];
  private start = 0;
  private used = 0;
  private bytes = 0;

  /**
   * @param maxMessages how many may be under way, at least 1.
   * @param maxBytes payload bytes at which the window is full; one message always fits.
   */
  constructor(
    private readonly maxMessages: number,
    private readonly maxBytes: number,
  ) {}

  get count(): number {
    return this.used;
  }

  get full(): boolean {
    return this.used >= this.maxMessages || (this.used > 0 && this.bytes >= this.maxBytes);
  }

  add(lastIndex: Index, bytes: number): void {
    const slot = (this.start + this.used) % this.maxMessages;
    this.lastIndices[slot] = lastIndex;
    this.sizes[slot] = bytes;
    this.used++;
    this.bytes += bytes;
  }

  /** Frees every message whose last entry is at or below `index`. */
  freeTo(index: Index): void {
    while (this.used > 0 && (this.lastIndices[this.start] as number) <= index) {
      this.bytes -= this.sizes[this.start] as number;
      this.start = (this.start + 1) % this.maxMessages;
      this.used--;
    }
  }

  clear(): void {
    this.start = 0;
    this.used = 0;
    this.bytes = 0;
  }
}
