import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RpcError, Status } from "../call.js";
import { prefixed } from "../testing/raw-peer.js";
import { MessageReader } from "./message-reader.js";

function failure(run: () => void): [Status, string] {
  try {
    run();
  } catch (error) {
    if (error instanceof RpcError) return [error.code, error.message];
    throw error;
  }
  throw new assert.AssertionError({ message: "nothing was thrown" });
}

test("any split of the bytes gives the same messages, also when the reader is stopped after each", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 10 }),
      fc.boolean(),
      (messages, sizes, stopping) => {
        const bytes = Buffer.concat(messages.map((message) => prefixed(message)));
        const got: string[] = [];
        const sink = {
          takeMessage: (message: Uint8Array): boolean => {
            got.push(Buffer.from(message).toString("hex"));
            return !stopping;
          },
        };
        const reader = new MessageReader(1000, undefined);
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const end = Math.min(bytes.length, at + sizes[turn % sizes.length]!);
          while (at < end) at = reader.push(bytes, at, end, sink);
        }
        assert.deepEqual(
          got,
          messages.map((message) => Buffer.from(message).toString("hex")),
        );
        assert.equal(reader.atBoundary, true);
      },
    ),
  );
});

test("memory grows with what arrived, not with what was announced", () => {
  const reader = new MessageReader(0xffffffff, undefined);
  const start = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3]);
  reader.push(start, 0, start.length, { takeMessage: () => true });
  assert.equal(reader.partialBytes, 3);
  assert.equal(reader.atBoundary, false);
});

test("faults of the prefix end in the status and text grpc-go has", () => {
  const push = (encoding: string | undefined, bytes: Buffer) => () =>
    void new MessageReader(10, encoding).push(bytes, 0, bytes.length, { takeMessage: () => true });
  assert.deepEqual(failure(push(undefined, prefixed(Buffer.alloc(11)))), [
    Status.RESOURCE_EXHAUSTED,
    "grpc: received message larger than max (11 vs. 10)",
  ]);
  assert.deepEqual(failure(push(undefined, prefixed(Buffer.alloc(1), 1))), [
    Status.INTERNAL,
    "grpc: compressed flag set with identity or empty encoding",
  ]);
  assert.deepEqual(failure(push("zstd", prefixed(Buffer.alloc(1), 1))), [
    Status.INTERNAL,
    'grpc: Decompressor is not installed for grpc-encoding "zstd"',
  ]);
  assert.equal(failure(push(undefined, prefixed(Buffer.alloc(1), 7)))[0], Status.INTERNAL);
});
