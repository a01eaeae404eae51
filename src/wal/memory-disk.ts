// A disk in memory that fails the way disks do, for tests and simulation. The fault model: a crash
// keeps what was synced; of every sector (512 bytes) written since, some version between the synced
// one and the newest; of the names changed since the folder was synced, a prefix of the changes.
// Operations can fail with an error, and the power can fail at any numbered operation.
import { strict as assert } from "node:assert";
import { basename, dirname } from "node:path";
import type { Disk, DiskCallback, DiskFile } from "./disk.js";

export const SECTOR_BYTES = 512;

export type DiskOperation = "open" | "write" | "sync" | "rename" | "remove" | "syncDirectory";

interface Change {
  readonly at: number;
  readonly data: Uint8Array;
}

/** What a name refers to; survives crashes, loses unsynced writes. */
class Inode {
  durable: Buffer = Buffer.alloc(0);
  now: Buffer = Buffer.alloc(0);
  changes: Change[] = [];

  write(data: Uint8Array, at: number): void {
    const copy = Uint8Array.from(data);
    this.now = patched(this.now, copy, at);
    this.changes.push({ at, data: copy });
  }

  sync(): void {
    this.durable = Buffer.from(this.now);
    this.changes = [];
  }

  /** Of each sector, one of the versions since the last sync. */
  crash(random: () => number): void {
    let survivor = Buffer.from(this.durable);
    for (const { at, data } of this.changes) {
      for (let from = at; from < at + data.length; ) {
        const to = Math.min(at + data.length, (Math.floor(from / SECTOR_BYTES) + 1) * SECTOR_BYTES);
        if (random() < 0.5) survivor = patched(survivor, data.subarray(from - at, to - at), from);
        from = to;
      }
    }
    this.durable = survivor;
    this.now = Buffer.from(survivor);
    this.changes = [];
  }
}

function patched(bytes: Buffer, data: Uint8Array, at: number): Buffer<ArrayBuffer> {
  const end = at + data.length;
  const result =
    end <= bytes.length
      ? (bytes as Buffer<ArrayBuffer>)
      : Buffer.concat([bytes, Buffer.alloc(end - bytes.length)]);
  result.set(data, at);
  return result;
}

type Names = Map<string, Inode>;

export class MemoryDisk implements Disk {
  /** Names by path: durable, and with all changes. Folders themselves are always durable. */
  #durable: Names = new Map();
  #now: Names = new Map();
  #changes: ((names: Names) => void)[] = [];
  /** Operations so far that change something. */
  operations = 0;
  /** The power fails at this operation: it and all later ones never end. */
  powerFailsAt = Number.POSITIVE_INFINITY;
  /** Decides whether an operation fails with an error. */
  failure: (operation: DiskOperation, path: string, count: number) => Error | undefined = () => undefined;
  #off = false;
  #onPowerFailure: (() => void)[] = [];
  /** Handles of an earlier life do nothing. */
  #life = 0;

  get off(): boolean {
    return this.#off;
  }

