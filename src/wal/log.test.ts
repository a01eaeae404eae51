// Batching, ordering, recycling, and what happens when the disk fails.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { WalClosed, WalDiskFull, WalFolderUnusable, WalWriteFailed } from "./errors.js";
import { type DiskOperation, MemoryDisk, PowerFailure } from "./memory-disk.js";
import { openWal } from "./open.js";
import type { OpenedWal, WalBatch, WalOptions } from "./types.js";

const directory = "/wal";
const SEGMENT_BYTES = 4096;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function turns(count: number): Promise<void> {
  for (let at = 0; at < count; at++) await turn();
}

const open = (disk: MemoryDisk, options: Partial<WalOptions> = {}): Promise<OpenedWal> =>
  openWal({
    directory,
    segmentBytes: SEGMENT_BYTES,
    disk,
    syncInline: false,
    onFatal: (error) => {
      // A log from before a power cut cannot write any more.
      if (!(error.cause instanceof PowerFailure)) throw error;
    },
    ...options,
  });

const batchOf = (index: number, bytes = 50, mustSync = true): WalBatch => ({
  group: 1,
  entries: [{ index, epoch: 1, kind: 1, payload: Buffer.alloc(bytes, index) }],
  mustSync,
});

const append = ({ wal }: OpenedWal, batch: WalBatch): Promise<void> =>
  new Promise((resolve) => wal.append(batch, resolve));

/** Counts the operations of a disk by kind. */
function counted(disk: MemoryDisk): Map<DiskOperation, number> {
  const counts = new Map<DiskOperation, number>();
  disk.failure = (operation) => {
    counts.set(operation, (counts.get(operation) ?? 0) + 1);
    return undefined;
  };
  return counts;
}

describe("appending", () => {
  test("what is appended in one turn, and what arrives during a write, shares one write and one sync", async () => {
    const disk = new MemoryDisk();
    const syncs: number[] = [];
    const opened = await open(disk, {
      segmentBytes: 1 << 20,
      onSync: (_seconds, bytes) => syncs.push(bytes),
    });
    await append(opened, batchOf(1));
    await turns(20);
    const counts = counted(disk);
    const order: number[] = [];
    const done = new Promise<void>((resolve) => {
      for (let index = 2; index <= 11; index++) opened.wal.append(batchOf(index), () => order.push(index));
      assert.equal(order.length, 0, "never synchronously");
      process.nextTick(() => {
        for (let index = 12; index <= 30; index++) {
          opened.wal.append(batchOf(index), () => {
            order.push(index);
            if (index === 30) resolve();
          });
        }
      });
    });
    assert.ok(opened.wal.pendingBytes > 10 * 50);
    await done;
    assert.equal(opened.wal.pendingBytes, 0);
    assert.deepEqual(
      order,
      Array.from({ length: 29 }, (_, at) => at + 2),
    );
    assert.equal(syncs.length, 3, "the first, the ten, the nineteen");
    assert.equal(counts.get("sync"), 2);
    await opened.wal.close();
  });

  test("a batch that asks for no sync gets none when it is alone", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk, { segmentBytes: 1 << 20 });
    await append(opened, batchOf(1));
    await turns(20);
    const counts = counted(disk);
    await append(opened, batchOf(2, 50, false));
    assert.equal(counts.get("sync"), undefined);
    await Promise.all([append(opened, batchOf(3, 50, false)), append(opened, batchOf(4))]);
    assert.equal(counts.get("sync"), 1);
    await opened.wal.close();
  });

  test("what does not follow the log is refused before it is written", async () => {
    const { wal, ...rest } = await open(new MemoryDisk());
    await append({ wal, ...rest }, batchOf(1));
    const nothing = (): void => undefined;
    assert.throws(() => wal.append(batchOf(3), nothing), /entry 3 where 2 was expected/);
    assert.throws(
      () => wal.append({ group: 1, entries: [], truncateAfter: 2, mustSync: true }, nothing),
      /truncate/,
    );
    assert.throws(() => wal.compact(1, { index: 9, epoch: 1 }), /cannot compact to 9/);
    await wal.close();
    assert.throws(() => wal.append(batchOf(2), nothing), WalClosed);
  });

  test("a batch larger than a segment is written and found again", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    await append(opened, batchOf(1));
    await append(opened, batchOf(2, 5 * SEGMENT_BYTES));
    await append(opened, batchOf(3));
    await opened.wal.close();
    const again = await open(disk);
    assert.deepEqual(
      again.groups.get(1)?.entries.map((entry) => entry.payload.length),
      [50, 5 * SEGMENT_BYTES, 50],
    );
  });

  test("close finishes what is queued", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    let durable = 0;
    for (let index = 1; index <= 100; index++) opened.wal.append(batchOf(index), () => durable++);
    await opened.wal.close();
    assert.equal(durable, 100);
    assert.equal((await open(disk)).groups.get(1)?.entries.length, 100);
  });
});

