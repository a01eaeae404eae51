import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inWords } from "./node-process.js";

describe("a node's log line in words", () => {
  it("has level, message and fields, without what the terminal shows anyway", () => {
    const line = JSON.stringify({
      level: "warn",
      time: "2026-01-01T00:00:00Z",
      node: "n1",
      peer: "n2",
      detail: "two words",
      error: { name: "Error", message: "reset", stack: "…" },
      message: "lost a peer",
    });
    assert.deepEqual(inWords(line), {
      level: "warn",
      text: 'WARN lost a peer peer=n2 detail="two words" error="reset"',
    });
  });

  it("counts what is no log line as an error, and its one line of failure as neither", () => {
    assert.equal(inWords("Segmentation fault").level, "error");
    assert.equal(inWords("{ cut off").level, "error");
    assert.equal(inWords("quorate: port 1 is taken").level, "failure");
  });
});
