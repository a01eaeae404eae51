// Damaged files: what is cut, what is refused, and what the refusal says.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { WalDamaged, WalWrongFormat } from "./errors.js";
import { SEGMENT_HEADER_BYTES, segmentName } from "./format.js";
import { MemoryDisk } from "./memory-disk.js";
import { below, describe as describeGroups, seeded } from "./model.js";
import { openWal } from "./open.js";
import type { OpenedWal, WalBatch } from "./types.js";

const directory = "/wal";
const SEGMENT_BYTES = 4096;

const open = (disk: MemoryDisk): Promise<OpenedWal> =>
  openWal({
    directory,
    segmentBytes: SEGMENT_BYTES,
    disk,
    onFatal: (error) => {
      throw error;
    },
  });

const append = ({ wal }: OpenedWal, batch: WalBatch): Promise<void> =>
  new Promise((resolve) => wal.append(batch, resolve));

const entry = (index: number, bytes = 100): WalBatch => ({
  group: 1,
  entries: [{ index, epoch: 3, kind: 1, payload: Buffer.alloc(bytes, index) }],
  mustSync: true,
});

/** Where the frames of a segment start, by its marker. */
function framesOf(disk: MemoryDisk, path: string): number[] {
  const bytes = disk.bytesOf(path);
  const marker = bytes.subarray(24, 32);
  const found: number[] = [];
  for (let at = bytes.indexOf(marker, SEGMENT_HEADER_BYTES); at >= 0; at = bytes.indexOf(marker, at + 1))
    found.push(at);
  return found;
}

function flip(disk: MemoryDisk, path: string, at: number, bit = 0): void {
  const bytes = Buffer.from(disk.bytesOf(path));
  bytes[at] = bytes[at]! ^ (1 << bit);
  disk.overwrite(path, bytes);
}

/** A log of `count` entries, one write each; the power is cut at the end unless `clean`. */
async function written(count: number, clean = false): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const opened = await open(disk);
  for (let index = 1; index <= count; index++) await append(opened, entry(index));
  if (clean) await opened.wal.close();
  else {
    // Lets the work beside the writes come to rest; all of it is off the record of this test.
    for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve));
    disk.cut();
    disk.restart(() => 0.99);
  }
  return disk;
}

const lastIndex = (opened: OpenedWal): number => opened.groups.get(1)?.entries.at(-1)?.index ?? 0;

const first = join(directory, segmentName(1));

