// Starts that must fail: each prints one line that says what is wrong (and, where it helps, what to do),
// and ends soon with a status other than 0, without having touched what is not its own.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type NodePlan, NodeProcess } from "../harness/node-process.js";
import { eventually, freePorts, ProcessCluster } from "../harness/process-cluster.js";
import { endOf, get, plainLines, put } from "./witness.js";

const program = fileURLToPath(new URL("../../cli/main.js", import.meta.url));

/** Runs the command to its end; it must come within half a minute. */
async function run(...args: string[]): Promise<{ status: number | null; lines: string[]; all: string }> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let all = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      all += chunk.toString();
    });
  const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearTimeout(timer);
  return { status, lines: plainLines(all), all };
}

/** The command ends with this status and says just this. */
async function assertRefused(args: string[], status: number, line: RegExp | string): Promise<void> {
  const ended = await run(...args);
  const what = `quorate ${args.join(" ")}\n${ended.all}`;
  assert.equal(ended.lines.length, 1, what);
  if (typeof line === "string") assert.equal(ended.lines[0], line, what);
  else assert.match(ended.lines[0]!, line, what);
  assert.equal(ended.status, status, what);
}

async function taken(): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: (server.address() as { port: number }).port };
}

describe("starts that must fail", { timeout: 300_000 }, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "quorate-starts-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const anyPorts = ["--listen-client-urls=http://127.0.0.1:0", "--listen-peer-urls=http://127.0.0.1:0"];

  it("says which flag, value or command is wrong, and what was probably meant", async () => {
    const expected: [args: string, line: string][] = [
      ["srver", "quorate: unknown command 'srver'; did you mean server?"],
      ["frobnicate", "quorate: unknown command 'frobnicate'"],
      ["cluster --nods 3", "quorate: unknown option '--nods'; did you mean --nodes?"],
      ["server --data-dri x", "quorate: unknown flag --data-dri; did you mean --data-dir?"],
      ["server --xyzzy x", "quorate: unknown flag --xyzzy"],
      ["server --data-dir", "quorate: --data-dir needs a value"],
      ["server extra", 'quorate: unexpected argument "extra"'],
      [
        "server --election-timeout=soon",
        'quorate: --election-timeout: expected a whole number, found "soon"',
      ],
      [
        "server --election-timeout=200",
        "quorate: --election-timeout (200 ms) must be at least 5 times --heartbeat-interval (100 ms)",
      ],
      ["server --initial-cluster=foo", 'quorate: --initial-cluster: expected name=url, found "foo"'],
      [
        "server --listen-client-urls=foo",
        'quorate: --listen-client-urls: "foo" is not a URL such as http://127.0.0.1:2379',
      ],
      ["server --cert-file=x", "quorate: flag --cert-file is not available in this version"],
    ];
    for (const [args, line] of expected) await assertRefused(args.split(" "), 2, line);
  });

  it("says which folder cannot be used", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    const below = join(file, "data");
    await assertRefused(
      ["server", ...anyPorts, `--data-dir=${below}`],
      1,
      /^quorate: cannot create \S+\/file\/data: ENOTDIR: not a directory/,
    );
    await assertRefused(
      ["server", ...anyPorts, `--data-dir=${file}`],
      1,
      /^quorate: cannot create \S+\/file: EEXIST: file already exists/,
    );
    const client = await freePorts(6);
    await assertRefused(
      [
        "cluster",
        `--data-dir=${below}`,
        `--client-ports=${client.slice(0, 3).join()}`,
        `--peer-ports=${client.slice(3).join()}`,
      ],
      2,
      /^quorate: cannot write to \S+\/file\/data: ENOTDIR: not a directory/,
    );
    await assertRefused(
      ["server", ...anyPorts, `--data-dir=${join(folder, "ok")}`, `--wal-dir=${below}`],
      1,
      /^quorate: cannot (use|create) \S+\/file\/data: ENOTDIR: not a directory/,
    );
  });

  it("ends at once where a folder cannot be made although nothing is in its place", {
    skip: existsSync("/proc/self") ? false : "no /proc here",
  }, async () => {
    await assertRefused(
      ["server", ...anyPorts, "--data-dir=/proc/none/x"],
      1,
      /^quorate: cannot create \/proc\/none\/x: ENOENT/,
    );
  });

  it("says that a file system is read-only", async (t) => {
    const mount = join(folder, "read-only");
    mkdirSync(mount);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", mount], {
      encoding: "utf8",
    });
    if (mounted.status !== 0) return t.skip(`cannot mount here: ${mounted.error?.message ?? mounted.stderr}`);
    try {
      for (const dir of [mount, join(mount, "data")])
        await assertRefused(
          ["server", ...anyPorts, `--data-dir=${dir}`],
          1,
          /^quorate: cannot (use|create|write to) \S+\/read-only\S*: EROFS: read-only file system/,
        );
    } finally {
      spawnSync("umount", [mount]);
    }
  });

  it("names the port that is taken, and leaves the folder usable", async () => {
    const { server, port } = await taken();
    const dataDir = join(folder, "ports");
    try {
      for (const [option, other, purpose] of [
        ["--listen-client-urls", "--listen-peer-urls", "clients"],
        ["--listen-peer-urls", "--listen-client-urls", "peers"],
      ] as const)
        await assertRefused(
          [
            "server",
            `${option}=http://127.0.0.1:${port}`,
            `${other}=http://127.0.0.1:0`,
            `--data-dir=${dataDir}${purpose}`,
          ],
          1,
          `quorate: cannot listen for ${purpose} on http://127.0.0.1:${port}: the port is taken by another program`,
        );
      await assertRefused(
        [
          "server",
          "--listen-client-urls=http://192.0.2.1:1",
          "--listen-peer-urls=http://127.0.0.1:0",
          `--data-dir=${dataDir}`,
        ],
        1,
        "quorate: cannot listen for clients on http://192.0.2.1:1: this machine has no such address",
      );
      const [a, b, c, d, e] = await freePorts(5);
      await assertRefused(
        [
          "cluster",
          `--data-dir=${join(folder, "local")}`,
          `--client-ports=${a},${port},${b}`,
          `--peer-ports=${c},${d},${e}`,
        ],
        2,
        `quorate: port ${port} is taken by another program (n2); is a cluster running already?`,
      );
      assert.ok(!existsSync(join(folder, "local")), "a folder was made for a cluster that cannot start");
    } finally {
      server.close();
    }
  });

  describe("beside a running node", () => {
    let cluster: ProcessCluster;
    let node: NodeProcess;
    before(async () => {
      cluster = await ProcessCluster.start({ nodes: 1 });
      node = cluster.nodes[0]!;
      await put(node, "kept", "1");
    });
    after(() => cluster?.destroy());

    /** A second process with other ports and what else is said. */
    async function second(
      change: Partial<NodePlan>,
    ): Promise<{ status: number | string; lines: string[]; all: string }> {
      const [clientPort, peerPort] = await freePorts(2);
      const plan = { ...node.plan, clientPort: clientPort!, peerPort: peerPort!, ...change };
      const other = new NodeProcess({
        ...plan,
        initialCluster: `${plan.name}=http://127.0.0.1:${plan.peerPort}`,
      });
      other.start();
      const status = await endOf(other, 30_000);
      return { status, lines: plainLines(other.output), all: other.output };
    }

    it("keeps a second process out of the data folder", async () => {
      const { status, lines, all } = await second({});
      assert.deepEqual(
        [status, lines],
        [
          1,
          [
            `quorate: ${node.plan.dataDir} is in use by process ${node.pid}: two nodes must never share a data folder`,
          ],
        ],
        all,
      );
      assert.equal(await get(node, "kept"), "1");
    });

    it("keeps a second process out of a log folder that lies elsewhere", async () => {
      const walDir = join(node.plan.dataDir, "wal");
      const stranger = await second({
        dataDir: join(cluster.folder, "stranger"),
        extra: [`--wal-dir=${walDir}`],
      });
      assert.equal(stranger.status, 1, stranger.all);
      assert.equal(stranger.lines.length, 1, stranger.all);
      assert.match(
        stranger.lines[0]!,
        /holds a log, but \S+ has no identity record: they do not belong together/,
      );
      // A node of its own that is then pointed at the other's log.
      const [clientPort, peerPort] = await freePorts(2);
      const dataDir = join(cluster.folder, "own");
      const own = new NodeProcess({
        name: "n1",
        clientPort: clientPort!,
        peerPort: peerPort!,
        dataDir,
        initialCluster: `n1=http://127.0.0.1:${peerPort}`,
      });
      own.start();
      await eventually("a put", 20_000, () => put(own, "own", "1"));
      await own.stop();
      const crossed = await second({
        dataDir,
        clientPort: clientPort!,
        peerPort: peerPort!,
        extra: [`--wal-dir=${walDir}`],
      });
      assert.equal(crossed.status, 1, crossed.all);
      assert.equal(crossed.lines.length, 1, crossed.all);
      assert.match(crossed.lines[0]!, /wal (is in use by process \d+|belongs to cluster)/);
      await put(node, "kept", "2");
      await node.stop();
      node.start();
      assert.equal(await eventually("the value", 20_000, () => get(node, "kept")), "2");
    });

    it("refuses a copy of the data under another cluster's name, token or ports", async () => {
      await node.stop();
      const copy = join(cluster.folder, "copy");
      cpSync(node.plan.dataDir, copy, { recursive: true, filter: (path) => !path.endsWith(".sock") });
      node.start();
      for (const change of [{ token: "another" }, {}] as const) {
        const { status, lines, all } = await second({ dataDir: copy, ...change });
        assert.equal(status, 1, all);
        assert.equal(lines.length, 1, all);
        assert.match(
          lines[0]!,
          /copy holds data of cluster [0-9a-f]+, but --initial-cluster and --initial-cluster-token describe cluster [0-9a-f]+/,
        );
      }
      assert.equal(await eventually("the value", 20_000, () => get(node, "kept")), "2");
    });

    it("refuses to take part without its log, and without its identity", async () => {
      await node.stop();
      const { dataDir } = node.plan;
      const aside = join(cluster.folder, "aside");
      const lose = async (name: string): Promise<string[]> => {
        renameSync(join(dataDir, name), aside);
        const from = node.output.length;
        node.start();
        const status = await endOf(node, 30_000);
        assert.equal(status, 1, node.output);
        rmSync(join(dataDir, name), { recursive: true, force: true });
        renameSync(aside, join(dataDir, name));
        return plainLines(node.output.slice(from));
      };
      for (const [name, line] of [
        [
          "wal",
          /^quorate: the log in \S+ is missing: .* remove the member, clear its data folder and add it again$/,
        ],
        [
          "identity.json",
          /^quorate: \S+ holds a log, but \S+ has no identity record: they do not belong together/,
        ],
        ["store", /^quorate: the store in \S+ is missing/],
      ] as const) {
        const lines = await lose(name);
        assert.equal(lines.length, 1, `${name}: ${lines.join("\n")}`);
        assert.match(lines[0]!, line);
      }
      node.start();
      assert.equal(await eventually("the value", 20_000, () => get(node, "kept")), "2");
      assert.deepEqual(
        readdirSync(dataDir)
          .filter((name) => !name.endsWith(".sock"))
          .sort(),
        ["identity.json", "store", "wal"],
      );
    });
  });
});
