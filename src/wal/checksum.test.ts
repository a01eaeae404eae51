import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { crc32, crc32ByTable } from "./checksum.js";

describe("CRC-32", () => {
  test("the check value of the polynomial comes out", () => {
    const bytes = Buffer.from("123456789");
    assert.equal(crc32(bytes), 0xcbf43926);
    assert.equal(crc32ByTable(bytes), 0xcbf43926);
  });

  test("the table and the native one agree, also when continued", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, cut) => {
        const whole = crc32(bytes);
        assert.equal(crc32ByTable(bytes), whole);
        assert.equal(crc32ByTable(bytes.subarray(cut), crc32(bytes.subarray(0, cut))), whole);
        assert.equal(crc32(bytes.subarray(cut), crc32ByTable(bytes.subarray(0, cut))), whole);
      }),
    );
  });
});
