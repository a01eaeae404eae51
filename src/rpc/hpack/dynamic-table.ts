// The dynamic table of HPACK (RFC 7541, section 2.3.2): a ring of fields, newest first, whose total
// size never exceeds the maximum. Adding and evicting move no entries and allocate nothing but the
// ring itself, which grows with the number of entries.
import type { HeaderField } from "./decoder.js";

/** What a field counts for: the octets of name and value and 32 more (RFC 7541, section 4.1). */
export function fieldBytes(name: string, value: string): number {
  return name.length + value.length + 32;
}

export class DynamicTable {
  private ring: (HeaderField | undefined)[] = new Array<HeaderField | undefined>(16).fill(undefined);
  /** Number of fields ever added; the newest is in slot (added - 1) modulo the ring's length. */
  private added = 0;
  private count = 0;
  private bytes = 0;

  constructor(
    private maxBytes: number,
    /** Told about each field that leaves, with its number: 0 for the first ever added. */
    private readonly evicted?: (field: HeaderField, number: number) => void,
  ) {}

  /** Number of fields in the table. */
  get length(): number {
    return this.count;
  }

  get sizeBytes(): number {
    return this.bytes;
  }

  get maxSizeBytes(): number {
    return this.maxBytes;
  }

  /** Number the next added field gets. */
  get nextNumber(): number {
    return this.added;
  }

  /** Field by age: 0 is the newest. Undefined beyond the oldest. */
  at(age: number): HeaderField | undefined {
    return age < this.count ? this.ring[(this.added - 1 - age) & (this.ring.length - 1)] : undefined;
  }

  /** Adds a field. One that is larger than the table leaves it empty, which is not an error. */
  add(field: HeaderField): boolean {
    const size = fieldBytes(field[0], field[1]);
    this.shrinkTo(this.maxBytes - size);
    if (size > this.maxBytes) return false;
    if (this.count === this.ring.length) this.grow();
    this.ring[this.added & (this.ring.length - 1)] = field;
    this.added++;
    this.count++;
    this.bytes += size;
    return true;
  }

  /** Changes the maximum size and evicts what no longer fits. */
  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.shrinkTo(maxBytes);
  }

  private shrinkTo(limitBytes: number): void {
    while (this.count > 0 && this.bytes > limitBytes) {
      const number = this.added - this.count;
      const slot = number & (this.ring.length - 1);
      const field = this.ring[slot]!;
      this.ring[slot] = undefined;
      this.count--;
      this.bytes -= fieldBytes(field[0], field[1]);
      this.evicted?.(field, number);
    }
  }

  private grow(): void {
    const larger = new Array<HeaderField | undefined>(this.ring.length * 2).fill(undefined);
    for (let number = this.added - this.count; number < this.added; number++) {
      larger[number & (larger.length - 1)] = this.ring[number & (this.ring.length - 1)];
    }
    this.ring = larger;
  }
}
