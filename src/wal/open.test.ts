// The log against a plain model, on a disk that crashes, tears, forgets and fails.
import assert from "node:assert/strict";
import { describe as suite, test } from "node:test";
import { MemoryDisk, PowerFailure } from "./memory-disk.js";
import { below, describe, Model, type Random, randomBatch, randomCompaction, seeded } from "./model.js";
import { openWal } from "./open.js";
import type { OpenedWal } from "./types.js";

const directory = "/wal";
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Opens on the disk; fails the test when the log reports a failure that no power cut explains. */
function open(disk: MemoryDisk, random: Random, segmentBytes = 4096): Promise<OpenedWal> {
  let clock = 0;
  return openWal({
    directory,
    segmentBytes,
    disk,
    // Both ways of syncing, about equally often.
    syncInline: random() < 0.5,
    now: () => (clock += random() < 0.9 ? 0.4 : 2),
    randomBytes: (count) => Uint8Array.from({ length: count }, () => below(random, 256)),
    onFatal: (error) => {
      if (!(error.cause instanceof PowerFailure)) throw error;
    },
  });
}

/** What was appended, as the models after each batch, and how many of them must survive. */
class History {
  readonly models: Model[] = [new Model()];
  acknowledged = 0;

  get last(): Model {
    return this.models.at(-1)!;
  }

  /** The log found after a crash must be one of the models, none that forgets an acknowledged one. */
  check(opened: OpenedWal, message: string): void {
    const found = describe(opened.groups);
    const at = this.models.findLastIndex((model) => model.describe() === found);
    assert.notEqual(at, -1, `${message}: this was never the state of the log:\n${found}`);
    assert.ok(at >= this.acknowledged, `${message}: ${this.acknowledged} were acknowledged, ${at} are left`);
    this.models.length = 0;
    this.models.push(new Model(opened.groups));
    this.acknowledged = 0;
  }
}

/** Appends random batches until the count is reached or the power fails. */
async function work(
  { wal }: OpenedWal,
  disk: MemoryDisk,
  history: History,
  random: Random,
  count: number,
): Promise<void> {
  let outstanding = 0;
  let appended = 0;
  let epoch = 1 + below(random, 1000);
  while (appended < count && !disk.off) {
    const burst = 1 + below(random, 6);
    for (let at = 0; at < burst; at++, appended++) {
      if (random() < 0.05) epoch++;
      const compaction = random() < 0.15 ? randomCompaction(random, history.last) : undefined;
      if (compaction?.compactTo !== undefined) {
        wal.compact(compaction.group, compaction.compactTo);
        history.models.push(history.last.with(compaction));
        continue;
      }
      const batch = randomBatch(random, history.last, 3, epoch);
      history.models.push(history.last.with(batch));
      const serial = history.models.length - 1;
      outstanding++;
      wal.append(batch, () => {
        outstanding--;
        if (batch.mustSync) history.acknowledged = serial;
      });
    }
    const wait = below(random, 4);
    for (let at = 0; at < wait; at++) await turn();
  }
  while (outstanding > 0 && !disk.off) await turn();
}

const orPowerFailure = <Result>(disk: MemoryDisk, promise: Promise<Result>): Promise<Result | undefined> =>
  Promise.race([
    promise.catch((error: Error) => {
      if (disk.off) return undefined;
      throw error;
    }),
    disk.powerFailure().then(() => undefined),
  ]);

suite("write-ahead log", () => {
  test("whatever the operation at which the power fails, a prefix with everything acknowledged survives", async () => {
    for (let failAt = 1, ended = false; !ended; failAt++) {
      const random = seeded(7);
      const disk = new MemoryDisk();
      disk.powerFailsAt = failAt;
      const history = new History();
      const opened = await orPowerFailure(disk, open(disk, random));
      if (opened !== undefined) {
        await work(opened, disk, history, random, 120);
        await orPowerFailure(disk, opened.wal.close());
        ended = !disk.off;
      }
      disk.restart(seeded(failAt));
      const again = await open(disk, random);
      history.check(again, `power failed at operation ${failAt}`);
      await work(again, disk, history, random, 10);
      await again.wal.close();
      history.acknowledged = history.models.length - 1;
      history.check(await open(disk, random), `restart after a failure at operation ${failAt}`);
    }
  });

  test("hundreds of restarts, crashes in recovery included, leave the log as the model says", async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = seeded(seed);
      const disk = new MemoryDisk();
      const history = new History();
      for (let restart = 0; restart < 40; restart++) {
        const clean = random() < 0.3;
        if (!clean) disk.powerFailsAt = disk.operations + 1 + below(random, 120);
        const opened = await orPowerFailure(disk, open(disk, random));
        if (opened !== undefined) {
          history.check(opened, `seed ${seed}, restart ${restart}`);
          await work(opened, disk, history, random, 60);
          if (clean) {
            await orPowerFailure(disk, opened.wal.close());
            history.acknowledged = history.models.length - 1;
          }
        }
        if (!disk.off) disk.cut();
        disk.restart(random);
      }
      const files = disk.paths().length;
      assert.ok(files < 60, `seed ${seed}: ${files} files are left`);
    }
  });
});
