// Damage to the files of one node of a running cluster. A node never guesses: what a crash can explain
// is cut off and fetched again, anything else stops it with the place and the way back; and the other
// two go on with everything that was acknowledged.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  decodeFrameHeader,
  decodeSegmentHeader,
  frameBytes,
  SEGMENT_HEADER_BYTES,
} from "../../wal/format.js";
import { NodeProcess } from "../harness/node-process.js";
import { eventually, freePorts, ProcessCluster } from "../harness/process-cluster.js";
import { assertWhole, endOf, getAll, plainLines, put } from "./witness.js";

interface WrittenSegment {
  readonly path: string;
  readonly name: string;
  readonly marker: Uint8Array;
  /** Where each frame begins. */
  readonly frames: readonly number[];
  /** Behind the last frame. */
  readonly end: number;
}

/** The segment that is being written. */
function lastSegment(walDir: string): WrittenSegment {
  const names = readdirSync(walDir).filter((name) => name.endsWith(".wal"));
  for (const name of names.sort().reverse()) {
    const path = join(walDir, name);
    const content = readFileSync(path);
    const reading = decodeSegmentHeader(content.subarray(0, SEGMENT_HEADER_BYTES));
    if (reading.kind !== "good") throw new Error(`${path}: ${reading.found}`);
    const { marker } = reading.header;
    const frames: number[] = [];
    let end = SEGMENT_HEADER_BYTES;
    for (;;) {
      const frame = decodeFrameHeader(content.subarray(end, end + 24), marker, end);
      if (typeof frame === "string") break;
      frames.push(end);
      end += frameBytes(frame.bodyLength);
    }
    // One prepared ahead holds no frame.
    if (frames.length > 0) return { path, name, marker, frames, end };
  }
  throw new Error(`no segment in ${walDir}`);
}

