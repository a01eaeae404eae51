// Recent rows in memory. Rows are written one after another into segments; the cache keeps the newest
// segments up to its bound and finds rows through a small set-associative table, so that nothing is
// allocated or freed per row. Views handed out stay valid: a dropped segment lives as long as they do.

const segmentBytesLimit = 1 << 20;
const ways = 4;

export class RowCache {
  private readonly segments: (Buffer | undefined)[] = [];
  /** Number of segments[0]; only grows. */
  private first = 1;
  private held = 0;
  private used = 0;
  private current = 0;

  private readonly mask: number;
  private readonly mains: Float64Array;
  private readonly subs: Uint32Array;
  /** Segment number, offset and length of each slot's row. */
  private readonly places: Uint32Array;

  /** Where reserve() made room. */
  segment: Buffer = Buffer.alloc(0);
  offset = 0;

  private readonly segmentBytes: number;
  /** Rows above this get a segment of their own. */
  private readonly largeRowBytes: number;

  constructor(private readonly limitBytes: number) {
    this.segmentBytes = Math.max(64, Math.min(segmentBytesLimit, limitBytes >>> 4));
    this.largeRowBytes = this.segmentBytes >>> 2;
    let slots = 1024;
    while (slots * 192 < limitBytes) slots *= 2;
    this.mask = slots - 1;
    this.mains = new Float64Array(slots);
    this.subs = new Uint32Array(slots);
    this.places = new Uint32Array(slots * 3);
  }

  /** Bytes of rows held, whether still of use or not. */
  get bytes(): number {
    return this.held;
  }

  /** Makes room for that many bytes at `segment`, `offset`; commit() says how many were used. */
  reserve(bytes: number): void {
    if (bytes > this.largeRowBytes) {
      this.open(bytes);
      return;
    }
    const segment = this.segments[this.segments.length - 1];
    if (segment === undefined || this.used + bytes > segment.length) this.open(this.segmentBytes);
    else {
      this.segment = segment;
      this.offset = this.used;
      this.current = this.first + this.segments.length - 1;
    }
  }

  private open(bytes: number): void {
    const segment = Buffer.allocUnsafeSlow(bytes);
    this.segments.push(segment);
    this.held += bytes;
    while (this.held > this.limitBytes && this.segments.length > 1) {
      this.held -= this.segments.shift()!.length;
      this.first++;
    }
    this.used = 0;
    this.segment = segment;
    this.offset = 0;
    this.current = this.first + this.segments.length - 1;
  }

  /** The reserved room up to `end` is taken. */
  commit(end: number): void {
    this.used = end;
  }

  /** Remembers that the row (main, sub) is at [start, end) of the reserved room. */
  remember(main: number, sub: number, start: number, end: number): void {
    const base = this.slot(main, sub);
    let victim = base;
    let oldest = Number.POSITIVE_INFINITY;
    for (let way = 0; way < ways; way++) {
      const slot = (base + way) & this.mask;
      const segment = this.places[slot * 3]!;
      if (this.mains[slot] === main && this.subs[slot] === sub) {
        victim = slot;
        break;
      }
      if (segment < oldest) {
        oldest = segment;
        victim = slot;
        if (segment < this.first) break;
      }
    }
    this.mains[victim] = main;
    this.subs[victim] = sub;
    this.places[victim * 3] = this.current;
    this.places[victim * 3 + 1] = start;
    this.places[victim * 3 + 2] = end - start;
  }

  /** Copies a row that was read from disk. */
  insert(main: number, sub: number, row: Uint8Array): void {
    this.reserve(row.length);
    const { segment, offset } = this;
    segment.set(row, offset);
    this.commit(offset + row.length);
    this.remember(main, sub, offset, offset + row.length);
  }

  get(main: number, sub: number): Uint8Array | undefined {
    const base = this.slot(main, sub);
    for (let way = 0; way < ways; way++) {
      const slot = (base + way) & this.mask;
      if (this.mains[slot] !== main || this.subs[slot] !== sub) continue;
      const segment = this.places[slot * 3]! - this.first;
      if (segment < 0) return undefined;
      const start = this.places[slot * 3 + 1]!;
      return this.segments[segment]!.subarray(start, start + this.places[slot * 3 + 2]!);
    }
    return undefined;
  }

  /** Revisions are handed out one after another, and so are the slots. */
  private slot(main: number, sub: number): number {
    return ((main % 0x40000000) + Math.imul(sub, 0x9e3779b1)) & this.mask;
  }
}
