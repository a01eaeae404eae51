// Decodes HPACK header blocks (RFC 7541). One decoder serves one direction of one connection, since
// its table depends on every block before. Work and memory are bounded by the block's length and the
// two limits, whatever the peer sends; malformed input ends in HpackError and nothing else.
import { DynamicTable, fieldBytes } from "./dynamic-table.js";
import { huffmanDecode, huffmanDecodedBound } from "./huffman.js";
import { staticTable } from "./static-table.js";
import { StringCache } from "./string-cache.js";

/** A name and a value; each character stands for one octet (latin1). */
export type HeaderField = readonly [name: string, value: string];

/** The block is malformed. The connection must end with COMPRESSION_ERROR (RFC 9113, section 4.3). */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

/** The header list exceeds the limit. The table is up to date, so the connection may go on. */
export class HpackListTooLong extends Error {
  override readonly name = "HpackListTooLong";
}

/** Table size both ends assume until a size update says otherwise (RFC 9113, section 6.5.2). */
export const defaultTableBytes = 4096;

export interface HpackDecoderOptions {
  /** The SETTINGS_HEADER_TABLE_SIZE we advertise: size updates above it are refused. 4096 by default. */
  readonly maxTableBytes?: number;
  /** Limit for one list, each field counted as name + value + 32 octets. 64 KiB by default. */
  readonly maxListBytes?: number;
}

const scratchBytes = 1024;

export class HpackDecoder {
  // The peer uses the default until it has seen our settings, even if they are lower.
  private readonly table = new DynamicTable(defaultTableBytes);
  private readonly maxTableBytes: number;
  private readonly maxListBytes: number;
  private readonly cache = new StringCache();
  private readonly scratch = Buffer.allocUnsafeSlow(scratchBytes);

  private changes = 0;

  // The block being decoded.
  private block: Buffer = this.scratch;
  private at = 0;
  private end = 0;

  constructor(options: HpackDecoderOptions = {}) {
    this.maxTableBytes = options.maxTableBytes ?? defaultTableBytes;
    this.maxListBytes = options.maxListBytes ?? 65536;
  }

  /**
   * Number of additions to the table and changes of its size so far. While it stays the same, the
   * same block means the same fields.
   */
  get tableChanges(): number {
    return this.changes;
  }

  /**
   * Fields of the complete block in [start, end), in order. Throws HpackError, after which the decoder
   * must not be used again, or HpackListTooLong, after which it may.
   */
  decode(block: Uint8Array, start = 0, end = block.length): HeaderField[] {
    this.block = Buffer.isBuffer(block) ? block : Buffer.from(block.buffer, block.byteOffset, block.length);
    this.at = start;
    this.end = end;
    const fields: HeaderField[] = [];
    let listBytes = 0;
    let sizeUpdateAllowed = true;
    while (this.at < end) {
      const first = this.block[this.at]!;
      if ((first & 0xe0) === 0x20) {
        if (!sizeUpdateAllowed) throw new HpackError("table size update after a header field");
        this.resize();
        continue;
      }
      sizeUpdateAllowed = false;
      const field = first >= 0x80 ? this.indexed() : this.literal(first);
      listBytes += fieldBytes(field[0], field[1]);
      // Beyond the limit nothing is kept, but the table must follow the rest of the block.
      if (listBytes <= this.maxListBytes) fields.push(field);
    }
    // The caller's memory is not ours to keep alive.
    this.block = this.scratch;
    if (listBytes > this.maxListBytes) {
      throw new HpackListTooLong(`header list of ${listBytes} bytes, limit ${this.maxListBytes}`);
    }
    return fields;
  }

  private resize(): void {
    const bytes = this.integer(0x1f);
    if (bytes > this.maxTableBytes) {
      throw new HpackError(`table size update to ${bytes} bytes, advertised ${this.maxTableBytes}`);
    }
    this.table.resize(bytes);
    this.changes++;
  }

  private indexed(): HeaderField {
    return this.entry(this.integer(0x7f));
  }

  private literal(first: number): HeaderField {
    const indexing = first >= 0x40;
    const index = this.integer(indexing ? 0x3f : 0x0f);
    const name = index === 0 ? this.string() : this.entry(index)[0];
    const field: HeaderField = [name, this.string()];
    if (indexing) {
      this.table.add(field);
      this.changes++;
    }
    return field;
  }

  private entry(index: number): HeaderField {
    const field =
      index <= staticTable.length ? staticTable[index - 1] : this.table.at(index - staticTable.length - 1);
    if (field === undefined) throw new HpackError(`index ${index} is not in the table`);
    return field;
  }

  /** An integer whose prefix is the bits of `mask` in the byte at hand (RFC 7541, section 5.1). */
  private integer(mask: number): number {
    let value = this.block[this.at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.at >= this.end) throw new HpackError("header block ends inside an integer");
      const byte = this.block[this.at++]!;
      value += (byte & 127) << shift;
      if (byte < 128) return value;
    }
    // 2^28 is far beyond any length or index that fits a block we accept.
    throw new HpackError("integer too large");
  }

  private string(): string {
    if (this.at >= this.end) throw new HpackError("header block ends before a string");
    const huffman = this.block[this.at]! >= 0x80;
    const length = this.integer(0x7f);
    const start = this.at;
    const end = start + length;
    if (end > this.end) throw new HpackError("header block ends inside a string");
    this.at = end;
    if (length === 0) return "";
    const known = this.cache.find(this.block, start, end, huffman);
    if (known !== undefined) return known;
    const text = huffman ? this.huffmanString(start, end) : this.block.toString("latin1", start, end);
    this.cache.remember(this.block, start, end, huffman, text);
    return text;
  }

  private huffmanString(start: number, end: number): string {
    const bound = huffmanDecodedBound(end - start);
    const octets = bound <= scratchBytes ? this.scratch : Buffer.allocUnsafe(bound);
    const length = huffmanDecode(this.block, start, end, octets);
    if (length < 0) throw new HpackError("wrong Huffman code or padding");
    return octets.toString("latin1", 0, length);
  }
}
