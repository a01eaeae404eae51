// The log on real files under kill -9: everything that was acknowledged is found, in order.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openWal } from "./open.js";

test("after kill -9 every acknowledged entry is found again, however often it happens", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "quorate-"));
  t.after(() => rm(directory, { recursive: true }));
  const program = `
    const { openWal } = await import(${JSON.stringify(new URL("./open.js", import.meta.url).href)});
    const { wal, groups } = await openWal({ directory: ${JSON.stringify(directory)}, segmentBytes: 65536,
      syncInline: process.argv[1] === "inline", onFatal: (error) => { throw error; } });
    const group = groups.get(1);
    let index = (group?.entries.at(-1)?.index) ?? group?.after.index ?? 0;
    let compacted = group?.after.index ?? 0;
    const turn = () => {
      for (let each = 0; each < 8; each++) {
        const own = ++index;
        const payload = Buffer.alloc(40 + (own % 300));
        payload.writeUInt32LE(own);
        wal.append({ group: 1, entries: [{ index: own, epoch: 1, kind: 1, payload }], mustSync: own % 5 !== 0 }, () => {
          if (own % 5 !== 0) process.stdout.write(own + "\\n");
        });
      }
      if (index > compacted + 400) wal.compact(1, { index: (compacted = index - 100), epoch: 1 });
      if (wal.pendingBytes < 50000) setImmediate(turn); else setTimeout(turn, 1);
    };
    turn();`;
  let acknowledged = 0;
  for (let round = 0; round < 6; round++) {
    const child = spawn(
      process.execPath,
      ["--input-type=module", "-e", program, round % 2 ? "inline" : "pool"],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const target = acknowledged + 150 * (round + 1);
    let text = "";
    for await (const chunk of child.stdout) {
      text += String(chunk);
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      acknowledged = Math.max(acknowledged, ...lines.map(Number));
      if (acknowledged > target) break;
    }
    const gone = child.exitCode === null ? once(child, "exit") : Promise.resolve();
    child.kill("SIGKILL");
    await gone;
    const { wal, groups } = await openWal({
      directory,
      segmentBytes: 65536,
      onFatal: (error) => {
        throw error;
      },
    });
    const group = groups.get(1);
    assert.ok(group !== undefined);
    let index = group.after.index;
    for (const entry of group.entries) {
      assert.equal(entry.index, ++index);
      assert.equal(entry.payload.length, 40 + (index % 300));
      assert.equal(Buffer.from(entry.payload).readUInt32LE(), index);
    }
    assert.ok(index >= acknowledged, `${acknowledged} acknowledged, ${index} found`);
    acknowledged = index;
    await wal.close();
  }
  assert.ok((await readdir(directory)).length < 20);
});
