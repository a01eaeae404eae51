// Decodes header blocks into whatever a role makes of them, and remembers the result for blocks that
// come again byte for byte. That is sound exactly while the HPACK dynamic table is as it was: the
// memory is dropped when a block inserts into the table or resizes it, and such blocks are never kept.

import type { HeaderField, HpackDecoder } from "../hpack/decoder.js";

const remembered = 8;
const longestRemembered = 512;

export class HeaderBlocks<T> {
  private readonly blocks: Buffer[] = [];
  private readonly results: T[] = [];
  private oldest = 0;

  constructor(
    private readonly decoder: HpackDecoder,
    private readonly parse: (fields: HeaderField[]) => T,
  ) {}

  /** @throws HpackError, HpackListTooLong, and what `parse` throws. */
  decode(buffer: Buffer, start: number, end: number): T {
    const length = end - start;
    const blocks = this.blocks;
    next: for (let index = 0; index < blocks.length; index++) {
      const block = blocks[index]!;
      if (block.length !== length) continue;
      // From the back: what differs between requests of one client stands last.
      for (let at = length - 1; at >= 0; at--) if (block[at] !== buffer[start + at]) continue next;
      return this.results[index]!;
    }
    const changes = changesTable(buffer, start, end);
    if (changes) this.forget();
    const result = this.parse(this.decoder.decode(buffer, start, end));
    if (!changes && length <= longestRemembered) this.remember(buffer, start, end, result);
    return result;
  }

  /** For when `parse` would now answer differently. */
  forget(): void {
    this.blocks.length = 0;
    this.results.length = 0;
    this.oldest = 0;
  }

  private remember(buffer: Buffer, start: number, end: number, result: T): void {
    const index = this.blocks.length < remembered ? this.blocks.length : this.oldest++ % remembered;
    this.blocks[index] = Buffer.from(buffer.subarray(start, end));
    this.results[index] = result;
  }
}

/**
 * Whether decoding the block may change the dynamic table: it holds a literal with incremental
 * indexing (RFC 7541 section 6.2.1), a size update (6.3), or is malformed.
 */
export function changesTable(block: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const byte = block[at]!;
    if (byte >= 0x80) {
      at = skipInteger(block, at, end, 0x7f);
    } else if (byte >= 0x20) {
      return true;
    } else {
      const indexedName = (byte & 0x0f) !== 0;
      at = skipInteger(block, at, end, 0x0f);
      if (!indexedName) at = skipString(block, at, end);
      at = skipString(block, at, end);
    }
    if (at < 0) return true;
  }
  return at !== end;
}

/** Offset behind the integer that begins at `at` with this prefix mask; -1 when it is cut or absurd. */
function skipInteger(block: Uint8Array, at: number, end: number, mask: number): number {
  if (at < 0 || at >= end) return -1;
  if ((block[at]! & mask) !== mask) return at + 1;
  for (let next = at + 1; next < end && next < at + 6; next++) if (block[next]! < 0x80) return next + 1;
  return -1;
}

function skipString(block: Uint8Array, at: number, end: number): number {
  if (at < 0 || at >= end) return -1;
  const behind = skipInteger(block, at, end, 0x7f);
  if (behind < 0) return -1;
  let length = block[at]! & 0x7f;
  let scale = 1;
  for (let next = at + 1; next < behind; next++) {
    length += (block[next]! & 0x7f) * scale;
    scale *= 128;
  }
  return behind + length <= end ? behind + length : -1;
}
