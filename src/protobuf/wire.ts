// A minimal protobuf writer and reader for the few messages that are on the hot path. Varints are
// safe integers, never BigInt. Every codec built on it is checked against @bufbuild/protobuf by a
// property test. Source: the protobuf encoding document (wire types 0, 1, 2, 5).

const maxSafe = Number.MAX_SAFE_INTEGER;
const slabBytes = 4096;
const exhausted = Buffer.alloc(0);

/** A malformed message, or an integer above 2^53 - 1 where only safe ones are allowed. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** Number of bytes of a varint; `value` is a safe integer, not negative. */
export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

/** Writes into a buffer that grows as needed; `finish` hands out a copy-free view and starts anew. */
export class WireWriter {
  private buffer: Buffer;
  private at = 0;

  constructor(initialBytes = slabBytes) {
    this.buffer = Buffer.allocUnsafe(initialBytes);
  }

  get length(): number {
    return this.at;
  }

  /** Makes room for `bytes` more at once: for messages whose size is known beforehand. */
  reserve(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.at + bytes, slabBytes));
    this.buffer.copy(grown, 0, 0, this.at);
    this.buffer = grown;
  }

  /** A bare varint of a safe integer, not negative. */
  varint(value: number): this {
    this.reserve(10);
    const buffer = this.buffer;
    let at = this.at;
    let rest = value;
    while (rest >= 0x80000000) {
      buffer[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 128) {
      buffer[at++] = (rest & 127) | 0x80;
      rest >>>= 7;
    }
    buffer[at++] = rest;
    this.at = at;
    return this;
  }

  /** A varint field; 0 is left out, as proto3 does. */
  uint(field: number, value: number): this {
    return value === 0 ? this : this.varint(field * 8).varint(value);
  }

  /** A 64-bit varint field given as bigint (int64 two's complement or uint64); 0 is left out. */
  int64(field: number, value: bigint): this {
    if (value === 0n) return this;
    this.varint(field * 8);
    this.reserve(10);
    let rest = BigInt.asUintN(64, value);
    while (rest >= 128n) {
      this.buffer[this.at++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.buffer[this.at++] = Number(rest);
    return this;
  }

  bool(field: number, value: boolean): this {
    return value ? this.varint(field * 8).varint(1) : this;
  }

  /** A length-delimited field; empty is left out unless `always`. */
  bytes(field: number, value: Uint8Array, always = false): this {
    if (value.length === 0 && !always) return this;
    return this.varint(field * 8 + 2)
      .varint(value.length)
      .raw(value);
  }

  string(field: number, value: string): this {
    return value === "" ? this : this.bytes(field, Buffer.from(value, "utf8"));
  }

  /**
   * Begins a sub-message whose length is not known yet: five bytes are kept for it, so that nothing has
   * to be copied later. Returns what end() wants. Decoders take a length padded like this as any other.
   */
  begin(field: number): number {
    this.varint(field * 8 + 2);
    this.reserve(5);
    this.at += 5;
    return this.at;
  }

  /** Ends the sub-message begun at `start`: at most 2^32 - 1 bytes. */
  end(start: number): this {
    let length = this.at - start;
    for (let at = start - 5; at < start - 1; at++) {
      this.buffer[at] = (length & 127) | 128;
      length = Math.floor(length / 128);
    }
    this.buffer[start - 1] = length;
    return this;
  }

  /** Tag and length of a sub-message of `length` bytes that is written next. */
  header(field: number, length: number): this {
    return this.varint(field * 8 + 2).varint(length);
  }

  raw(value: Uint8Array): this {
    this.reserve(value.length);
    this.buffer.set(value, this.at);
    this.at += value.length;
    return this;
  }

  /** What was written, as a view nobody else will overwrite; the writer is empty afterwards. */
  finish(): Uint8Array {
    const view = this.buffer.subarray(0, this.at);
    this.buffer = this.buffer.subarray(this.at);
    this.at = 0;
    // Too little left to be of use: the next write allocates, if there is one.
    if (this.buffer.length < 256) this.buffer = exhausted;
    return view;
  }
}

/** Reads one message; views returned by bytes() share the input's memory. */
export class WireReader {
  private at: number;

  constructor(
    private readonly buffer: Uint8Array,
    start = 0,
    private readonly limit = buffer.length,
  ) {
    this.at = start;
  }

  get done(): boolean {
    return this.at >= this.limit;
  }

  get position(): number {
    return this.at;
  }

  /** A varint that must be a safe integer. */
  varint(): number {
    const buffer = this.buffer;
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      if (this.at >= this.limit) throw new WireError("varint runs past the end of the message");
      const byte = buffer[this.at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value > maxSafe) throw new WireError("integer above 2^53 - 1");
        return value;
      }
      scale *= 128;
    }
    throw new WireError("varint longer than ten bytes");
  }

  /** A 64-bit varint as a signed bigint (int64). */
  int64(): bigint {
    // Two halves as numbers first: a BigInt operation per byte would cost a microsecond.
    let low = 0;
    let high = 0;
    for (let count = 0; count < 10; count++) {
      if (this.at >= this.limit) throw new WireError("varint runs past the end of the message");
      const byte = this.buffer[this.at++]!;
      const bits = byte & 127;
      if (count < 4) low |= bits << (7 * count);
      else if (count === 4) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * count - 32);
      if (byte < 128) {
        if (high === 0) return BigInt(low >>> 0);
        return (BigInt(high | 0) << 32n) | BigInt(low >>> 0);
      }
    }
    throw new WireError("varint longer than ten bytes");
  }

  /**
   * A 64-bit varint as a signed number. What no safe integer can hold becomes the nearest one that
   * can: for revisions and counts, which never get that far, comparisons come out the same.
   */
  int64Clamped(): number {
    let low = 0;
    let middle = 0;
    let top = 0;
    for (let count = 0; count < 10; count++) {
      if (this.at >= this.limit) throw new WireError("varint runs past the end of the message");
      const byte = this.buffer[this.at++]!;
      const bits = byte & 127;
      if (count < 4) low |= bits << (7 * count);
      else if (count < 8) middle |= bits << (7 * count - 28);
      else top |= bits << (7 * count - 56);
      if (byte < 128) {
        top &= 255;
        if (top < 128) return top === 0 ? Math.min(middle * 0x10000000 + low, maxSafe) : maxSafe;
        if (top < 255) return -maxSafe;
        return -Math.min((0xfffffff - middle) * 0x10000000 + (0xfffffff - low) + 1, maxSafe);
      }
    }
    throw new WireError("varint longer than ten bytes");
  }

  /** A varint cut to its low 32 bits and signed: int32 and enum fields. */
  int32(): number {
    let value = 0;
    for (let count = 0; count < 10; count++) {
      if (this.at >= this.limit) throw new WireError("varint runs past the end of the message");
      const byte = this.buffer[this.at++]!;
      if (count < 5) value |= (byte & 127) << (7 * count);
      if (byte < 128) return value;
    }
    throw new WireError("varint longer than ten bytes");
  }

  /** A bool field: any varint but 0 is true. */
  bool(): boolean {
    return this.int64Clamped() !== 0;
  }

  /** Field number and wire type of the next field, as number * 8 + type. */
  tag(): number {
    const tag = this.varint();
    if (tag < 8 || tag > 0xffffffff) throw new WireError("invalid field number");
    return tag;
  }

  bytes(): Uint8Array {
    const length = this.varint();
    const start = this.at;
    if (length > this.limit - start) throw new WireError("field runs past the end of the message");
    this.at = start + length;
    return this.buffer.subarray(start, this.at);
  }

  string(): string {
    const bytes = this.bytes();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  }

  /** Skips the value of a field that is not known, groups included. */
  skip(tag: number): void {
    const groups: number[] = [];
    for (let current = tag; ; current = this.tag()) {
      const type = current & 7;
      if (type === 0) this.int64Clamped();
      else if (type === 2) this.bytes();
      else if (type === 1 || type === 5) {
        this.at += type === 1 ? 8 : 4;
        if (this.at > this.limit) throw new WireError("field runs past the end of the message");
      } else if (type === 3) groups.push(current >>> 3);
      else if (type === 4) {
        if (groups.pop() !== current >>> 3) throw new WireError("end of a group that was not begun");
      } else throw new WireError(`wire type ${type} is not supported`);
      if (groups.length === 0) return;
    }
  }
}
