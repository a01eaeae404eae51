import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FolderLocked, WalFolderUnusable } from "./errors.js";
import { lockFolder } from "./folder-lock.js";

const lockModule = new URL("./folder-lock.js", import.meta.url).href;

/** A process that takes the lock, says how that went, and stays. */
function contender(directory: string): ChildProcess {
  const program = `
    const { lockFolder } = await import(${JSON.stringify(lockModule)});
    try {
      await lockFolder(${JSON.stringify(directory)});
      process.stdout.write("held\\n");
      setInterval(() => {}, 1000);
    } catch (error) {
      process.stdout.write(error.name + "\\n");
    }`;
  return spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

const firstLine = async (child: ChildProcess): Promise<string> => {
  const [bytes] = (await once(child.stdout!, "data")) as [Buffer];
  return bytes.toString().trim();
};

async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

describe("lock of a data folder", () => {
  test("a second process is refused and told the first one's id", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(directory, { recursive: true }));
    const child = contender(directory);
    t.after(() => child.kill("SIGKILL"));
    assert.equal(await firstLine(child), "held");
    await assert.rejects(lockFolder(directory), (error: Error) => {
      assert.ok(error instanceof FolderLocked);
      assert.equal(error.pid, child.pid);
      return true;
    });
  });

  test("a killed process leaves nothing in the way", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(directory, { recursive: true }));
    const child = contender(directory);
    assert.equal(await firstLine(child), "held");
    await kill(child, "SIGKILL");
    assert.equal((await readdir(directory)).length, 1);
    const lock = await lockFolder(directory);
    assert.equal((await readdir(directory)).length, 1);
    await lock.release();
    assert.deepEqual(await readdir(directory), []);
  });

  test("a stopped process still holds", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(directory, { recursive: true }));
    const child = contender(directory);
    t.after(() => child.kill("SIGKILL"));
    assert.equal(await firstLine(child), "held");
    child.kill("SIGSTOP");
    await assert.rejects(lockFolder(directory), FolderLocked);
  });

  test("of many that start at once exactly one holds", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(directory, { recursive: true }));
    const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(directory)));
    const held = attempts.filter((attempt) => attempt.status === "fulfilled");
    assert.equal(held.length, 1);
    for (const attempt of attempts) {
      if (attempt.status === "rejected")
        assert.ok(attempt.reason instanceof FolderLocked, String(attempt.reason));
      else await attempt.value.release();
    }
    await (await lockFolder(directory)).release();
  });

  test("a path longer than a socket address works", async (t) => {
    const top = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(top, { recursive: true }));
    const directory = join(top, "d".repeat(120), "e".repeat(60));
    await mkdir(directory, { recursive: true });
    const lock = await lockFolder(directory);
    await assert.rejects(lockFolder(directory), FolderLocked);
    await lock.release();
    await (await lockFolder(directory)).release();
  });

  test("a folder that is missing is named, and a stranger's socket is left alone", async (t) => {
    await assert.rejects(lockFolder("/nonexistent/quorate"), WalFolderUnusable);
    const directory = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(directory, { recursive: true }));
    const stranger = createServer().listen(join(directory, "other.sock"));
    await once(stranger, "listening");
    const lock = await lockFolder(directory);
    await lock.release();
    assert.deepEqual(await readdir(directory), ["other.sock"]);
    stranger.close();
  });
});
