import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { varintBytes, WireError, WireReader, WireWriter } from "./wire.js";

const safe = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

test("a safe integer written as a varint is read back and has the announced length", () => {
  fc.assert(
    fc.property(safe, (value) => {
      const bytes = new WireWriter(16).varint(value).finish();
      assert.equal(bytes.length, varintBytes(value));
      assert.equal(new WireReader(bytes).varint(), value);
    }),
  );
});

test("an int64 written as bigint is read back, negative ones too", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      const reader = new WireReader(new WireWriter().int64(1, value).finish());
      if (value === 0n) return assert.equal(reader.done, true);
      assert.equal(reader.tag(), 8);
      assert.equal(reader.int64(), value);
    }),
  );
});

test("a varint above 2^53 - 1 is refused where a safe integer is expected", () => {
  const bytes = new WireWriter().int64(1, 2n ** 53n).finish();
  const reader = new WireReader(bytes);
  reader.tag();
  assert.throws(() => reader.varint(), WireError);
});

test("garbage bytes are read or refused with WireError, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const reader = new WireReader(bytes);
      try {
        while (!reader.done) reader.skip(reader.tag());
      } catch (error) {
        assert.ok(error instanceof WireError);
      }
    }),
  );
});
