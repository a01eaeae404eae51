// Writes the generated pages:
//   node scripts/run.mjs src/api/docs/write.js

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generatedPages } from "./pages.js";
import { bufProgram } from "./schemas.js";

const root = process.cwd();
const buf = bufProgram(root);
if (buf === undefined) throw new Error("node_modules/.bin/buf is missing; run: npm ci");
const folder = join(root, "docs");
mkdirSync(folder, { recursive: true });
for (const [name, text] of generatedPages(root, buf)) {
  writeFileSync(join(folder, name), text);
  console.log(`docs/${name}`);
}
