// For interop tests: whether the programs they need are on this machine. In CI they must be.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The `skip` of a test: why to skip it, or false to run it. Never skips when CI=true. */
export function skipWithout(...programs: string[]): string | false {
  if (process.env.CI === "true") return false;
  const missing = programs.filter((program) => !onPath(program));
  return missing.length === 0 ? false : `needs ${missing.join(" and ")} (see .ci/run)`;
}

function onPath(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch (error) {
      if (["ENOENT", "EACCES", "ENOTDIR"].includes((error as { code: string }).code)) return false;
      throw error;
    }
  });
}
