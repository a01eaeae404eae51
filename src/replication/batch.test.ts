import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WireError } from "../protobuf/wire.js";
import { decodeCommands, decodeOrigin, encodeBatch } from "./batch.js";

test("a batch gives back its origin and its commands", () => {
  const safe = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(
      safe,
      safe,
      safe,
      fc.array(fc.uint8Array({ maxLength: 300 })),
      (node, incarnation, sequence, commands) => {
        const payload = encodeBatch({ node, incarnation, sequence }, commands);
        assert.deepEqual(decodeOrigin(payload), { node, incarnation, sequence });
        assert.deepEqual(
          decodeCommands(payload).map((command) => [...command]),
          commands.map((command) => [...command]),
        );
      },
    ),
  );
});

test("a payload that is not a batch is refused with WireError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (payload) => {
      try {
        decodeOrigin(payload);
        decodeCommands(payload);
      } catch (error) {
        assert.ok(error instanceof WireError);
      }
    }),
  );
});
