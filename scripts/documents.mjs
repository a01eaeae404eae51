// Writes the generated parts of documents: the pages of the API and its errors, and the table of options
// in docs/operations.md. Tests check that they are current.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { prepare, root, run } from "./prepare.mjs";

prepare();
run(process.execPath, [join(root, "dist/src/api/docs/write.js")]);
const { markdownTable } = await import(pathToFileURL(join(root, "dist/src/server/config/help.js")));

const file = join(root, "docs", "operations.md");
const text = readFileSync(file, "utf8");
const marked = /(<!-- generated: options -->\n).*?(<!-- end -->)/s;
if (!marked.test(text)) throw new Error(`${file} has no place for the table of options`);
const written = text.replace(marked, (_, begin, end) => `${begin}\n${markdownTable()}\n${end}`);
if (written !== text) {
  writeFileSync(file, written);
  console.log(`wrote ${file}`);
}
