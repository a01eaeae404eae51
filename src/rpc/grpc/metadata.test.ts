import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeMessage,
  encodeMessage,
  fieldsOf,
  formatTimeout,
  MetadataError,
  metadataOf,
  parseTimeout,
} from "./metadata.js";

test("a status message survives percent-encoding, and only printable ASCII is on the wire", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (message) => {
      const encoded = encodeMessage(message);
      assert.match(encoded, /^[\x20-\x7e]*$/);
      assert.equal(decodeMessage(encoded), message);
    }),
  );
});

test("what is no valid escape stays as it is", () => {
  assert.equal(decodeMessage("100% sure %zz %4"), "100% sure %zz %4");
  assert.equal(encodeMessage("50%"), "50%25");
});

test("binary metadata survives base64, with and without padding", () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const [field] = fieldsOf([["trace-bin", bytes]]);
      assert.deepEqual(metadataOf([field!])[0]?.[1], Buffer.from(bytes));
      const padded = Buffer.from(bytes).toString("base64");
      assert.deepEqual(metadataOf([["trace-bin", padded]])[0]?.[1], Buffer.from(bytes));
    }),
  );
});

test("several binary values joined by commas are told apart", () => {
  assert.deepEqual(metadataOf([["x-bin", "AQ, Ag=="]]), [
    ["x-bin", Buffer.from([1])],
    ["x-bin", Buffer.from([2])],
  ]);
});

test("what is not base64 is refused", () => {
  assert.throws(() => metadataOf([["x-bin", "a*b"]]), MetadataError);
  assert.throws(() => metadataOf([["x-bin", "abcde"]]), MetadataError);
});

test("headers of HTTP and gRPC are no metadata, and cannot be sent as such", () => {
  assert.deepEqual(
    metadataOf([
      [":path", "/a/b"],
      ["te", "trailers"],
      ["token", "t"],
    ]),
    [["token", "t"]],
  );
  assert.throws(() => fieldsOf([["grpc-status", "0"]]), TypeError);
  assert.throws(() => fieldsOf([["Upper", "x"]]), TypeError);
  assert.throws(() => fieldsOf([["x", "line\nbreak"]]), TypeError);
});

test("timeouts are read in every unit and malformed ones refused", () => {
  assert.deepEqual(
    ["1H", "2M", "3S", "4m", "5u", "6n"].map(parseTimeout),
    [3_600_000, 120_000, 3000, 4, 0.005, 0.000006],
  );
  for (const bad of ["", "1", "S", "-1S", "1.5S", "123456789S", "1s"])
    assert.equal(parseTimeout(bad), undefined);
});

test("a written timeout has at most eight digits and is never longer than asked", () => {
  fc.assert(
    fc.property(fc.double({ min: 0.001, max: 1e10, noNaN: true }), (milliseconds) => {
      const text = formatTimeout(milliseconds);
      assert.match(text, /^\d{1,8}[umS]$/);
      assert.ok(parseTimeout(text)! <= milliseconds + 1e-6);
    }),
  );
});
