// Programs that interop tests need: what to tell when one is missing.

import { spawnSync } from "node:child_process";

/** The reason to skip tests that need the program, false when it is there. Throws where CI must have it. */
export function needsProgram(name: string, args: readonly string[] = ["--help"]): string | false {
  if (spawnSync(name, args, { stdio: "ignore" }).error === undefined) return false;
  if (process.env.CI === "true") throw new Error(`${name} must be installed in CI`);
  return `needs ${name}`;
}
