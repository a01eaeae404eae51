import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { errors } from "../errors.js";
import { errorsPage } from "./errors-page.js";
import { generatedPages } from "./pages.js";
import { bufProgram } from "./schemas.js";

// The test runner is started in the project's root.
const root = process.cwd();
const buf = bufProgram(root);
const missing = buf === undefined && process.env.CI !== "true" && "node_modules/.bin/buf is missing";

test("the generated pages under docs/ are up to date", { skip: missing }, () => {
  assert.ok(buf !== undefined, "node_modules/.bin/buf is missing; run: npm ci");
  for (const [name, text] of generatedPages(root, buf)) {
    const found = readFileSync(join(root, "docs", name), "utf8");
    assert.ok(found === text, `docs/${name} is stale; run: node scripts/run.mjs src/api/docs/write.js`);
  }
});

test("every message, field, method and enum value of the API has a sentence of its own", {
  skip: missing,
}, () => {
  assert.ok(buf !== undefined);
  const page = generatedPages(root, buf).get("api.md")!;
  const heading = / \| \|$|^\| ---/;
  const rows = page.split("\n").filter((line) => line.startsWith("| ") && !heading.test(line));
  assert.ok(rows.length > 300);
  for (const line of rows) assert.match(line, /\| [^|]+\. \|$/);
  assert.ok(!page.includes("\n\n\n"), "an element without a comment leaves an empty paragraph");
});

test("the page of errors holds every code and text of the catalogue", () => {
  const page = errorsPage();
  for (const { code, text } of Object.values(errors)) {
    assert.ok(page.includes(`| ${code} |`) && page.includes(`\`${text.trim()}\``), code);
  }
});
