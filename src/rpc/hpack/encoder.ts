// Encodes HPACK header blocks (RFC 7541). Fields that repeat from request to request enter the
// dynamic table; values that belong to one request are sent literally, and credentials are marked as
// never to be indexed, so that no proxy puts them where compression could reveal them (section 7.1).
import { defaultTableBytes, type HeaderField } from "./decoder.js";
import { DynamicTable, fieldBytes } from "./dynamic-table.js";
import { huffmanEncode, huffmanEncodedBytes } from "./huffman.js";
import { staticTable } from "./static-table.js";

/** Names whose values come from a small set on one connection. */
const stableNames: ReadonlySet<string> = new Set([
  ":authority",
  ":method",
  ":path",
  ":scheme",
  ":status",
  "accept",
  "accept-encoding",
  "access-control-allow-headers",
  "access-control-allow-methods",
  "access-control-allow-origin",
  "cache-control",
  "client-api-version",
  "content-encoding",
  "content-type",
  "grpc-accept-encoding",
  "grpc-encoding",
  "grpc-status",
  "hasleader",
  "host",
  "server",
  "te",
  "trailer",
  "user-agent",
  "vary",
]);

const secretNames: ReadonlySet<string> = new Set([
  "authorization",
  "cookie",
  "proxy-authorization",
  "set-cookie",
  "token",
]);

/** Where a name is found: its static entries and what the dynamic table holds of it. */
interface KnownName {
  readonly stable: boolean;
  readonly secret: boolean;
  /** First static index of the name, 0 for none. */
  readonly staticIndex: number;
  readonly staticValues: ReadonlyMap<string, number> | undefined;
  /** Number in the dynamic table of the newest field of that name, -1 for none. */
  newest: number;
  /** Numbers in the dynamic table by value. */
  readonly values: Map<string, number>;
}

/** Indices of the static table by name and value. */
function staticIndices(): Map<string, Map<string, number>> {
  const names = new Map<string, Map<string, number>>();
  for (const [at, [name, value]] of staticTable.entries()) {
    const values = names.get(name);
    if (values === undefined) names.set(name, new Map([[value, at + 1]]));
    else values.set(value, at + 1);
  }
  return names;
}

const staticNames: ReadonlyMap<string, ReadonlyMap<string, number>> = staticIndices();

/** Other names seen on a connection are not worth remembering beyond this many. */
const namesLimit = 256;

export interface HpackEncoderOptions {
  /** The most we spend on the table, whatever the peer allows. 4096 by default. */
  readonly maxTableBytes?: number;
}

export class HpackEncoder {
  private readonly names = new Map<string, KnownName>();
  private readonly table = new DynamicTable(defaultTableBytes, (field, number) => this.forget(field, number));
  private readonly ownMaxBytes: number;
  /** Table size to announce with the next block, and the smallest since the last one. */
  private wantedBytes: number;
  private smallestBytes: number;
  /** A block failed half way, so the next one must begin by emptying the table. */
  private restart = false;

