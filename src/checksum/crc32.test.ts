import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { crc32, crc32ByTable } from "./crc32.js";

test("the check value of CRC-32 is cbf43926", () => {
  assert.equal(crc32(Buffer.from("123456789")), 0xcbf43926);
  assert.equal(crc32ByTable(Buffer.from("123456789")), 0xcbf43926);
});

test("a CRC continued over two pieces is the CRC of the whole", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (first, second) => {
      const whole = Buffer.concat([first, second]);
      assert.equal(crc32(second, crc32(first)), crc32ByTable(whole));
      assert.equal(crc32ByTable(second, crc32ByTable(first)), crc32(whole));
    }),
  );
});
