import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type HeaderField, HpackDecoder, HpackError, HpackListTooLong } from "./decoder.js";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

/** "name: value" lines, as the RFC prints header lists. */
function lines(fields: readonly HeaderField[]): string[] {
  return fields.map(([name, value]) => `${name}: ${value}`);
}

test("single fields of RFC 7541, appendix C.2", () => {
  const decoded = (block: string) => lines(new HpackDecoder().decode(hex(block)));
  assert.deepEqual(decoded("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"), [
    "custom-key: custom-header",
  ]);
  assert.deepEqual(decoded("040c 2f73 616d 706c 652f 7061 7468"), [":path: /sample/path"]);
  assert.deepEqual(decoded("1008 7061 7373 776f 7264 0673 6563 7265 74"), ["password: secret"]);
  assert.deepEqual(decoded("82"), [":method: GET"]);
});

const requests = [
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
  [
    ":method: GET",
    ":scheme: https",
    ":path: /index.html",
    ":authority: www.example.com",
    "custom-key: custom-value",
  ],
];

const responses = [
  [
    ":status: 302",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "location: https://www.example.com",
  ],
  [
    ":status: 307",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "location: https://www.example.com",
  ],
  [
    ":status: 200",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:22 GMT",
    "location: https://www.example.com",
    "content-encoding: gzip",
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  ],
];

function assertSequence(blocks: string[], expected: string[][]): void {
  const decoder = new HpackDecoder({ maxTableBytes: 4096 });
  assert.equal(blocks.length, expected.length);
  for (const [at, block] of blocks.entries())
    assert.deepEqual(lines(decoder.decode(hex(block))), expected[at]);
}

test("requests without Huffman of RFC 7541, appendix C.3", () => {
  assertSequence(
    [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ],
    requests,
  );
});

test("requests with Huffman of RFC 7541, appendix C.4", () => {
  assertSequence(
    [
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ],
    requests,
  );
});

// Appendices C.5 and C.6 assume a table of 256 bytes; here a size update (3fe101) says so.

test("responses without Huffman and with eviction of RFC 7541, appendix C.5", () => {
  assertSequence(
    [
      "3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "4803 3330 37c1 c0bf",
      "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ],
    responses,
  );
});

test("responses with Huffman and with eviction of RFC 7541, appendix C.6", () => {
  assertSequence(
    [
      "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
      "4883 640e ffc1 c0bf",
      "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ],
    responses,
  );
});

test("only the range given is decoded", () => {
  const block = hex("ff 82 84 ff");
  assert.deepEqual(lines(new HpackDecoder().decode(block, 1, 3)), [":method: GET", ":path: /"]);
  assert.throws(() => new HpackDecoder().decode(hex("82 04 02 2f 61"), 0, 4), HpackError);
});

test("malformed blocks are refused", () => {
  const malformed = {
    "index 0": "80",
    "index behind the tables": "be",
    "name index behind the tables": "7e 01 61",
    "index cut short": "ff",
    "integer cut short": "ff 80",
    "integer with endless continuation": "ff 80 80 80 80 80 80 80 80 80 01",
    "integer beyond 2^28": "ff ff ff ff ff 7f",
    "no name": "00",
    "no value": "00 01 61",
    "name cut short": "00 05 61",
    "length far beyond the block": "00 7f ff ff ff 7f 61",
    "Huffman with wrong padding": "00 81 18 01 61",
    "Huffman with EOS": "00 84 ff ff ff ff 01 61",
    "size update above what we advertised": "3f e2 1f",
    "size update after a field": "82 20",
  };
  for (const [what, block] of Object.entries(malformed)) {
    assert.throws(() => new HpackDecoder().decode(hex(block)), HpackError, what);
  }
});

test("the size update may go up to what we advertised, and several may begin a block", () => {
  assert.deepEqual(new HpackDecoder().decode(hex("20 3f e1 1f")), []);
  assert.deepEqual(lines(new HpackDecoder({ maxTableBytes: 8192 }).decode(hex("3f e1 3f 82"))), [
    ":method: GET",
  ]);
  assert.throws(() => new HpackDecoder({ maxTableBytes: 0 }).decode(hex("21")), HpackError);
});

test("a table shrunk to nothing forgets its fields", () => {
  const decoder = new HpackDecoder();
  decoder.decode(hex("40 01 61 01 62"));
  assert.deepEqual(lines(decoder.decode(hex("be"))), ["a: b"]);
  assert.throws(() => decoder.decode(hex("20 be")), HpackError);
});

test("changes of the table are counted, and blocks that only refer to it are none", () => {
  const decoder = new HpackDecoder();
  decoder.decode(hex("82 00 01 61 01 62 10 01 61 01 62"));
  assert.equal(decoder.tableChanges, 0);
  decoder.decode(hex("40 01 61 01 62"));
  assert.equal(decoder.tableChanges, 1);
  decoder.decode(hex("be"));
  assert.equal(decoder.tableChanges, 1);
  decoder.decode(hex("20"));
  assert.equal(decoder.tableChanges, 2);
});

test("a list beyond the limit is refused and the table follows nevertheless", () => {
  const decoder = new HpackDecoder({ maxListBytes: 100 });
  // Three times 34 bytes; only the last enters the table.
  assert.throws(() => decoder.decode(hex("00 01 61 01 62 00 01 61 01 62 40 01 63 01 64")), HpackListTooLong);
  assert.deepEqual(lines(decoder.decode(hex("be be"))), ["c: d", "c: d"]);
});

test("a bomb of references to one large field costs no memory", () => {
  const decoder = new HpackDecoder();
  const value = Buffer.alloc(4000, "x");
  decoder.decode(Buffer.concat([hex("40 01 61 7f a1 1e"), value]));
  const before = process.memoryUsage().arrayBuffers;
  assert.throws(
    () => decoder.decode(Buffer.alloc(1 << 20, 0xbe)),
    (error: Error) => error instanceof HpackListTooLong && error.message.includes(String(4033 * (1 << 20))),
  );
  assert.ok(process.memoryUsage().arrayBuffers - before < 4 << 20);
  assert.equal(decoder.decode(hex("be")).length, 1);
});

test("a literal sent again is the same string, also when others fall into its cache slot", () => {
  const decoder = new HpackDecoder();
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 50 }),
      (values) => {
        const block = Buffer.concat(
          values.map((value) => Buffer.concat([hex("00 01 61"), Buffer.of(value.length), value])),
        );
        const expected = values.map((value) => Buffer.from(value).toString("latin1"));
        assert.deepEqual(
          decoder.decode(block).map(([, value]) => value),
          expected,
        );
      },
    ),
  );
});

test("any bytes are decoded or refused with HpackError or HpackListTooLong", () => {
  const likely = fc.oneof(fc.constantFrom(0x20, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xbe, 0xff, 0, 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(fc.array(likely, { maxLength: 60 }), { maxLength: 5 }), (blocks) => {
      const decoder = new HpackDecoder({ maxListBytes: 300 });
      for (const block of blocks) {
        try {
          for (const [name, value] of decoder.decode(Uint8Array.from(block))) {
            assert.equal(typeof name, "string");
            assert.equal(typeof value, "string");
          }
        } catch (error) {
          if (error instanceof HpackListTooLong) continue;
          if (error instanceof HpackError) return;
          throw error;
        }
      }
    }),
    { numRuns: 3000 },
  );
});