  constructor(options: HpackEncoderOptions = {}) {
    this.ownMaxBytes = options.maxTableBytes ?? defaultTableBytes;
    this.wantedBytes = Math.min(this.ownMaxBytes, defaultTableBytes);
    this.smallestBytes = this.wantedBytes;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE; the next block announces what we make of it. */
  setPeerMaxTableBytes(bytes: number): void {
    this.wantedBytes = Math.min(this.ownMaxBytes, bytes);
    this.smallestBytes = Math.min(this.smallestBytes, this.wantedBytes);
  }

  /** Bytes that are always enough for a block of these fields. */
  static bound(fields: readonly HeaderField[]): number {
    // Two size updates; per field the kind with its index and two lengths, six bytes at most each.
    let bytes = 12;
    for (let at = 0; at < fields.length; at++) {
      const field = fields[at]!;
      bytes += 18 + field[0].length + field[1].length;
    }
    return bytes;
  }

  /**
   * Writes one block at `at` and returns the offset after it. Names must be lower case. Throws
   * RangeError when less than `bound` bytes are free and TypeError for characters above U+00FF; then
   * nothing counts as sent and the encoder can go on.
   */
  encode(fields: readonly HeaderField[], into: Buffer, at: number): number {
    if (into.length - at < HpackEncoder.bound(fields)) {
      throw new RangeError(`a header block of up to ${HpackEncoder.bound(fields)} bytes does not fit`);
    }
    let offset = this.announceSize(into, at);
    for (let index = 0; index < fields.length; index++) {
      const field = fields[index]!;
      offset = this.field(field, into, offset);
      if (offset < 0) {
        // The peer will not see this block, but the table already holds fields of it: start afresh.
        this.table.resize(0);
        this.smallestBytes = 0;
        this.restart = true;
        throw new TypeError(`header field ${field[0]} holds a character above U+00FF`);
      }
    }
    return offset;
  }

  /** Size updates due since the last block: the smallest in between, then the last (section 4.2). */
  private announceSize(into: Buffer, at: number): number {
    const wanted = this.wantedBytes;
    const smallest = this.smallestBytes;
    let offset = at;
    if (this.restart || (smallest < wanted && smallest < this.table.maxSizeBytes)) {
      offset = this.resize(smallest, into, offset);
    }
    if (wanted !== this.table.maxSizeBytes) offset = this.resize(wanted, into, offset);
    this.smallestBytes = wanted;
    this.restart = false;
    return offset;
  }

  private resize(bytes: number, into: Buffer, at: number): number {
    this.table.resize(bytes);
    return writeInteger(0x20, 0x1f, bytes, into, at);
  }

  /** Writes one field; -1 when it holds a character that is not an octet. */
  private field(field: HeaderField, into: Buffer, at: number): number {
    const [name, value] = field;
    const known = this.names.get(name) ?? this.know(name);
    const index = known.staticValues?.get(value) ?? this.dynamicIndex(known.values.get(value));
    if (index > 0) return writeInteger(0x80, 0x7f, index, into, at);

    const nameIndex = known.staticIndex > 0 ? known.staticIndex : this.dynamicIndex(known.newest);
    // A field that would push out most of the table is not worth its place.
    const indexing = known.stable && fieldBytes(name, value) * 2 <= this.table.maxSizeBytes;
    let offset = indexing
      ? writeInteger(0x40, 0x3f, nameIndex, into, at)
      : writeInteger(known.secret ? 0x10 : 0, 0x0f, nameIndex, into, at);
    if (nameIndex === 0) offset = writeString(name, into, offset);
    if (offset >= 0) offset = writeString(value, into, offset);
    if (indexing && offset >= 0) {
      const number = this.table.nextNumber;
      this.table.add(field);
      known.values.set(value, number);
      known.newest = number;
    }
    return offset;
  }

  /** Index on the wire of a field by its number in the dynamic table; 0 for none. */
  private dynamicIndex(number: number | undefined): number {
    return number === undefined || number < 0 ? 0 : staticTable.length + this.table.nextNumber - number;
  }

  private know(name: string): KnownName {
    const staticValues = staticNames.get(name);
    const known: KnownName = {
      stable: stableNames.has(name),
      secret: secretNames.has(name),
      staticIndex: staticValues === undefined ? 0 : Math.min(...staticValues.values()),
      staticValues,
      newest: -1,
      values: new Map(),
    };
    if (this.names.size < namesLimit || known.stable) this.names.set(name, known);
    return known;
  }

  private forget(field: HeaderField, number: number): void {
    const known = this.names.get(field[0]);
    if (known === undefined) throw new Error(`a field ${field[0]} was in the table and is not known`);
    if (known.values.get(field[1]) === number) known.values.delete(field[1]);
    if (known.newest === number) known.newest = -1;
  }
}

/** Writes an integer after the bits of `kind`, its prefix being the bits of `mask` (section 5.1). */
function writeInteger(kind: number, mask: number, value: number, into: Buffer, at: number): number {
  let offset = at;
  if (value < mask) {
    into[offset++] = kind | value;
    return offset;
  }
  into[offset++] = kind | mask;
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) into[offset++] = (rest & 127) | 128;
  into[offset++] = rest;
  return offset;
}

/** Writes a string literal in its shorter form; -1 when a character is above U+00FF. */
function writeString(text: string, into: Buffer, at: number): number {
  const huffmanBytes = huffmanEncodedBytes(text);
  if (huffmanBytes < 0) return -1;
  if (huffmanBytes < text.length) {
    return huffmanEncode(text, into, writeInteger(0x80, 0x7f, huffmanBytes, into, at));
  }
  let offset = writeInteger(0, 0x7f, text.length, into, at);
  // For short strings the loop is cheaper than the call into the runtime.
  if (text.length > 64) return offset + into.write(text, offset, text.length, "latin1");
  for (let index = 0; index < text.length; index++) into[offset++] = text.charCodeAt(index);
  return offset;
}
