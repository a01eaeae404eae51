// Brings a checkout to a runnable state: installs dependencies when they are missing or outdated and
// compiles TypeScript when a source is newer than the last build. Does nothing when all is fresh.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** PATH with the tools of node_modules first. */
export const toolPath = [join(root, "node_modules", ".bin"), process.env.PATH].join(delimiter);
const stamp = join(root, "dist", ".built");

/** Runs a command in the project's root; ends this process with its status when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (result.error) {
    console.error(`${command}: ${result.error.message}`);
    process.exit(1);
  }
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/** Every file below the folder, as absolute paths. */
export function* filesBelow(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

export function install() {
  const installed = join(root, "node_modules", ".package-lock.json");
  if (modified(installed) >= modified(join(root, "package-lock.json")) && existsSync(installed)) return;
  console.error("installing dependencies");
  // Standard output belongs to the command that follows.
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { stdio: ["ignore", 2, 2] });
}

/** The newest modification of anything below the folder; a folder's own tells of files that went. */
function newestBelow(folder) {
  let newest = modified(folder);
  if (newest === 0) return 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestBelow(path) : modified(path));
  }
  return newest;
}

/** A compiled file whose source is gone must not be found by the test runner. */
function removeOrphans() {
  for (const path of filesBelow(join(root, "dist"))) {
    const source = /^(.*)\.js(?:\.map)?$/.exec(relative(join(root, "dist"), path))?.[1];
    if (source !== undefined && !existsSync(join(root, `${source}.ts`))) rmSync(path);
  }
}

export function build() {
  const built = modified(stamp);
  const sources = [
    modified(join(root, "tsconfig.json")),
    ...["src", "bench"].map((name) => newestBelow(join(root, name))),
  ];
  if (built > 0 && Math.max(...sources) < built) return;
  console.error("compiling");
  const begun = new Date();
  rmSync(stamp, { force: true });
  run(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", root], {
    stdio: ["ignore", 2, 2],
  });
  removeOrphans();
  writeFileSync(stamp, "");
  // What was changed while the compiler ran counts as newer.
  utimesSync(stamp, begun, begun);
}

export function prepare() {
  install();
  build();
}
