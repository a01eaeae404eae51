import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { defaultRpcLimits, resolveLimits } from "./limits.js";

test("what is left out takes the default, what HTTP/2 cannot express is refused by name", () => {
  assert.deepEqual(resolveLimits(undefined), defaultRpcLimits);
  assert.deepEqual(resolveLimits({ frameBytes: 65_536 }), { ...defaultRpcLimits, frameBytes: 65_536 });
  assert.throws(() => resolveLimits({ frameBytes: 1000 }), /frameBytes is 1000/);
  assert.throws(() => resolveLimits({ streamWindowBytes: 2 ** 31 }), /streamWindowBytes/);
  assert.throws(() => resolveLimits({ connectionWindowBytes: 1 }), /connectionWindowBytes/);
  assert.throws(() => resolveLimits({ receiveMessageBytes: 1.5 }), /receiveMessageBytes/);
});

test("the document lists every limit with its default", () => {
  const text = readFileSync(new URL("../../../docs/protocols/grpc.md", import.meta.url), "utf8");
  const listed = [...text.matchAll(/^\| `([\w.]+)` \| (\d+) \|/gm)].map(([, name, value]) => [name, value]);
  const { flood, ...limits } = defaultRpcLimits;
  const defaults = [
    ...Object.entries(limits),
    ...Object.entries(flood).map(([name, value]) => [`flood.${name}`, value] as const),
  ].map(([name, value]) => [name, String(value)]);
  assert.deepEqual(listed, defaults);
});
