// Parts of the program that an installation may lack (an image has no load generator).

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The compiled file, or one clear line when this installation does not have it. */
export function optionalPart(url: URL, what: string): string {
  const path = fileURLToPath(url);
  if (!existsSync(path)) throw new Error(`${what} is not part of this installation; run it from a checkout`);
  return path;
}