describe("recycling", () => {
  test("segments below the compaction of every group are reused, and their old records never come back", async () => {
    const disk = new MemoryDisk();
    let opened = await open(disk);
    let index = 0;
    for (let round = 0; round < 30; round++) {
      for (let at = 0; at < 20; at++) await append(opened, batchOf(++index, 100));
      opened.wal.compact(1, { index: index - 3, epoch: 1 });
      if (round % 7 === 6) {
        disk.cut();
        disk.restart(() => 0.99);
        opened = await open(disk);
      }
    }
    await append(opened, batchOf(++index));
    await turns(60);
    const files = disk.paths();
    assert.ok(files.length <= 7, files.join(" "));
    assert.ok(files.every((path) => disk.bytesOf(path).length <= SEGMENT_BYTES));
    await opened.wal.close();
    const group = (await open(disk)).groups.get(1)!;
    assert.deepEqual(
      group.entries.map((entry) => entry.index),
      [index - 3, index - 2, index - 1, index],
    );
    assert.deepEqual(group.after, { index: index - 4, epoch: 1 });
  });

  test("a group that is not compacted keeps every segment that holds its entries", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    await append(opened, { ...batchOf(1), group: 2 });
    for (let index = 1; index <= 200; index++) await append(opened, batchOf(index));
    opened.wal.compact(1, { index: 200, epoch: 1 });
    await append(opened, batchOf(201));
    await turns(60);
    assert.ok(disk.paths().includes("/wal/0000000000000001.wal"));
    opened.wal.compact(2, { index: 1, epoch: 1 });
    await append(opened, batchOf(202));
    await turns(60);
    assert.ok(!disk.paths().includes("/wal/0000000000000001.wal"));
    await opened.wal.close();
    const { groups } = await open(disk);
    assert.deepEqual(groups.get(2)?.after, { index: 1, epoch: 1 });
    assert.equal(groups.get(1)?.entries.length, 2);
  });

  test("an installed snapshot frees what came before it", async () => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    for (let index = 1; index <= 200; index++) await append(opened, batchOf(index));
    const before = disk.paths().length;
    await append(opened, { group: 1, entries: [], restartAfter: { index: 500, epoch: 4 }, mustSync: true });
    await append(opened, {
      group: 1,
      entries: [{ index: 501, epoch: 4, kind: 0, payload: Buffer.of(1) }],
      mustSync: true,
    });
    await turns(100);
    assert.ok(disk.paths().length < before);
    await opened.wal.close();
    const group = (await open(disk)).groups.get(1)!;
    assert.deepEqual(group.after, { index: 500, epoch: 4 });
    assert.deepEqual(
      group.entries.map((entry) => entry.index),
      [501],
    );
  });

  test("a hard state survives the segment it was written in", async () => {
    const disk = new MemoryDisk();
    const hardState = { promised: { round: 7, node: 2 ** 40 }, accepted: { round: 0, node: 0 }, commit: 5 };
    let opened = await open(disk);
    await append(opened, { group: 9, entries: [], hardState, mustSync: true });
    for (let index = 1; index <= 200; index++) await append(opened, batchOf(index));
    opened.wal.compact(1, { index: 200, epoch: 1 });
    await turns(100);
    await opened.wal.close();
    assert.ok(!disk.paths().includes("/wal/0000000000000001.wal"));
    opened = await open(disk);
    assert.deepEqual(opened.groups.get(9)?.hardState, hardState);
    assert.deepEqual(opened.groups.get(9)?.entries, []);
  });
});

