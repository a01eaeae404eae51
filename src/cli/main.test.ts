import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { freePorts } from "./testing/cluster-command.js";

const program = fileURLToPath(new URL("main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "quorate-cli-"));
after(() => rmSync(folder, { recursive: true }));

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command as a user would, in an empty folder. */
async function quorate(...args: string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
  });
  const [status] = (await once(child, "close")) as [number | null];
  return { status, stdout, stderr };
}

describe("the quorate command", () => {
  it("prints the version of package.json", async () => {
    const { version } = JSON.parse(
      readFileSync(new URL("../../../package.json", import.meta.url), "utf8"),
    ) as { version: string };
    for (const args of [["version"], ["server", "--version"]])
      assert.deepEqual(await quorate(...args), { status: 0, stdout: `quorate ${version}\n`, stderr: "" });
  });

  it("lists its commands, and every option of the server", async () => {
    const help = await quorate("--help");
    assert.equal(help.status, 0);
    assert.match(help.stdout, /cluster .*\n.*simulate/s);
    assert.ok(!/^ {2}node /m.test(help.stdout), "the internal command is hidden");
    const options = await quorate("server", "--help");
    assert.equal(options.status, 0);
    assert.match(options.stdout, /--initial-cluster-token <text>/);
  });

  const mistakes: readonly (readonly [args: readonly string[], stderr: string])[] = [
    [["clster"], "quorate: unknown command 'clster'; did you mean cluster?\n"],
    [["version", "--loud"], "quorate: unknown option '--loud'\n"],
    [["cluster", "--node", "3"], "quorate: unknown option '--node'; did you mean --nodes?\n"],
    [
      ["cluster", "--nodes", "0"],
      "quorate: option '--nodes <number>' argument '0' is invalid. At least 1 is needed.\n",
    ],
    [["cluster", "--consensus", "zab"], "quorate: --consensus: zab is not available in this version\n"],
    [["server", "--dta-dir", "x"], "quorate: unknown flag --dta-dir; did you mean --data-dir?\n"],
    [["server", "extra"], 'quorate: unexpected argument "extra"\n'],
    [
      ["server", "--heartbeat-interval=900"],
      "quorate: --election-timeout (1000 ms) must be at least 5 times --heartbeat-interval (900 ms)\n",
    ],
    [
      ["server", "--config-file=none.yaml"],
      "quorate: cannot read --config-file none.yaml: ENOENT: no such file or directory, open 'none.yaml'\n",
    ],
  ];
  for (const [args, stderr] of mistakes)
    it(`answers "${args.join(" ")}" with one line and status 2`, async () => {
      assert.deepEqual(await quorate(...args), { status: 2, stdout: "", stderr });
    });

  it("shows where an error came from with --debug", async () => {
    const { status, stderr } = await quorate("--debug", "server", "--nam=x");
    assert.equal(status, 2);
    assert.match(stderr, /did you mean --name\?\n +at /);
  });

  it("refuses to start a cluster on a port that is taken, before it leaves anything behind", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const outcome = await quorate("cluster", `--client-ports=${port}`, "--peer-ports=1", "--data-dir=taken");
    server.close();
    assert.equal(outcome.status, 2);
    assert.equal(
      outcome.stderr,
      `quorate: port ${port} is taken by another program (n1); is a cluster running already?\n`,
    );
    assert.throws(() => readFileSync(join(folder, "taken", "cluster.json")), /ENOENT/);
  });

  it("says so when it cannot write where the data should go", async () => {
    writeFileSync(join(folder, "a-file"), "");
    const [one, two] = await freePorts(2);
    const outcome = await quorate(
      "cluster",
      `--client-ports=${one}`,
      `--peer-ports=${two}`,
      "--data-dir=a-file/data",
    );
    assert.equal(outcome.status, 2);
    assert.match(outcome.stderr, /^quorate: cannot write to a-file\/data: ENOTDIR[^\n]*\n$/);
  });
});

describe("quorate simulate", () => {
  it("runs a seed the same way every time, and says what it covered", async () => {
    const first = await quorate("simulate", "--seed=7");
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stdout, /^seed 7 passed: \d+ steps, /);
    assert.deepEqual(await quorate("simulate", "--engine=raft", "--seed=7"), first);
  });

  it("refuses an engine there is not, and a seed that is none", async () => {
    const unknown = await quorate("simulate", "--engine=paxos", "--seed=1");
    assert.deepEqual(
      [unknown.status, unknown.stdout],
      [2, 'there is no engine "paxos"; known: raft, multi-paxos\n'],
    );
    assert.equal((await quorate("simulate", "--seed=-1")).status, 2);
  });
});

describe("a server that cannot start", () => {
  const anywhere = ["--listen-client-urls=http://127.0.0.1:0", "--listen-peer-urls=http://127.0.0.1:0"];
  /** Its last words; what comes before are log lines. */
  const failure = ({ status, stderr }: Outcome): string => {
    assert.equal(status, 1, stderr);
    const lines = stderr.trimEnd().split("\n");
    for (const line of lines.slice(0, -1)) JSON.parse(line);
    return lines.at(-1)!;
  };

  it("names the port that is taken", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const outcome = await quorate("server", "--name=port", `--listen-client-urls=${url}`, anywhere[1]!);
    server.close();
    assert.equal(
      failure(outcome),
      `quorate: cannot listen for clients on ${url}: the port is taken by another program`,
    );
  });

  it("names the folder it cannot create", async () => {
    writeFileSync(join(folder, "in-the-way"), "");
    const outcome = await quorate("server", "--data-dir=in-the-way/data", ...anywhere);
    assert.match(failure(outcome), /^quorate: cannot create in-the-way\/data: /);
  });

  it("tells whose data it found, and leaves them alone", async () => {
    const child = spawn(process.execPath, [program, "server", "--data-dir=mine", ...anywhere], {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    for await (const chunk of child.stderr.setEncoding("utf8")) {
      log += chunk;
      if (log.includes('"serving"')) break;
    }
    // A second node on the same folder, and then one of another cluster.
    assert.match(failure(await quorate("server", "--data-dir=mine", ...anywhere)), /is in use by process/);
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [0, null]);
    const other = await quorate("server", "--data-dir=mine", "--initial-cluster-token=other", ...anywhere);
    assert.match(failure(other), /^quorate: mine holds data of cluster [0-9a-f]+, but /);
  });
});
