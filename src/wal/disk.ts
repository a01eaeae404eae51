// The few file operations the log needs, so that tests can put a disk under it that fails, tears and
// forgets. Writes put all bytes or fail; nothing is durable before a sync that began after it returned.
import * as fs from "node:fs";
import { mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { resolve as absolute, dirname } from "node:path";

export type DiskCallback = (error: Error | null) => void;

export interface DiskFile {
  size(): Promise<number>;
  /** Fills `target` from `position`; resolves to the bytes read, fewer only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes on the calling thread. */
  writeNow(data: Uint8Array, position: number): void;
  /** Writes on the pool. */
  write(data: Uint8Array, position: number, done: DiskCallback): void;
  /** fdatasync on the pool. */
  sync(done: DiskCallback): void;
  /** fdatasync on the calling thread. */
  syncNow(): void;
  close(): Promise<void>;
}

export interface Disk {
  /** Creates the folder and those above it; each new one is durable when this resolves. */
  makeDirectory(path: string): Promise<void>;
  list(path: string): Promise<string[]>;
  /** `create` truncates what is there. */
  open(path: string, mode: "create" | "existing"): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes created, renamed and removed names of the folder durable. */
  syncDirectory(path: string): Promise<void>;
}

class NodeFile implements DiskFile {
  readonly #fd: number;
  constructor(fd: number) {
    this.#fd = fd;
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.fstat(this.#fd, (error, stats) => (error ? reject(error) : resolve(stats.size))),
    );
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      const count = await new Promise<number>((resolve, reject) =>
        fs.read(this.#fd, target, filled, target.length - filled, position + filled, (error, bytes) =>
          error ? reject(error) : resolve(bytes),
        ),
      );
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }

  writeNow(data: Uint8Array, position: number): void {
    let written = 0;
    while (written < data.length) {
      written += fs.writeSync(this.#fd, data, written, data.length - written, position + written);
    }
  }

  write(data: Uint8Array, position: number, done: DiskCallback): void {
    // A short write is legal (a signal, a full disk); the error, if any, shows at the next attempt.
    const from = (written: number): void => {
      fs.write(this.#fd, data, written, data.length - written, position + written, (error, count) => {
        if (error) done(error);
        else if (written + count === data.length) done(null);
        else from(written + count);
      });
    };
    from(0);
  }

  sync(done: DiskCallback): void {
    fs.fdatasync(this.#fd, done);
  }

  syncNow(): void {
    fs.fdatasyncSync(this.#fd);
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) =>
      fs.close(this.#fd, (error) => (error ? reject(error) : resolve())),
    );
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Not mkdir's own `recursive`: that does not sync what it makes, and never returns where a parent
 * cannot be made for a reason that looks like its absence (/proc).
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(path) === path) throw error;
    await makeDirectory(dirname(path));
    await mkdir(path);
  }
  await syncDirectory(dirname(path));
}

/** The real one. */
export function nodeDisk(): Disk {
  return {
    makeDirectory: (path) => makeDirectory(absolute(path)),
    list: (path) => readdir(path),
    open: (path, mode) =>
      new Promise((resolve, reject) =>
        fs.open(path, mode === "create" ? "w+" : "r+", 0o600, (error, fd) =>
          error ? reject(error) : resolve(new NodeFile(fd)),
        ),
      ),
    rename: (from, to) => rename(from, to),
    remove: (path) => unlink(path),
    syncDirectory,
  };
}

/** Callback operations as promises, for everything off the hot path. */
export const writeAll = (file: DiskFile, data: Uint8Array, position: number): Promise<void> =>
  new Promise((resolve, reject) =>
    file.write(data, position, (error) => (error ? reject(error) : resolve())),
  );

export const syncAll = (file: DiskFile): Promise<void> =>
  new Promise((resolve, reject) => file.sync((error) => (error ? reject(error) : resolve())));
