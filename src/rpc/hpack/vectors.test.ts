import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type HeaderField, HpackDecoder } from "./decoder.js";
import { HpackEncoder } from "./encoder.js";

// Header blocks of other encoders, from github.com/http2jp/hpack-test-case (MIT), kept beside the checkout.
const vectors = join(process.cwd(), "..", "shared", "vectors", "hpack");
const skip = existsSync(vectors) ? false : `no test vectors in ${vectors}`;

interface Story {
  readonly cases: readonly {
    readonly wire: string;
    readonly headers: readonly Readonly<Record<string, string>>[];
    readonly header_table_size?: number;
  }[];
}

function stories(encoder: string): Story[] {
  const folder = join(vectors, encoder);
  return readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")) as Story);
}

function fieldsOf(headers: readonly Readonly<Record<string, string>>[]): HeaderField[] {
  return headers.flatMap((header) => Object.entries(header));
}

for (const encoder of ["go-hpack", "nghttp2-change-table-size"]) {
  test(`blocks written by ${encoder} are decoded, and encoded by us are decoded again`, { skip }, () => {
    let blocks = 0;
    for (const story of stories(encoder)) {
      const theirs = new HpackDecoder();
      const ours = new HpackEncoder();
      const back = new HpackDecoder();
      for (const { wire, headers, header_table_size } of story.cases) {
        const expected = fieldsOf(headers);
        assert.deepEqual(theirs.decode(Buffer.from(wire, "hex")), expected);
        if (header_table_size !== undefined) ours.setPeerMaxTableBytes(header_table_size);
        const into = Buffer.alloc(HpackEncoder.bound(expected));
        assert.deepEqual(back.decode(into, 0, ours.encode(expected, into, 0)), expected);
        blocks++;
      }
    }
    assert.ok(blocks > 100, `${blocks} blocks`);
  });
}
