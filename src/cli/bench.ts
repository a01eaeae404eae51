// `quorate bench`: runs the load generator, which lives beside the sources and has its own options.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { optionalPart } from "./optional.js";

/** Runs bench/main with these arguments; returns its exit status. */
export async function runBench(argv: readonly string[]): Promise<number> {
  const program = optionalPart(new URL("../../bench/main.js", import.meta.url), "the load generator");
  const child = spawn(process.execPath, ["--enable-source-maps", program, ...argv], { stdio: "inherit" });
  // Ctrl-C reaches the child as well; its status is what counts.
  process.on("SIGINT", () => {});
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 1;
}
