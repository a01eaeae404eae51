// The read-only verification that CI runs: format, lint, types, schemas, generated files, tests,
// interop tests, a minute of simulation. Goes on after a failure and ends with a summary.
//   npm run verify
//   npm run verify -- --after-tests    when `npm test` has just passed
//   npm run verify -- --quick          without interop tests and simulation
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { filesBelow, prepare, root, toolPath } from "./prepare.mjs";

const wanted = new Set(process.argv.slice(2));
for (const flag of wanted)
  if (flag !== "--after-tests" && flag !== "--quick") {
    console.error(`verify: unknown option ${flag}; known are --after-tests and --quick`);
    process.exit(2);
  }
const results = [];
const temporary = mkdtempSync(join(tmpdir(), "verify-"));
process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));

const env = { ...process.env, PATH: toolPath };
const ours = (script) => [process.execPath, join(root, "scripts", script)];

/** Runs a command with its output shown; true when it succeeded. */
function succeeds([command, ...args]) {
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", env });
  if (result.error !== undefined) console.error(`${command}: ${result.error.message}`);
  return result.status === 0;
}

/** @param check returns true, false, or a text that says why it was skipped. */
function step(name, check) {
  console.log(`\n── ${name}`);
  const begun = performance.now();
  const outcome = check();
  const seconds = (performance.now() - begun) / 1000;
  results.push({ name, outcome, seconds });
  if (typeof outcome === "string") console.log(`skipped: ${outcome}`);
}

/** The commit whose schemas ours must be compatible with: the main branch, or the one before on it. */
function baseCommit() {
  const resolve = (name) => {
    const result = spawnSync("git", ["rev-parse", "--verify", "--quiet", `${name}^{commit}`], {
      cwd: root,
      encoding: "utf8",
    });
    return result.status === 0 ? result.stdout.trim() : undefined;
  };
  const head = resolve("HEAD");
  const main = resolve("origin/main") ?? resolve("main");
  return main === head ? resolve("HEAD~1") : main;
}

function compatible() {
  const base = baseCommit();
  if (base === undefined) return "no earlier commit to compare with";
  const archive = join(temporary, "base.tar");
  const packed = spawnSync("git", ["archive", `--output=${archive}`, base, "proto", "buf.yaml"], {
    cwd: root,
  });
  if (packed.status !== 0) return `commit ${base.slice(0, 8)} has no schemas`;
  return succeeds(["buf", "breaking", "--against", archive]);
}

function generatedIsCurrent() {
  if (!succeeds(["buf", "generate", "--output", temporary])) return false;
  const read = (base) =>
    new Map(
      [...filesBelow(join(base, "src", "gen"))].map((path) => [
        relative(base, path),
        readFileSync(path, "utf8"),
      ]),
    );
  const fresh = read(temporary);
  const present = read(root);
  const stale = [...new Set([...fresh.keys(), ...present.keys()])].filter(
    (path) => fresh.get(path) !== present.get(path),
  );
  for (const path of stale) console.log(`${path} is not what the schemas give; run: npm run fix`);
  return fresh.size > 0 && stale.length === 0;
}

/** New seeds every time; a failure prints the command that replays it. */
function simulation() {
  const program = join(root, "dist/src/cli/main.js");
  return succeeds([process.execPath, "--enable-source-maps", program, "simulate", "--seconds", "60"]);
}

prepare();
step("format and lint", () => succeeds(["biome", "check", "--error-on-warnings", "."]));
step("types", () => succeeds(["tsc", "--noEmit", "--incremental", "false", "-p", "."]));
step("schemas: lint", () => succeeds(["buf", "lint"]));
step("schemas: breaking changes", compatible);
step("generated files", generatedIsCurrent);
step("tests (layers and form of the sources among them)", () =>
  wanted.has("--after-tests") ? "npm test has just run them" : succeeds(ours("test.mjs")),
);
step("interop tests", () =>
  wanted.has("--quick") ? "--quick" : succeeds([...ours("test.mjs"), "--interop"]),
);
step("one minute of simulation", () => (wanted.has("--quick") ? "--quick" : simulation()));

console.log("\n── summary");
const words = { true: "ok", false: "FAILED" };
for (const { name, outcome, seconds } of results)
  console.log(`${(words[outcome] ?? "skipped").padEnd(8)} ${seconds.toFixed(1).padStart(6)} s  ${name}`);
process.exit(results.some(({ outcome }) => outcome === false) ? 1 : 0);