  /** Resolves when the power has failed. */
  powerFailure(): Promise<void> {
    if (this.#off) return Promise.resolve();
    return new Promise((resolve) => this.#onPowerFailure.push(resolve));
  }

  /** Cuts the power now. */
  cut(): void {
    this.#off = true;
    for (const resolve of this.#onPowerFailure) resolve();
    this.#onPowerFailure = [];
  }

  /** Power is back: what was not durable is gone, wholly or in part. */
  restart(random: () => number): void {
    const kept = Math.floor(random() * (this.#changes.length + 1));
    for (const change of this.#changes.slice(0, kept)) change(this.#durable);
    this.#changes = [];
    this.#now = new Map(this.#durable);
    for (const inode of new Set(this.#now.values())) inode.crash(random);
    this.#off = false;
    this.powerFailsAt = Number.POSITIVE_INFINITY;
    this.failure = () => undefined;
    this.#life++;
  }

  /** Contents of a file, for tests that look at or damage it. */
  bytesOf(path: string): Buffer {
    const inode = this.#now.get(path);
    assert(inode !== undefined, `${path} exists`);
    return inode.now;
  }

  /** Replaces the contents, durably. */
  overwrite(path: string, bytes: Buffer): void {
    const inode = this.#now.get(path);
    assert(inode !== undefined, `${path} exists`);
    inode.now = Buffer.from(bytes);
    inode.sync();
  }

  delete(path: string): void {
    this.#durable.delete(path);
    this.#now.delete(path);
  }

  paths(): string[] {
    return [...this.#now.keys()].sort();
  }

  /** Carries one operation out, unless the power is off or it shall fail. */
  #run<Result>(
    life: number,
    operation: DiskOperation,
    path: string,
    effect: () => Result,
    done: (error: Error | null, result?: Result) => void,
  ): void {
    if (this.#off || life !== this.#life) return;
    this.operations++;
    if (this.operations >= this.powerFailsAt) {
      // The operation may have had its effect, without anybody knowing.
      if (operation !== "sync" && operation !== "syncDirectory") effect();
      this.cut();
      return;
    }
    const error = this.failure(operation, path, this.operations);
    const result = error === undefined ? effect() : undefined;
    setImmediate(() => {
      if (this.#off || life !== this.#life) return;
      if (error === undefined) done(null, result);
      else done(error);
    });
  }

  #promised<Result>(operation: DiskOperation, path: string, effect: () => Result): Promise<Result> {
    return new Promise((resolve, reject) =>
      this.#run(this.#life, operation, path, effect, (error, result) =>
        error ? reject(error) : resolve(result as Result),
      ),
    );
  }

  #rename(change: (names: Names) => void): void {
    change(this.#now);
    this.#changes.push(change);
  }

  async makeDirectory(): Promise<void> {}

  list(path: string): Promise<string[]> {
    return Promise.resolve(
      this.paths()
        .filter((each) => dirname(each) === path)
        .map((each) => basename(each)),
    );
  }

  async open(path: string, mode: "create" | "existing"): Promise<DiskFile> {
    const life = this.#life;
    const inode = await this.#promised("open", path, () => {
      const found = this.#now.get(path);
      if (mode === "existing" || found !== undefined) return found;
      const created = new Inode();
      this.#rename((names) => names.set(path, created));
      return created;
    });
    if (inode === undefined)
      throw Object.assign(new Error(`ENOENT: no such file: ${path}`), { code: "ENOENT" });
    return this.#handle(life, path, inode);
  }

  #handle(life: number, path: string, inode: Inode): DiskFile {
    const run = (operation: DiskOperation, effect: () => void, done: DiskCallback): void =>
      this.#run(life, operation, path, effect, (error) => done(error));
    return {
      size: () => Promise.resolve(inode.now.length),
      read: (target, position) => {
        const bytes = inode.now.subarray(position, position + target.length);
        target.set(bytes);
        return Promise.resolve(bytes.length);
      },
      write: (data, position, done) => run("write", () => inode.write(data, position), done),
      sync: (done) => {
        // What is written after the sync began is not part of it; nothing is, in this log.
        run("sync", () => inode.sync(), done);
      },
      writeNow: (data, position) =>
        this.#onThisThread(life, "write", path, () => inode.write(data, position)),
      syncNow: () => this.#onThisThread(life, "sync", path, () => inode.sync()),
      close: () => Promise.resolve(),
    };
  }

  /** A call on the calling thread cannot hang; when the power fails in it, it throws. */
  #onThisThread(life: number, operation: DiskOperation, path: string, effect: () => void): void {
    if (this.#off || life !== this.#life) throw new PowerFailure();
    this.operations++;
    if (this.operations >= this.powerFailsAt) {
      if (operation === "write") effect();
      this.cut();
      throw new PowerFailure();
    }
    const error = this.failure(operation, path, this.operations);
    if (error !== undefined) throw error;
    effect();
  }

  rename(from: string, to: string): Promise<void> {
    return this.#promised("rename", from, () => {
      const inode = this.#now.get(from);
      assert(inode !== undefined, `${from} exists`);
      this.#rename((names) => {
        names.delete(from);
        names.set(to, inode);
      });
    });
  }

  remove(path: string): Promise<void> {
    return this.#promised("remove", path, () => this.#rename((names) => void names.delete(path)));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#promised("syncDirectory", path, () => {
      this.#durable = new Map(this.#now);
      this.#changes = [];
    });
  }
}

/** Thrown by calls on the calling thread when the power fails in them. */
export class PowerFailure extends Error {
  override readonly name = "PowerFailure";
}
