// Runs the tests with node's own runner:
//   npm test                      every test that needs nothing but Node
//   npm test -- wal raft          those whose path contains one of the words
//   npm test -- --interop         those that need other programs (*.interop.test.ts)
import { spawnSync } from "node:child_process";
import { join, relative } from "node:path";
import { filesBelow, prepare, root } from "./prepare.mjs";

const args = process.argv.slice(2);
const interop = args.includes("--interop");
const words = args.filter((argument) => !argument.startsWith("--"));
prepare();
const files = [...filesBelow(join(root, "dist"))]
  .filter((path) => path.endsWith(".test.js") && path.endsWith(".interop.test.js") === interop)
  .filter((path) => words.length === 0 || words.some((word) => relative(root, path).includes(word)))
  .sort();
if (files.length === 0) {
  console.error("no test matches");
  process.exit(1);
}
const result = spawnSync(
  process.execPath,
  [
    "--enable-source-maps",
    "--expose-gc",
    "--test",
    "--test-reporter=spec",
    `--test-concurrency=${interop ? 1 : 2}`,
    ...files,
  ],
  { cwd: root, stdio: "inherit" },
);
process.exit(result.status ?? 1);
