// Remembers the strings that short literals of one connection stand for, so that a path or a value
// sent with every request is decoded once and is the same string each time. Direct mapped, bounded:
// 64 literals of at most 64 encoded bytes; a collision replaces.

const slots = 64;
const slotBytes = 64;

export class StringCache {
  private readonly keys = new Uint8Array(slots * slotBytes);
  /** Encoded length * 2 + 1 if Huffman coded; 0 for an empty slot. */
  private readonly shapes = new Uint8Array(slots);
  private readonly strings: string[] = new Array<string>(slots).fill("");
  /** Where the last `find` looked; `remember` fills this slot. */
  private slot = 0;

  /** The string of the literal in [start, end), or undefined when it is not known or too long. */
  find(block: Uint8Array, start: number, end: number, huffman: boolean): string | undefined {
    const length = end - start;
    if (length > slotBytes) return undefined;
    let hash = length;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ block[at]!, 0x01000193);
    const slot = (hash ^ (hash >>> 15)) & (slots - 1);
    this.slot = slot;
    if (this.shapes[slot] !== length * 2 + (huffman ? 1 : 0)) return undefined;
    const keys = this.keys;
    for (let at = start, key = slot * slotBytes; at < end; at++, key++) {
      if (keys[key] !== block[at]) return undefined;
    }
    return this.strings[slot];
  }

  /** Keeps the string of a literal that `find`, called just before, did not know. */
  remember(block: Uint8Array, start: number, end: number, huffman: boolean, text: string): void {
    const length = end - start;
    if (length > slotBytes || length === 0) return;
    for (let at = start, key = this.slot * slotBytes; at < end; at++, key++) this.keys[key] = block[at]!;
    this.shapes[this.slot] = length * 2 + (huffman ? 1 : 0);
    this.strings[this.slot] = text;
  }
}
