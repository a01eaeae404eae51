import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fragments } from "./fragments.js";

test("a response is cut into pieces below the limit, in order, and only when it must be", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 20, max: 40 }),
      fc.integer({ min: 50, max: 200 }),
      (all, base, limit) => {
        const events = all.map((size, at) => new Uint8Array(size).fill(at));
        const pieces = fragments(events, base, limit);
        assert.deepEqual(
          pieces.flatMap((piece) => piece.events),
          events,
        );
        assert.deepEqual(
          pieces.map(({ last }) => last),
          pieces.map((_, at) => at === pieces.length - 1),
        );
        const bytes = (piece: readonly Uint8Array[]): number =>
          piece.reduce((sum, { length }) => sum + length, base);
        if (bytes(events) < limit) assert.equal(pieces.length, 1);
        for (const [at, piece] of pieces.entries()) {
          assert.ok(piece.events.length === 1 || bytes(piece.events) < limit);
          const following = pieces[at + 1]?.events[0];
          if (following !== undefined) assert.ok(bytes([...piece.events, following]) + 2 >= limit);
        }
      },
    ),
  );
});
