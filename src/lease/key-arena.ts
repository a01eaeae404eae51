// Keys as bytes in segments of 256 KiB instead of an object each. A key is named by where it begins and
// how long it is. A segment without keys is used again; when most of the memory is waste, the owner moves
// what is left into a new arena.

const segmentBytes = 1 << 18;
/** Below it nobody bothers. */
const worthMovingBytes = 4 << 20;

export class KeyArena {
  private readonly segments: Buffer[] = [];
  /** Bytes of keys in each segment. */
  private readonly live: number[] = [];
  private readonly free: number[] = [];
  private current = -1;
  private used = 0;
  private liveBytes = 0;
  /** Bytes of the segments. */
  bytes = 0;

  /** Segment of the key added last, and where in it the key begins. */
  segment = 0;
  offset = 0;

  /** Copies the key; `segment` and `offset` say where it is. */
  add(key: Uint8Array): void {
    const { length } = key;
    if (length > segmentBytes) {
      this.segment = this.open(length);
      this.offset = 0;
    } else {
      if (this.current < 0 || this.used + length > segmentBytes) {
        this.current = this.open(segmentBytes);
        this.used = 0;
      }
      this.segment = this.current;
      this.offset = this.used;
      this.used += length;
    }
    this.segments[this.segment]!.set(key, this.offset);
    this.live[this.segment]! += length;
    this.liveBytes += length;
  }

  private open(bytes: number): number {
    const at = this.free.pop() ?? this.segments.length;
    const old = this.segments[at];
    if (old?.length !== bytes) {
      this.segments[at] = Buffer.allocUnsafe(bytes);
      this.bytes += bytes - (old?.length ?? 0);
    }
    this.live[at] = 0;
    return at;
  }

  remove(segment: number, length: number): void {
    this.liveBytes -= length;
    const left = (this.live[segment]! -= length);
    if (left > 0) return;
    if (segment === this.current) this.used = 0;
    else this.free.push(segment);
  }

  /** True when three quarters of a memory worth mentioning hold nothing. */
  get wasteful(): boolean {
    return this.bytes > worthMovingBytes && this.liveBytes * 4 < this.bytes;
  }

  equals(segment: number, offset: number, key: Uint8Array): boolean {
    const bytes = this.segments[segment]!;
    for (let at = 0; at < key.length; at++) if (bytes[offset + at] !== key[at]) return false;
    return true;
  }

  /** A copy. */
  get(segment: number, offset: number, length: number): Buffer {
    return Buffer.from(this.segments[segment]!.subarray(offset, offset + length));
  }
}
