// How the command reports that it failed: one line for people, a status for scripts.

import { CommanderError } from "commander";

/** "quorate: message" on one line; with `stack`, where it was thrown from as well. */
export function failureLine(failure: unknown, stack = false): string {
  if (stack && failure instanceof Error) return `quorate: ${failure.stack ?? failure.message}\n`;
  const message = failure instanceof Error ? failure.message : String(failure);
  const line = message
    .trim()
    .replace(/^error: /, "")
    .replace(/\n\(Did you mean (.*)\?\)$/, "; did you mean $1?")
    .replaceAll(/\s*\n\s*/g, " ");
  return `quorate: ${line === "" ? "failed" : line}\n`;
}

/** 2 when the command was called wrongly, 1 for any other failure, 0 after --help. */
export function exitStatus(failure: unknown): number {
  if (failure instanceof CommanderError) return failure.exitCode === 0 ? 0 : 2;
  return codeOf(failure) === "QUORATE_CONFIG" ? 2 : 1;
}

function codeOf(failure: unknown): unknown {
  return failure instanceof Error && "code" in failure ? failure.code : undefined;
}
