import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { etcdServices } from "./services.js";
import { FakeCaller, FakeContext } from "./testing/fakes.js";

test("every path is served once and belongs to etcd's packages", () => {
  const paths = etcdServices(new FakeContext()).map(({ path }) => path);
  assert.equal(new Set(paths).size, paths.length);
  for (const path of paths) assert.match(path, /^\/etcdserverpb\.[A-Z][A-Za-z]+\/[A-Z][A-Za-z]+$/);
});

test("whatever bytes come, every unary method answers and nothing is thrown or taken for a bug", async () => {
  const context = new FakeContext();
  context.proposer.onPropose = () => ({ kind: "refused", reason: "noSpace" });
  context.proposer.onChange = () => ({ kind: "failed", reason: "unhealthy", outcome: "refused" });
  const caller = new FakeCaller(etcdServices(context));
  // Short fields of low numbers are what gets furthest.
  const field = fc
    .tuple(fc.integer({ min: 1, max: 14 }), fc.constantFrom(0, 2, 2, 5), fc.uint8Array({ maxLength: 6 }))
    .map(([number, type, content]) => [
      number * 8 + type,
      ...(type === 2 ? [content.length] : []),
      ...content,
    ]);
  const messages = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.array(field, { maxLength: 5 }).map((fields) => Uint8Array.from(fields.flat())),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...caller.paths), messages, async (path, message) => {
      const { code, response, message: text } = await caller.unary(path, message);
      assert.equal(code === 0, response !== undefined);
      assert.equal(code === 0, text === "");
    }),
    { numRuns: 2000 },
  );
  assert.deepEqual(context.surprises, []);
});
