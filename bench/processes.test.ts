import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { cpuSecondsOf, processCost, residentBytesOf } from "./processes.js";

test("CPU time is found behind a process name with blanks and brackets", () => {
  const stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 7 0 1000 0 0";
  assert.equal(cpuSecondsOf(stat), 2);
});

test("resident memory is read in bytes", () => {
  assert.equal(
    residentBytesOf("Name:\tetcd\nVmHWM:\t  9000 kB\nVmRSS:\t    1024 kB\nThreads:\t8\n"),
    1 << 20,
  );
});

const skip = existsSync("/proc/self/stat") ? false : "no /proc on this system";

test("this very process has used CPU and memory", { skip }, () => {
  const cost = processCost(process.pid);
  assert.ok(cost !== undefined && cost.cpuSeconds > 0 && cost.residentBytes > 1 << 20);
  assert.ok(cost.residentBytes < process.memoryUsage.rss() * 4);
});

test("a process that does not exist has no cost", () => {
  assert.equal(processCost(2 ** 30), undefined);
});
