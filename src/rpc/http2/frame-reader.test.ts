import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FrameReader } from "./frame-reader.js";
import { ConnectionError, ErrorCode, frame } from "./frames.js";

interface Seen {
  type: number;
  flags: number;
  id: number;
  payload: string;
}

function read(chunks: readonly Buffer[], maxFrameBytes = 16_384): Seen[] {
  const seen: Seen[] = [];
  const reader = new FrameReader(
    {
      frame: (type, flags, id, buffer, start, end) => {
        seen.push({ type, flags, id, payload: buffer.toString("hex", start, end) });
        return true;
      },
    },
    maxFrameBytes,
  );
  for (const chunk of chunks) reader.push(chunk);
  return seen;
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index]!, end));
}

test("any split of the bytes gives the same frames", () => {
  const anyFrame = fc.record({
    type: fc.integer({ min: 0, max: 255 }),
    flags: fc.integer({ min: 0, max: 255 }),
    id: fc.integer({ min: 0, max: 0x7fffffff }),
    payload: fc.uint8Array({ maxLength: 60 }),
  });
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 30 }),
      (frames, cuts) => {
        const bytes = Buffer.concat(frames.map((one) => frame(one.type, one.flags, one.id, one.payload)));
        const expected = frames.map((one) => ({ ...one, payload: Buffer.from(one.payload).toString("hex") }));
        assert.deepEqual(read([bytes]), expected);
        assert.deepEqual(read(split(bytes, cuts)), expected);
      },
    ),
  );
});

test("a frame one byte at a time arrives once, whole", () => {
  const bytes = frame(0, 1, 3, Buffer.from("abcdef"));
  const chunks = [...bytes].map((byte) => Buffer.from([byte]));
  assert.deepEqual(read(chunks), [{ type: 0, flags: 1, id: 3, payload: "616263646566" }]);
});

test("the reserved bit of the stream id is ignored (RFC 9113 section 4.1)", () => {
  const bytes = frame(0, 0, 5);
  bytes[5] = bytes[5]! | 0x80;
  assert.equal(read([bytes])[0]?.id, 5);
});

test("a frame above the limit is refused by its header alone, in one chunk or two", () => {
  const bytes = frame(0, 0, 1, Buffer.alloc(20_000));
  const refused = (error: unknown): boolean =>
    error instanceof ConnectionError && error.code === ErrorCode.FRAME_SIZE_ERROR;
  assert.throws(() => read([bytes.subarray(0, 9)]), refused);
  assert.throws(() => read([bytes.subarray(0, 4), bytes.subarray(4, 9)]), refused);
});

test("a sink that answers false is given nothing more", () => {
  let count = 0;
  const reader = new FrameReader({ frame: () => ++count < 2 }, 16_384);
  reader.push(Buffer.concat([frame(0, 0, 1), frame(0, 0, 1), frame(0, 0, 1)]));
  assert.equal(count, 2);
});
