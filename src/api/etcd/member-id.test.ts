import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { memberIdOf } from "./member-id.js";

test("a member's ID is the same on every node, in whatever order its URLs are given", () => {
  const urls = fc.array(fc.webUrl(), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(urls, fc.string(), (peerUrls, cluster) => {
      const id = memberIdOf(peerUrls, cluster);
      assert.ok(Number.isSafeInteger(id) && id > 0 && id < 2 ** 52);
      assert.equal(memberIdOf([...peerUrls].reverse(), cluster), id);
    }),
  );
});

test("another URL, another cluster or another time of adding gives another ID", () => {
  const ids = [
    memberIdOf(["http://a:1"], "c"),
    memberIdOf(["http://a:2"], "c"),
    memberIdOf(["http://a:1", "http://a:2"], "c"),
    memberIdOf(["http://a:1"], "d"),
    memberIdOf(["http://a:1"], "c", 1_800_000_000_000),
    memberIdOf(["http://a:1"], "c", 1_800_000_000_001),
  ];
  assert.equal(new Set(ids).size, ids.length);
});
