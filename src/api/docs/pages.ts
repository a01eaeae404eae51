// The generated pages under docs/, for write.ts and for the test that they are up to date.

import { etcdServices } from "../services.js";
import { FakeContext } from "../testing/fakes.js";
import { apiPage } from "./api-page.js";
import { errorsPage } from "./errors-page.js";
import { readSchemas } from "./schemas.js";

/** Name of the file below docs/, and what it should hold. */
export function generatedPages(root: string, buf: string): ReadonlyMap<string, string> {
  const served = new Set(etcdServices(new FakeContext()).map((method) => method.path));
  return new Map([
    ["api.md", apiPage(readSchemas(root, buf), served)],
    ["errors.md", errorsPage()],
  ]);
}
