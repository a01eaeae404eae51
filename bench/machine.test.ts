import assert from "node:assert/strict";
import { test } from "node:test";
import { busyWarning, describeMachine, type Machine, thisMachine } from "./machine.js";

const machine: Machine = {
  processors: 4,
  model: "Test",
  memoryGiB: 8,
  system: "linux 6",
  node: "v20.0.0",
  load: 0.3,
};

test("a machine is named by what decides its speed", () => {
  assert.equal(describeMachine(machine), "4 processors (Test), 8 GiB, linux 6, Node v20.0.0");
  const { processors, memoryGiB, node } = thisMachine();
  assert.ok(processors >= 1 && memoryGiB >= 0);
  assert.equal(node, process.version);
});

test("a busy machine is warned about, a quiet one is not", () => {
  assert.equal(busyWarning(machine), undefined);
  assert.match(busyWarning({ ...machine, load: 3 }) ?? "", /busy \(load 3 on 4 processors\)/);
});
