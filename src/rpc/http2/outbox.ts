// Messages of one stream that wait for flow control or for the socket, in order. They are kept by
// reference and copied, with their five-byte gRPC prefix, only into the frames that carry them. Bytes
// that are no message (the body of a plain HTTP answer) go without a prefix.

const prefixBytes = 5;
const bare = 2;

export class Outbox {
  private messages: Uint8Array[] = [];
  /** The compressed flag of each message, or that it has no prefix at all. */
  private flags: (0 | 1 | typeof bare)[] = [];
  private first = 0;
  /** Bytes of the first message, prefix included, that were already copied out. */
  private offset = 0;
  /** Bytes waiting, prefixes included. */
  bytes = 0;

  push(message: Uint8Array, compressed: boolean): void {
    this.messages.push(message);
    this.flags.push(compressed ? 1 : 0);
    this.bytes += message.length + prefixBytes;
  }

  pushBytes(bytes: Uint8Array): void {
    if (this.messages.length === 0) this.offset = prefixBytes;
    this.messages.push(bytes);
    this.flags.push(bare);
    this.bytes += bytes.length;
  }

  /** Copies the next `count` bytes (at most `bytes`) to into[at]. */
  copy(into: Buffer, at: number, count: number): void {
    let to = at;
    const end = at + count;
    while (to < end) {
      const message = this.messages[this.first]!;
      const flag = this.flags[this.first]!;
      while (this.offset < prefixBytes && to < end)
        into[to++] = prefixByte(flag, message.length, this.offset++);
      const from = this.offset - prefixBytes;
      const take = Math.min(message.length - from, end - to);
      if (this.offset < prefixBytes) break;
      into.set(take === message.length ? message : message.subarray(from, from + take), to);
      to += take;
      this.offset += take;
      if (this.offset === message.length + prefixBytes) this.next();
    }
    this.bytes -= count;
  }

  private next(): void {
    this.first++;
    this.offset = this.flags[this.first] === bare ? prefixBytes : 0;
    if (this.first === this.messages.length) {
      this.messages.length = 0;
      this.flags.length = 0;
      this.first = 0;
    } else if (this.first >= 64 && this.first * 2 >= this.messages.length) {
      this.messages.splice(0, this.first);
      this.flags.splice(0, this.first);
      this.first = 0;
    }
  }
}

function prefixByte(flag: number, length: number, index: number): number {
  return index === 0 ? flag : (length >>> ((4 - index) * 8)) & 0xff;
}