function overwrite(path: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(path, "r+");
  try {
    writeSync(file, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(file);
  }
}

describe("damaged and missing files", { timeout: 300_000 }, () => {
  let cluster: ProcessCluster;
  let victim: NodeProcess;
  let other: NodeProcess;
  const acknowledged = new Map<string, string>();

  before(async () => {
    cluster = await ProcessCluster.start();
    const leader = await cluster.ready();
    victim = cluster.nodes.find((node) => node !== leader)!;
    other = leader;
    await write(20);
  });
  after(() => cluster?.destroy());

  async function write(count: number): Promise<void> {
    for (let at = 0; at < count; at++) {
      const key = `acknowledged/${String(acknowledged.size).padStart(4, "0")}`;
      await put(cluster.nodes[at % 3]!.running ? cluster.nodes[at % 3]! : other, key, `value ${at}`);
      acknowledged.set(key, `value ${at}`);
    }
  }

  async function assertNothingLost(): Promise<void> {
    await assertWhole(cluster);
    assert.deepEqual(await getAll(victim, "acknowledged/"), acknowledged);
  }

  /** Starts the victim, which must end by itself with status 1 and one line. */
  async function refusal(): Promise<string> {
    const from = victim.output.length;
    victim.start();
    assert.equal(await endOf(victim), 1, victim.output);
    const lines = plainLines(victim.output.slice(from));
    assert.equal(lines.length, 1, lines.join("\n"));
    return lines[0]!;
  }

  it("cuts off a torn end of the log and fetches the rest from the others", async () => {
    await victim.kill();
    // What a power cut in the middle of a write leaves: the beginning of a frame.
    const { path, name, marker, end } = lastSegment(join(victim.plan.dataDir, "wal"));
    overwrite(path, end, Buffer.concat([marker, randomBytes(40)]));
    const from = victim.output.length;
    victim.start();
    await cluster.ready();
    const warning = victim.output
      .slice(from)
      .split("\n")
      .find((line) => line.includes("cut off an interrupted write"));
    assert.ok(warning?.includes(name), victim.output.slice(from));
    await assertNothingLost();
  });

  it("refuses a log damaged in its middle, naming segment and offset and the way back", async () => {
    await write(10);
    await victim.stop();
    const { path, name, frames } = lastSegment(join(victim.plan.dataDir, "wal"));
    const offset = frames[Math.floor(frames.length / 2)]!;
    const before = readFileSync(path).subarray(offset, offset + 40);
    overwrite(path, offset + 20, Buffer.alloc(20, 0x5a));
    const line = await refusal();
    assert.match(
      line,
      new RegExp(`^quorate: the write-ahead log is damaged: segment ${name}, offset \\d+: `),
    );
    assert.match(line, /remove this member from the cluster, delete its data folder, and add it again/);
    // The others did without it, and nothing was written to the damaged log.
    await write(5);
    overwrite(path, offset, before);
    victim.start();
    await assertNothingLost();
  });

  it("refuses to go on without log, store or identity while the cluster runs", async () => {
    for (const [name, line] of [
      ["wal", /the log in \S+ is missing/],
      ["store", /the store in \S+ is missing/],
      ["identity.json", /holds a log, but \S+ has no identity record/],
    ] as const) {
      await victim.stop();
      const from = join(victim.plan.dataDir, name);
      const aside = `${victim.plan.dataDir}.aside`;
      assert.equal(spawnSync("cp", ["-a", from, aside]).status, 0);
      rmSync(from, { recursive: true });
      assert.match(await refusal(), line);
      rmSync(from, { recursive: true, force: true });
      assert.equal(spawnSync("cp", ["-a", aside, from]).status, 0);
      rmSync(aside, { recursive: true });
      victim.start();
      await cluster.ready();
    }
    await assertNothingLost();
  });

  it("does not let a member in again that lost its whole folder", async () => {
    await victim.stop();
    const aside = `${victim.plan.dataDir}.aside`;
    assert.equal(spawnSync("mv", [victim.plan.dataDir, aside]).status, 0);
    const line = await refusal();
    assert.match(line, /^quorate: member [0-9a-f]+ has already been bootstrapped, but its data is not in /);
    assert.match(line, /restore the folder, or remove the member from the cluster and add it again$/);
    rmSync(victim.plan.dataDir, { recursive: true, force: true });
    assert.equal(spawnSync("mv", [aside, victim.plan.dataDir]).status, 0);
    victim.start();
    await assertNothingLost();
  });

  it("refuses the folder of another member of the same cluster", async () => {
    await victim.stop();
    const [clientPort, peerPort] = await freePorts(2);
    const swapped = new NodeProcess({ ...other.plan, clientPort: clientPort!, dataDir: victim.plan.dataDir });
    void peerPort;
    swapped.start();
    const status = await endOf(swapped);
    const lines = plainLines(swapped.output);
    assert.equal(status, 1, swapped.output);
    assert.equal(lines.length, 1, swapped.output);
    assert.match(lines[0]!, /belongs to member [0-9a-f]+, this node was started as|cannot listen for peers/);
    victim.start();
    await assertNothingLost();
  });

  it("stops with its reason when the disk is full, loses nothing, and goes on once there is room", async (t) => {
    const mount = join(cluster.folder, "small");
    mkdirSync(mount);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=200m", "tmpfs", mount], {
      encoding: "utf8",
    });
    if (mounted.status !== 0) {
      const reason = `cannot mount here: ${mounted.error?.message ?? mounted.stderr.trim()}`;
      assert.notEqual(process.env.CI, "true", reason);
      return t.skip(reason);
    }
    const moved = new NodeProcess({ ...victim.plan, dataDir: join(mount, "data") });
    const at = cluster.nodes.indexOf(victim);
    try {
      await victim.stop();
      assert.equal(spawnSync("cp", ["-a", victim.plan.dataDir, moved.plan.dataDir]).status, 0);
      cluster.nodes[at] = moved;
      moved.start();
      await cluster.ready();
      const filler = join(mount, "filler");
      const filled = spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=64k"], { encoding: "utf8" });
      assert.match(filled.stderr, /No space left/);
      assert.ok(statSync(filler).size > 0);
      const value = Buffer.alloc(512 * 1024, 7);
      let stopped = false;
      void moved.exited.then(() => {
        stopped = true;
      });
      for (let count = 0; count < 400 && !stopped; count++) await put(other, `filling/${count % 10}`, value);
      assert.equal(await endOf(moved), 1, moved.output);
      const lines = plainLines(moved.output);
      assert.equal(lines.length, 1, moved.output);
      assert.match(lines[0]!, /no space (is )?left/i);
      assert.match(lines[0]!, /free some/);
      await write(10);
      // Still full: it says so again, or there is just enough to begin with.
      const from = moved.output.length;
      moved.start();
      await eventually("the end or a start", 20_000, async () =>
        !moved.running || moved.output.slice(from).includes('"serving"') ? true : undefined,
      );
      await moved.stop();
      for (const line of plainLines(moved.output.slice(from))) assert.match(line, /no space (is )?left/i);
      rmSync(filler);
      spawnSync("mount", ["-o", "remount,size=1g", mount]);
      moved.start();
      await assertWhole(cluster);
      assert.deepEqual(await getAll(moved, "acknowledged/"), acknowledged);
    } finally {
      await moved.stop();
      cluster.nodes[at] = victim;
      await eventually("unmounted", 5000, async () =>
        spawnSync("umount", [mount]).status === 0 ? true : undefined,
      );
    }
  });
});
