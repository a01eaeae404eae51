// The Huffman code of HPACK (RFC 7541, appendix B). The code is canonical, so the table of code
// lengths is all there is to know; codes and the decoder's state machine are derived from it once.
// Decoding takes four bits a step through a 16 KiB table and allocates nothing.

/** Bits of the code of each octet, and last of EOS (256). */
// biome-ignore format: sixteen octets a line
export const huffmanCodeBits = Uint8Array.of(
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
);

const endOfString = 256;

/** Codes, right aligned: shorter first, among equals by octet. */
export const huffmanCodes: Uint32Array = canonicalCodes(huffmanCodeBits);

function canonicalCodes(bits: Uint8Array): Uint32Array {
  const codes = new Uint32Array(bits.length);
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    for (let symbol = 0; symbol < bits.length; symbol++) {
      if (bits[symbol] === length) codes[symbol] = code++;
    }
    code *= 2;
  }
  // A complete prefix code ends with all ones, which is EOS.
  if (codes[endOfString] !== 2 ** 30 - 1) throw new Error("the Huffman table is damaged");
  return codes;
}

// A step is state * 16 + nibble. Its entry holds the next state (bits 0-7), the decoded octet
// (bits 8-15) and these flags. A state is an inner node of the code tree; there are 256 of them.
const emits = 1 << 16;
const fails = 1 << 17;

const { steps, accepting } = stateMachine();

function stateMachine(): { steps: Uint32Array; accepting: Uint8Array } {
  // Children of inner node n are tree[2n] and tree[2n + 1]: an inner node, or -1 - symbol.
  const tree = new Int32Array(512);
  let nodes = 1;
  for (let symbol = 0; symbol <= endOfString; symbol++) {
    let node = 0;
    for (let bit = huffmanCodeBits[symbol]! - 1; bit > 0; bit--) {
      const branch = node * 2 + ((huffmanCodes[symbol]! >>> bit) & 1);
      if (tree[branch] === 0) tree[branch] = nodes++;
      node = tree[branch]!;
    }
    tree[node * 2 + (huffmanCodes[symbol]! & 1)] = -1 - symbol;
  }
  const steps = new Uint32Array(256 * 16);
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) steps[state * 16 + nibble] = step(tree, state, nibble);
  }
  // What is left after the last symbol must be fewer than eight ones (RFC 7541, section 5.2).
  const accepting = new Uint8Array(256);
  for (let node = 0, depth = 0; depth < 8; depth++, node = tree[node * 2 + 1]!) accepting[node] = 1;
  return { steps, accepting };
}

function step(tree: Int32Array, state: number, nibble: number): number {
  let node = state;
  let entry = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = tree[node * 2 + ((nibble >>> bit) & 1)]!;
    if (next >= 0) {
      node = next;
    } else {
      if (next === -1 - endOfString) return fails;
      // Codes have five bits or more, so a nibble completes at most one.
      entry = emits | ((-1 - next) << 8);
      node = 0;
    }
  }
  return entry | node;
}

/** The most octets that `encodedBytes` can stand for: the shortest code has five bits. */
export function huffmanDecodedBound(encodedBytes: number): number {
  return Math.floor((encodedBytes * 8) / 5);
}

/**
 * Decodes [start, end) to the beginning of `into`, which has room for huffmanDecodedBound octets.
 * Returns the number of octets, or -1 for EOS inside the string or wrong padding.
 */
export function huffmanDecode(block: Uint8Array, start: number, end: number, into: Uint8Array): number {
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = block[at]!;
    let entry = steps[state * 16 + (byte >>> 4)]!;
    if (entry >= emits) {
      if (entry >= fails) return -1;
      into[length++] = (entry >>> 8) & 255;
    }
    entry = steps[(entry & 255) * 16 + (byte & 15)]!;
    if (entry >= emits) {
      if (entry >= fails) return -1;
      into[length++] = (entry >>> 8) & 255;
    }
    state = entry & 255;
  }
  return accepting[state] === 1 ? length : -1;
}

/** Bytes of the Huffman form, or -1 when a character is above U+00FF. */
export function huffmanEncodedBytes(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 255) return -1;
    bits += huffmanCodeBits[code]!;
  }
  return (bits + 7) >>> 3;
}

/** Writes the Huffman form at `at`, padded with ones; returns the offset after it. */
export function huffmanEncode(text: string, into: Uint8Array, at: number): number {
  let offset = at;
  // At most seven bits wait between codes; codes above sixteen bits go in two parts to stay in 32 bits.
  let pending = 0;
  let pendingBits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index);
    let code = huffmanCodes[symbol]!;
    let bits = huffmanCodeBits[symbol]!;
    if (bits > 16) {
      bits -= 16;
      pending = (pending << bits) | (code >>> 16);
      pendingBits += bits;
      while (pendingBits >= 8) {
        pendingBits -= 8;
        into[offset++] = pending >>> pendingBits;
      }
      code &= 0xffff;
      bits = 16;
    }
    pending = (pending << bits) | code;
    pendingBits += bits;
    while (pendingBits >= 8) {
      pendingBits -= 8;
      into[offset++] = pending >>> pendingBits;
    }
  }
  if (pendingBits > 0) into[offset++] = (pending << (8 - pendingBits)) | (255 >>> pendingBits);
  return offset;
}
