import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ByteMap } from "./byte-map.js";

describe("map of byte strings", () => {
  test("behaves as a Map of strings does", () => {
    const key = fc.uint8Array({ minLength: 0, maxLength: 3 });
    fc.assert(
      fc.property(fc.array(fc.tuple(key, fc.nat()), { maxLength: 2000, size: "max" }), key, (puts, probe) => {
        const plain = new Map<string, number>();
        const map = new ByteMap<number>();
        for (const [bytes, value] of puts) {
          plain.set(Buffer.from(bytes).toString("latin1"), value);
          map.set(bytes, value);
        }
        assert.equal(map.size, plain.size);
        for (const [bytes] of puts)
          assert.equal(map.get(bytes), plain.get(Buffer.from(bytes).toString("latin1")));
        assert.equal(map.get(probe), plain.get(Buffer.from(probe).toString("latin1")));
      }),
      { numRuns: 50 },
    );
  });
});
