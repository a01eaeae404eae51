// Measures applying: node dist/src/state/replicated-state.bench.js [keys] [puts]
// Plain 256-byte puts of random keys in entries of 64, as a follower applies them (decoding included)
// and as the proposer does, then restart, hash and snapshot of what they made.

import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodePut } from "../mvcc/codec.js";
import type { PutRequest } from "../mvcc/messages.js";
import { putOf } from "../mvcc/request-generators.js";
import { openStore } from "../storage/rocks-store.js";
import { createWriteBehind } from "../storage/write-behind.js";
import { CommandKind, encodeCommand } from "./commands.js";
import { ReplicatedState } from "./replicated-state.js";

const keyCount = Number(process.argv[2] ?? 100_000);
const putCount = Number(process.argv[3] ?? 500_000);
const entrySize = 64;
const membership = { voters: [1], outgoing: [], learners: [], learnersNext: [], autoLeave: false };
const member = { id: 1, name: "one", peerUrls: ["http://127.0.0.1:1"], clientUrls: [], isLearner: false };

const directory = await mkdtemp(join(tmpdir(), "quorate-bench-"));
const onFatal = (error: Error): void => {
  throw error;
};

async function open() {
  const store = await openStore(directory);
  const state = await ReplicatedState.open({
    store,
    group: 1,
    createBuffer: (initialIndex) => createWriteBehind(store, { initialIndex, onFatal }),
    bootstrap: { membership, members: [member] },
    onFatal,
  });
  return { store, state };
}

/** Seconds this thread has run, which neighbours on the machine cannot stretch; wall time elsewhere. */
const threadSeconds = existsSync("/proc/thread-self/schedstat")
  ? (): number => Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[0]) / 1e9
  : (): number => Number(process.hrtime.bigint()) / 1e9;
const seconds = (since: bigint): number => Number(process.hrtime.bigint() - since) / 1e9;
const value = "v".repeat(256);
let seed = 12345;
const random = (below: number): number => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % below;
const pool = Array.from({ length: 20_000 }, () => {
  const request = putOf(`/registry/objects/${String(random(keyCount)).padStart(14, "0")}`, value);
  return { request, command: encodeCommand(CommandKind.put, encodePut(request)) };
});

try {
  let { store, state } = await open();
  for (const [name, requests] of [
    ["as a follower", false],
    ["as the proposer", true],
    ["as a follower again", false],
  ] as const) {
    let applied = 0;
    let worst = 0;
    const begun = process.hrtime.bigint();
    const ran = threadSeconds();
    while (applied < putCount) {
      const start = process.hrtime.bigint();
      const id = { index: state.applied.id.index + 1, epoch: 1 };
      for (let at = 0; at < entrySize; at++) {
        const { request, command } = pool[(applied + at) % pool.length]! as {
          request: PutRequest;
          command: Uint8Array;
        };
        if (state.prepare(command) !== undefined) throw new Error("a plain put needs nothing from disk");
        state.apply(command, id, requests, requests ? request : undefined);
      }
      state.endEntry(id);
      const took = seconds(start);
      worst = Math.max(worst, took);
      applied += entrySize;
      if (applied % 6400 === 0 || state.overloaded) await new Promise(setImmediate);
    }
    const total = seconds(begun);
    const cpu = threadSeconds() - ran;
    console.log(
      `apply ${name.padEnd(20)} ${((cpu / applied) * 1e6).toFixed(2)} us/put of the loop's CPU, ` +
        `${Math.round(applied / total / 1000)} k/s, worst entry of ${entrySize}: ${(worst * 1000).toFixed(1)} ms`,
    );
  }
  let start = process.hrtime.bigint();
  await state.flush();
  console.log(`flush ${seconds(start).toFixed(2)} s, sizes ${JSON.stringify(state.sizes())}`);
  start = process.hrtime.bigint();
  const { hash } = await state.hashState();
  console.log(`hash ${hash.toString(16)} in ${seconds(start).toFixed(2)} s`);
  start = process.hrtime.bigint();
  let bytes = 0;
  const { chunks } = await state.snapshot();
  for await (const chunk of chunks) bytes += chunk.length;
  console.log(`snapshot of ${(bytes / 1e6).toFixed(0)} MB in ${seconds(start).toFixed(2)} s`);
  await state.close();
  await store.close();
  start = process.hrtime.bigint();
  ({ store, state } = await open());
  console.log(`open with ${state.currentRevision - 1} revisions in ${seconds(start).toFixed(2)} s`);
  await state.close();
  await store.close();
} finally {
  await rm(directory, { recursive: true, force: true });
}
