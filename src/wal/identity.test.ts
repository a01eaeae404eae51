import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { IdentityMismatch, WalFolderUnusable } from "./errors.js";
import { claimFolder, readIdentity } from "./identity.js";

const ours = { clusterId: "cdf818194e3a8c32", memberId: "8e9e05c52164694d", engine: "raft" };

describe("identity of a data folder", () => {
  test("the first claim gives the folder its identity, later ones find it", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(directory, { recursive: true }));
    assert.equal(await readIdentity(directory), undefined);
    assert.equal(await claimFolder(directory, ours), "claimed");
    assert.equal(await claimFolder(directory, ours), "ours");
    assert.deepEqual(await readIdentity(directory), ours);
  });

  test("another cluster, member or engine is refused in one line that names both", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(directory, { recursive: true }));
    await claimFolder(directory, ours);
    for (const [other, pattern] of [
      [{ ...ours, clusterId: "1" }, /belongs to cluster cdf818194e3a8c32, this node was started as 1$/],
      [{ ...ours, memberId: "2" }, /belongs to member 8e9e05c52164694d, this node was started as 2$/],
      [{ ...ours, engine: "zab" }, /belongs to consensus engine raft, this node was started as zab$/],
    ] as const) {
      await assert.rejects(claimFolder(directory, other), (error: Error) => {
        assert.ok(error instanceof IdentityMismatch);
        assert.match(error.message, pattern);
        assert.ok(!error.message.includes("\n"));
        return true;
      });
    }
  });

  test("a record that was changed or cut is damaged, not absent", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "quorate-"));
    t.after(() => rm(directory, { recursive: true }));
    await claimFolder(directory, ours);
    const path = join(directory, "identity.json");
    const text = await readFile(path, "utf8");
    for (const bad of [
      text.replace("raft", "zab"),
      text.slice(0, 40),
      "",
      text.replace('"format": 1', '"format": 9'),
    ]) {
      await writeFile(path, bad);
      await assert.rejects(claimFolder(directory, ours), IdentityMismatch);
    }
  });

  test("a folder that cannot be written is named", async () => {
    await assert.rejects(claimFolder("/proc/self", ours), (error: Error) => {
      assert.ok(error instanceof WalFolderUnusable);
      assert.match(error.message, /^cannot use \/proc\/self: /);
      return true;
    });
  });
});
