import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type HeaderField, HpackDecoder } from "../hpack/decoder.js";
import { HpackEncoder } from "../hpack/encoder.js";
import { changesTable, HeaderBlocks } from "./header-blocks.js";

function encoded(encoder: HpackEncoder, fields: readonly HeaderField[]): Buffer {
  const buffer = Buffer.alloc(HpackEncoder.bound(fields));
  return buffer.subarray(0, encoder.encode(fields, buffer, 0));
}

test("remembering blocks gives what decoding each anew gives, whatever enters and leaves the table", () => {
  const field = fc.constantFrom<HeaderField>(
    [":method", "POST"],
    [":path", "/a/b"],
    [":path", "/a/c"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ["user-agent", "one"],
    ["user-agent", "two"],
    ["x-own", "value"],
    ["token", "secret"],
  );
  const step = fc.record({
    fields: fc.array(field, { maxLength: 5 }),
    table: fc.constantFrom(-1, -1, -1, 0, 90, 4096),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const encoder = new HpackEncoder();
      const plain = new HpackDecoder();
      const remembering = new HeaderBlocks(new HpackDecoder(), (fields) => fields);
      for (const { fields, table } of steps) {
        if (table >= 0) encoder.setPeerMaxTableBytes(table);
        const block = encoded(encoder, fields);
        const expected = plain.decode(block);
        assert.deepEqual(remembering.decode(block, 0, block.length), expected);
        assert.deepEqual(expected, fields);
      }
    }),
  );
});

test("a block that came before is not parsed again", () => {
  let parsed = 0;
  const blocks = new HeaderBlocks(new HpackDecoder(), () => ++parsed);
  const block = Buffer.from([0x82, 0x86]);
  assert.equal(blocks.decode(block, 0, 2), 1);
  assert.equal(blocks.decode(Buffer.from([9, 0x82, 0x86]), 1, 3), 1);
  blocks.forget();
  assert.equal(blocks.decode(block, 0, 2), 2);
});

test("only blocks without insertions and size updates leave the table alone", () => {
  const check = (...bytes: number[]): boolean => changesTable(Uint8Array.from(bytes), 0, bytes.length);
  assert.equal(check(), false);
  assert.equal(check(0x82, 0xff, 0x01), false);
  assert.equal(check(0x00, 0x01, 0x61, 0x01, 0x62), false);
  assert.equal(check(0x10, 0x01, 0x61, 0x01, 0x62), false);
  assert.equal(check(0x0f, 0x10, 0x00), false);
  assert.equal(check(0x82, 0x40, 0x01, 0x61, 0x01, 0x62), true);
  assert.equal(check(0x20), true);
  assert.equal(check(0x00, 0x05, 0x61), true, "a cut block is not trusted");
});
