// Measures the key index: node --expose-gc dist/src/mvcc/index/key-index.bench.js [keys]
// Prints bytes per key beyond the key itself and operations per second.

import { existsSync, readFileSync } from "node:fs";
import { KeyIndex, newest } from "./key-index.js";

const count = Number(process.argv[2] ?? 1_000_000);
const keyBytes = 32;

function shuffled(): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, at) => at);
  let seed = 1;
  for (let at = count - 1; at > 0; at--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const other = seed % (at + 1);
    const value = order[at]!;
    order[at] = order[other]!;
    order[other] = value;
  }
  return order;
}

const template = Buffer.from("/registry/objects/000000000000000".slice(0, keyBytes));
function writeKey(key: Buffer, number: number): Buffer {
  template.copy(key);
  let rest = number;
  for (let at = keyBytes - 1; rest > 0; at--) {
    key[at] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return key;
}

function memory(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Seconds this thread has run, which neighbours on the machine cannot stretch; wall time elsewhere. */
const threadSeconds = existsSync("/proc/thread-self/schedstat")
  ? (): number => Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[0]) / 1e9
  : (): number => Number(process.hrtime.bigint()) / 1e9;

function timed(name: string, times: number, work: () => void): void {
  const start = threadSeconds();
  work();
  const seconds = threadSeconds() - start;
  console.log(`${name.padEnd(34)} ${Math.round(times / seconds / 1000)} k/s`);
}

for (const shape of ["random", "ascending"] as const) {
  const order = shape === "random" ? shuffled() : Uint32Array.from({ length: count }, (_, at) => at);
  const key = Buffer.alloc(keyBytes);
  const before = memory();
  const index = new KeyIndex();
  let main = 1;
  timed(`insert, ${shape}`, count, () => {
    for (let at = 0; at < count; at++) index.put(writeKey(key, order[at]!), ++main, 0);
  });
  const perKey = (memory() - before) / count - keyBytes;
  console.log(
    `bytes per key beyond the key: process ${perKey.toFixed(1)}, own count ${(index.bytes / count - keyBytes).toFixed(1)}`,
  );
  timed("get at the newest revision", count, () => {
    for (let at = 0; at < count; at++) index.get(writeKey(key, order[at]!), newest);
  });
  timed("update in random order", count, () => {
    for (let at = 0; at < count; at++) index.put(writeKey(key, order[count - 1 - at]!), ++main, 0);
  });
  console.log(
    `with one superseded revision each: process ${((memory() - before) / count - keyBytes).toFixed(1)}, own count ${(index.bytes / count - keyBytes).toFixed(1)}`,
  );
  timed("get at an old revision", count, () => {
    for (let at = 0; at < count; at++) index.get(writeKey(key, order[at]!), count + 1);
  });
  timed("scan at the newest revision", count, () => {
    index.scan(Buffer.from("/"), undefined, newest, () => true);
  });
  timed("count at an old revision", count, () => {
    index.count(Buffer.from("/"), undefined, count + 1);
  });
  timed("count at the newest revision", 10_000, () => {
    for (let at = 0; at < 10_000; at++) index.countNewest(writeKey(key, order[at]!), undefined);
  });
  timed("sweep (keys)", count, () => {
    let cursor: Uint8Array | undefined;
    do cursor = index.sweepLeaf(cursor, main, (chain) => index.history.release(chain));
    while (cursor !== undefined);
  });
}
