import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { HeaderField } from "../hpack/decoder.js";
import { MethodTable } from "../method-table.js";
import { requestHead } from "./request-head.js";
import { RequestHeads } from "./request-heads.js";

const methods = new MethodTable();
methods.add([
  { kind: "unary", path: "/t.Echo/Unary", handle: () => {} },
  { kind: "unary", path: "/t.Echo/Later", handle: () => {} },
]);

test("remembered heads mean what parsing each list anew gives", () => {
  const list = fc
    .record({
      path: fc.constantFrom("/t.Echo/Unary", "/t.Echo/Later", "/t.Echo/Nope", "nonsense"),
      type: fc.constantFrom("application/grpc", "application/grpc+proto", "text/html"),
      timeout: fc.constantFrom(undefined, "1S", "20m", "4999123u", "bad", "", "123456789S", " 1S"),
      token: fc.constantFrom(undefined, "one", "two", "bad\n"),
      twice: fc.boolean(),
    })
    .map(({ path, type, timeout, token, twice }) => {
      const fields: HeaderField[] = [
        [":method", "POST"],
        [":scheme", "http"],
        [":path", path],
        ["content-type", type],
      ];
      if (timeout !== undefined) fields.push(["grpc-timeout", timeout]);
      if (timeout !== undefined && twice) fields.push(["grpc-timeout", "7S"]);
      if (token !== undefined) fields.push(["token", token]);
      return fields;
    });
  fc.assert(
    fc.property(fc.array(list, { maxLength: 40 }), (lists) => {
      const heads = new RequestHeads(methods);
      for (const fields of lists) assert.deepEqual(heads.parse(fields), requestHead(fields, methods));
    }),
  );
});