describe("recovery of damaged files", () => {
  test("a torn last frame is cut, said, and overwritten by what follows", async () => {
    const disk = await written(10);
    const at = framesOf(disk, first).at(-1)!;
    flip(disk, first, at + 40);
    const opened = await open(disk);
    assert.equal(lastIndex(opened), 9);
    assert.deepEqual(opened.tornTail, {
      segment: segmentName(1),
      offset: at,
      found: "the checksum is wrong",
    });
    await append(opened, entry(10, 5));
    await append(opened, entry(11));
    await opened.wal.close();
    const again = await open(disk);
    assert.equal(lastIndex(again), 11);
    assert.equal(again.tornTail, undefined);
  });

  test("any flipped bit in a frame before the last stops the node and names segment and offset", async () => {
    const pristine = await written(12);
    const frames = framesOf(pristine, first);
    const bytes = Buffer.from(pristine.bytesOf(first));
    const last = frames.at(-1)!;
    const random = seeded(4);
    for (let round = 0; round < 300; round++) {
      const at = SEGMENT_HEADER_BYTES + below(random, last - SEGMENT_HEADER_BYTES);
      const frame = frames.findLast((start) => start <= at)!;
      // Padding carries nothing and is not covered.
      const used = 24 + bytes.readUInt32LE(frame + 12);
      pristine.overwrite(first, bytes);
      flip(pristine, first, at, below(random, 8));
      if (at >= frame + used) {
        assert.equal(lastIndex(await open(pristine)), 12);
        continue;
      }
      await assert.rejects(open(pristine), (error: Error) => {
        assert.ok(error instanceof WalDamaged, error.stack);
        assert.equal(error.segment, segmentName(1));
        assert.equal(error.offset, frame);
        assert.match(error.message, /remove this member from the cluster.*add it again/);
        return true;
      });
    }
  });

  test("after a clean close even the last entry is known to have been durable", async () => {
    const disk = await written(10, true);
    const at = framesOf(disk, first).at(-2)!;
    flip(disk, first, at + 50);
    await assert.rejects(open(disk), (error: Error) => error instanceof WalDamaged && error.offset === at);
  });

  test("two unsynced frames of which only the later survived are a torn tail, not damage", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    for (let index = 1; index <= 5; index++) await append(opened, entry(index));
    await append(opened, { ...entry(6), mustSync: false });
    await append(opened, { ...entry(7), mustSync: false });
    const frames = framesOf(disk, first);
    flip(disk, first, frames.at(-2)! + 30);
    disk.cut();
    disk.restart(() => 0);
    const again = await open(disk);
    assert.equal(lastIndex(again), 5);
    assert.equal(again.tornTail?.offset, frames.at(-2));
    assert.equal(framesOf(disk, first).length, frames.length - 2);
  });

  test("damage in a segment that another follows is refused wherever it is", async () => {
    const pristine = await written(60);
    const segments = pristine.paths().filter((path) => path.endsWith(".wal"));
    assert.ok(segments.length >= 3);
    const begun = segments.filter((path) => framesOf(pristine, path).length > 0);
    for (const path of begun.slice(0, -1)) {
      const bytes = Buffer.from(pristine.bytesOf(path));
      for (const at of [framesOf(pristine, path)[0]!, framesOf(pristine, path).at(-1)!]) {
        flip(pristine, path, at + 30);
        await assert.rejects(open(pristine), (error: Error) => {
          assert.ok(error instanceof WalDamaged, error.stack);
          assert.equal(join(directory, error.segment), path);
          assert.equal(error.offset, at);
          return true;
        });
        pristine.overwrite(path, bytes);
      }
    }
    assert.equal(lastIndex(await open(pristine)), 60);
  });

  test("a missing segment, first or middle, is refused", async () => {
    for (const sequence of [1, 2]) {
      const disk = await written(60);
      disk.delete(join(directory, segmentName(sequence)));
      await assert.rejects(open(disk), WalDamaged);
    }
  });

  test("a segment in the place of another, or with a bad header, is refused", async () => {
    const disk = await written(60);
    const second = join(directory, segmentName(2));
    const bytes = Buffer.from(disk.bytesOf(second));
    disk.overwrite(second, disk.bytesOf(first));
    await assert.rejects(open(disk), /the header is that of segment 0000000000000001\.wal/);
    disk.overwrite(second, bytes);
    flip(disk, second, 17);
    await assert.rejects(open(disk), /segment 0000000000000002\.wal, offset 0: the checksum of the header/);
    disk.overwrite(second, bytes.subarray(0, 100));
    await assert.rejects(open(disk), WalDamaged);
  });

  test("a shortened last segment whose frames were durable is refused where a later one proves it", async () => {
    const disk = await written(60);
    const bytes = Buffer.from(disk.bytesOf(first));
    disk.overwrite(first, bytes.subarray(0, 2000));
    await assert.rejects(open(disk), WalDamaged);
  });

  test("another format version is named", async () => {
    const disk = await written(3);
    const bytes = Buffer.from(disk.bytesOf(first));
    bytes.writeUInt32LE(7, 8);
    const { crc32 } = await import("./checksum.js");
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36);
    disk.overwrite(first, bytes);
    await assert.rejects(open(disk), (error: Error) => {
      assert.ok(error instanceof WalWrongFormat);
      assert.match(error.message, /format version 7, this version reads 1/);
      return true;
    });
  });

  test("payloads that contain the log's own bytes are not mistaken for frames", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    await append(opened, entry(1));
    const stolen = Uint8Array.from(disk.bytesOf(first).subarray(SEGMENT_HEADER_BYTES, 800));
    await append(opened, {
      group: 1,
      entries: [{ index: 2, epoch: 3, kind: 1, payload: stolen }],
      mustSync: true,
    });
    const before = describeGroups((await open(disk)).groups);
    disk.cut();
    disk.restart(() => 0);
    assert.equal(describeGroups((await open(disk)).groups), before);
    const frames = framesOf(disk, first);
    flip(disk, first, frames[2]! + 20 + stolen.length);
    const again = await open(disk);
    assert.equal(lastIndex(again), 1);
  });
});
