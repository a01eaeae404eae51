// Runs the commands that documents show: every block marked "sh cluster", in the order of its document,
// against a fresh local cluster. The customary ports in them stand for those of the cluster.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { ClusterCommand, freePorts } from "./cli/testing/cluster-command.js";
import { skipWithout } from "./cli/testing/programs.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const paths = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];
const documents = paths
  .map((path) => {
    const text = readFileSync(join(root, path), "utf8");
    return { path, blocks: [...text.matchAll(/^```sh cluster\n(.*?)^```$/gms)].map((match) => match[1]!) };
  })
  .filter(({ blocks }) => blocks.length > 0);
const customaryPorts = [2379, 22379, 32379];

describe("the commands in", { skip: skipWithout("etcdctl", "curl", "bash"), timeout: 120_000 }, () => {
  assert.ok(documents.length > 0, "there are documents with commands to run");
  for (const { path, blocks } of documents)
    it(`${path} succeed against a fresh cluster`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "quorate-documents-"));
      const ports = await freePorts(6);
      const cluster = new ClusterCommand([
        `--data-dir=${join(folder, "data")}`,
        `--client-ports=${ports.slice(0, 3).join(",")}`,
        `--peer-ports=${ports.slice(3).join(",")}`,
      ]);
      try {
        await cluster.ready();
        for (const block of blocks) {
          const script = block.replaceAll(/(?<=127\.0\.0\.1:)\d+/g, (port) => {
            const at = customaryPorts.indexOf(Number(port));
            assert.ok(at >= 0, `${port} is no customary port`);
            return String(ports[at]);
          });
          const result = spawnSync("bash", ["-euo", "pipefail", "-c", script], {
            cwd: folder,
            encoding: "utf8",
            env: { ...process.env, ETCDCTL_API: "3" },
            timeout: 60_000,
          });
          assert.equal(result.status, 0, `${script}\n${result.stdout}${result.stderr}`);
        }
      } finally {
        await cluster.kill();
        rmSync(folder, { recursive: true });
      }
    });
});
