import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type HeaderField, HpackDecoder } from "./decoder.js";
import { HpackEncoder } from "./encoder.js";

function encode(encoder: HpackEncoder, fields: readonly HeaderField[]): Buffer {
  const into = Buffer.alloc(HpackEncoder.bound(fields));
  return into.subarray(0, encoder.encode(fields, into, 0));
}

const request: HeaderField[] = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/etcdserverpb.KV/Put"],
  [":authority", "127.0.0.1:2379"],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
];

test("a repeated request costs one byte a field", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  assert.deepEqual(decoder.decode(encode(encoder, request)), request);
  const again = encode(encoder, request);
  assert.equal(again.length, request.length);
  assert.deepEqual(decoder.decode(again), request);
});

test("values of one request do not enter the table", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  decoder.decode(encode(encoder, request));
  for (let at = 0; at < 200; at++) {
    const fields: HeaderField[] = [...request, ["grpc-timeout", `${at}m`], ["x-request-id", `${at}`]];
    assert.deepEqual(decoder.decode(encode(encoder, fields)), fields);
  }
  assert.equal(encode(encoder, request).length, request.length);
});

test("credentials are marked as never to be indexed", () => {
  const encoder = new HpackEncoder();
  // Static name 23, and a name of its own.
  assert.equal(encode(encoder, [["authorization", "x"]])[0], 0x1f);
  assert.equal(encode(encoder, [["token", "x"]])[0], 0x10);
  const secret: HeaderField[] = [["token", "simple.12"]];
  assert.ok(encode(encoder, secret).length > 8, "sent in full every time");
  assert.deepEqual(new HpackDecoder().decode(encode(encoder, secret)), secret);
});

test("a smaller table of the peer is announced, the smallest in between first", () => {
  const encoder = new HpackEncoder();
  encode(encoder, request);
  encoder.setPeerMaxTableBytes(0);
  encoder.setPeerMaxTableBytes(100);
  const block = encode(encoder, request);
  assert.deepEqual([...block.subarray(0, 3)], [0x20, 0x3f, 69]);
  assert.deepEqual(new HpackDecoder({ maxTableBytes: 100 }).decode(block), request);
  assert.notEqual(encode(encoder, request)[0]! & 0xe0, 0x20, "announced once");
});

test("the peer's larger table is not used beyond our own limit", () => {
  const encoder = new HpackEncoder();
  encoder.setPeerMaxTableBytes(1 << 20);
  assert.deepEqual([...encode(encoder, [[":method", "GET"]])], [0x82]);
  const generous = new HpackEncoder({ maxTableBytes: 8192 });
  generous.setPeerMaxTableBytes(1 << 20);
  assert.deepEqual([...encode(generous, [[":method", "GET"]])], [0x3f, 0xe1, 0x3f, 0x82]);
});

test("an own limit below the default is announced with the first block", () => {
  assert.deepEqual([...encode(new HpackEncoder({ maxTableBytes: 0 }), [[":method", "GET"]])], [0x20, 0x82]);
});

test("a block without room is refused and changes nothing", () => {
  const encoder = new HpackEncoder();
  assert.throws(() => encoder.encode(request, Buffer.alloc(10), 0), RangeError);
  assert.throws(() => encoder.encode(request, Buffer.alloc(HpackEncoder.bound(request)), 1), RangeError);
  assert.deepEqual(new HpackDecoder().decode(encode(encoder, request)), request);
});

test("after a field that is not latin1 the next block puts both tables right again", () => {
  for (const peerBytes of [4096, 200, 0]) {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    decoder.decode(encode(encoder, request.slice(0, 2)));
    encoder.setPeerMaxTableBytes(peerBytes);
    assert.throws(() => encode(encoder, [...request, ["grpc-message", "\u20ac"]]), TypeError);
    assert.deepEqual(decoder.decode(encode(encoder, request)), request);
    assert.deepEqual(decoder.decode(encode(encoder, request)), request);
  }
});

const name = fc.oneof(
  fc.constantFrom(
    ":path",
    ":authority",
    "content-type",
    "user-agent",
    "token",
    "grpc-status",
    "x-custom",
    "server",
  ),
  fc.stringMatching(/^[a-z0-9-]{1,30}$/),
);
const octets = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const value = fc.oneof(fc.constantFrom("", "/", "application/grpc", "200", "a", "b", "c"), octets);
const fieldList = fc.array(fc.tuple(name, value), { maxLength: 12 });

test("whatever is encoded is decoded again, under changing table sizes", () => {
  const change = fc.option(fc.array(fc.oneof(fc.nat(300), fc.nat(8192)), { maxLength: 3 }), { freq: 3 });
  const steps = fc.array(fc.record({ fields: fieldList, change }), { maxLength: 20 });
  fc.assert(
    fc.property(fc.nat(8192), steps, (maxTableBytes, steps) => {
      const encoder = new HpackEncoder({ maxTableBytes });
      const decoder = new HpackDecoder({ maxTableBytes: 8192, maxListBytes: 1 << 20 });
      for (const { fields, change } of steps) {
        for (const bytes of change ?? []) encoder.setPeerMaxTableBytes(bytes);
        assert.deepEqual(decoder.decode(encode(encoder, fields)), fields);
      }
    }),
    { numRuns: 300 },
  );
});