describe("a failing disk", () => {
  const broken = (code: string): Error => Object.assign(new Error(`${code}: the disk says no`), { code });

  for (const [operation, code, kind] of [
    ["write", "EIO", WalWriteFailed],
    ["sync", "EIO", WalWriteFailed],
    ["write", "ENOSPC", WalDiskFull],
  ] as const) {
    for (const syncInline of [false, true]) {
      test(`the first failed ${operation} (${code}, sync on the loop: ${syncInline}) ends the log for good`, async () => {
        let failAt = 0;
        for (let failed = true; failed; ) {
          failAt++;
          const disk = new MemoryDisk();
          const fatal: Error[] = [];
          const opened = await open(disk, { syncInline, onFatal: (error) => fatal.push(error) });
          let fails = 0;
          let preparing = false;
          disk.failure = (each, path) => {
            if (each !== operation || ++fails !== failAt) return undefined;
            preparing = path.endsWith(".spare");
            return broken(code);
          };
          const durable: number[] = [];
          let index = 0;
          let afterFailure = 0;
          while (index < 60) {
            index++;
            const own = index;
            opened.wal.append(batchOf(own, 100), () => {
              durable.push(own);
              if (fatal.length > 0) afterFailure++;
            });
            if (index % 3 === 0) await turns(4);
          }
          await turns(60);
          failed = fails >= failAt;
          // A disk too full to prepare a segment is fatal when the segment is needed, not before.
          if (!failed || (preparing && code === "ENOSPC")) continue;
          assert.equal(fatal.length, 1, `at ${operation} ${failAt}`);
          assert.ok(fatal[0] instanceof kind, fatal[0]?.stack);
          assert.match(fatal[0].message, /\/wal/);
          assert.equal(afterFailure, 0);
          const operations = disk.operations;
          opened.wal.append(batchOf(index + 1), () => assert.fail("refused"));
          await turns(10);
          await opened.wal.close();
          assert.equal(disk.operations, operations, "nothing is written any more");
          disk.cut();
          disk.restart(() => 0.99);
          const found = (await open(disk)).groups.get(1)?.entries.length ?? 0;
          assert.ok(found >= (durable.at(-1) ?? 0), `${found} found, ${durable.at(-1)} acknowledged`);
        }
        assert.ok(failAt > 15, `only ${failAt} operations to fail`);
      });
    }
  }

  test("a disk too full for the next segment is fatal only when that segment is needed", async () => {
    const disk = new MemoryDisk();
    const fatal: Error[] = [];
    const opened = await open(disk, { onFatal: (error) => fatal.push(error) });
    let full = true;
    disk.failure = (operation, path) =>
      full && operation === "open" && path.includes(".spare") ? broken("ENOSPC") : undefined;
    let index = 0;
    for (; index < 18; index++) await append(opened, batchOf(index + 1, 100));
    await turns(50);
    assert.equal(fatal.length, 0);
    full = false;
    for (; index < 60; index++) await append(opened, batchOf(index + 1, 100));
    await turns(50);
    full = true;
    for (; index < 200; index++) opened.wal.append(batchOf(index + 1, 100), () => undefined);
    await turns(200);
    assert.equal(fatal.length, 1);
    assert.ok(fatal[0] instanceof WalDiskFull, fatal[0]?.stack);
  });

  test("a folder that cannot be used is named when opening", async () => {
    await assert.rejects(
      openWal({ directory: "/proc/nowhere/wal", onFatal: assert.ifError }),
      (error: Error) =>
        error instanceof WalFolderUnusable && error.message.startsWith("cannot use /proc/nowhere/wal: "),
    );
  });
});
