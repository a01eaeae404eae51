import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  huffmanCodeBits,
  huffmanCodes,
  huffmanDecode,
  huffmanDecodedBound,
  huffmanEncode,
  huffmanEncodedBytes,
} from "./huffman.js";

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

function decode(encoded: Uint8Array): string | undefined {
  const into = Buffer.alloc(huffmanDecodedBound(encoded.length));
  const length = huffmanDecode(encoded, 0, encoded.length, into);
  return length < 0 ? undefined : into.toString("latin1", 0, length);
}

/** The plain version: bit by bit, looking every prefix up in the code table. */
function decodePlainly(encoded: Uint8Array): string | undefined {
  const symbols = new Map<string, number>();
  for (const [symbol, code] of huffmanCodes.entries()) {
    symbols.set(code.toString(2).padStart(huffmanCodeBits[symbol]!, "0"), symbol);
  }
  let text = "";
  let prefix = "";
  for (const bit of [...encoded].map((byte) => byte.toString(2).padStart(8, "0")).join("")) {
    prefix += bit;
    const symbol = symbols.get(prefix);
    if (symbol === undefined) continue;
    if (symbol === 256) return undefined;
    text += String.fromCharCode(symbol);
    prefix = "";
  }
  return prefix.length < 8 && !prefix.includes("0") ? text : undefined;
}

test("the code is the one of RFC 7541, appendix B", () => {
  const samples = [
    [0, 0x1ff8],
    [1, 0x7fffd8],
    [10, 0x3ffffffc],
    [32, 0x14],
    [48, 0],
    [65, 0x21],
    [92, 0x7fff0],
    [122, 0x7b],
    [127, 0xffffffc],
    [128, 0xfffe6],
    [160, 0x3fffda],
    [199, 0x1ffffec],
    [255, 0x3ffffee],
    [256, 0x3fffffff],
  ] as const;
  for (const [symbol, code] of samples) assert.equal(huffmanCodes[symbol], code, `symbol ${symbol}`);
});

test("any octets encoded are decoded again and have the announced length", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = latin1(bytes);
      const encoded = Buffer.alloc(huffmanEncodedBytes(text) + 8, 0xaa);
      const end = huffmanEncode(text, encoded, 3);
      assert.equal(end - 3, huffmanEncodedBytes(text));
      assert.equal(encoded[end], 0xaa, "nothing is written behind the end");
      assert.equal(decode(encoded.subarray(3, end)), text);
    }),
  );
});

test("the state machine agrees with decoding bit by bit on any input", () => {
  const likely = fc.oneof(fc.constantFrom(0xff, 0xfe, 0xf8, 0x00, 0x1f), fc.nat(255));
  fc.assert(
    fc.property(fc.array(likely, { maxLength: 12 }), (bytes) => {
      const encoded = Uint8Array.from(bytes);
      assert.equal(decode(encoded), decodePlainly(encoded));
    }),
    { numRuns: 2000 },
  );
});

test("eight bits of padding, padding with zeros and EOS are refused", () => {
  // "a" is 00011.
  assert.equal(decode(Uint8Array.of(0b00011_111)), "a");
  assert.equal(decode(Uint8Array.of(0b00011_110)), undefined);
  assert.equal(decode(Uint8Array.of(0b00011_111, 0xff)), undefined);
  assert.equal(decode(Uint8Array.of(0xff)), undefined);
  assert.equal(decode(Uint8Array.of(0xff, 0xff, 0xff, 0xff)), undefined);
});

test("a character above U+00FF has no Huffman form", () => {
  assert.equal(huffmanEncodedBytes("caf\u00e9"), 5);
  assert.equal(huffmanEncodedBytes("\u0100"), -1);
});
