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

const int64Edges = [
  0n,
  1n,
  -1n,
  2n ** 53n - 1n,
  2n ** 53n,
  -(2n ** 53n),
  2n ** 56n,
  -(2n ** 56n),
  -(2n ** 63n),
];
const anyInt64 = fc.oneof(
  fc.constantFrom(...int64Edges),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
);

/** The value alone, as a ten-byte varint where needed. */
const varintOf = (value: bigint): Uint8Array =>
  value === 0n ? Uint8Array.of(0) : new WireWriter().int64(1, value).finish().subarray(1);

test("an int64 read as a clamped number is the nearest safe integer", () => {
  fc.assert(
    fc.property(anyInt64, (value) => {
      const limit = BigInt(Number.MAX_SAFE_INTEGER);
      const nearest = value > limit ? limit : value < -limit ? -limit : value;
      assert.equal(new WireReader(varintOf(value)).int64Clamped(), Number(nearest));
    }),
  );
});

test("an int32 is the low half of a varint, and a bool is true for any varint but 0", () => {
  fc.assert(
    fc.property(anyInt64, (value) => {
      assert.equal(new WireReader(varintOf(value)).int32(), Number(BigInt.asIntN(32, value)));
      assert.equal(new WireReader(varintOf(value)).bool(), value !== 0n);
    }),
  );
});

test("an unknown group is skipped as a whole, and one that ends otherwise is refused", () => {
  const group = Uint8Array.of(0x0b, 0x10, 0x01, 0x13, 0x14, 0x0c, 0x18, 0x05);
  const reader = new WireReader(group);
  reader.skip(reader.tag());
  assert.equal(reader.tag(), 0x18);
  const crossed = new WireReader(Uint8Array.of(0x0b, 0x13, 0x0c));
  assert.throws(() => crossed.skip(crossed.tag()), WireError);
});
