// Repairs what can be repaired by itself: format, lint fixes, generated code and generated parts of
// documents.

import { join } from "node:path";
import { prepare, root, run, toolPath } from "./prepare.mjs";

prepare();
const env = { ...process.env, PATH: toolPath };
run("biome", ["check", "--write", "."], { env });
run("buf", ["generate"], { env });
run(process.execPath, [join(root, "scripts", "documents.mjs")]);
