// One node of a local cluster as a child process. Its log goes to a file; what people should see at
// once goes to the terminal. It is asked to stop by closing the channel to it, so a Ctrl-C that
// reaches the whole process group, or the death of the parent, never stops it twice.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, renameSync, statSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { NodePlan } from "./plan.js";

/** Above this size a log is set aside at start as FILE.1, replacing the one before. */
const logLimitBytes = 16 * 1024 * 1024;
const shownLevels = new Set(["warn", "error"]);

export interface NodeExit {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** The last thing it said, in words. */
  readonly lastLine: string;
}

export class NodeProcess {
  /** Resolves when the process has ended and its output was read. */
  readonly exited: Promise<NodeExit>;
  readonly pid: number | undefined;
  private readonly child: ChildProcess;
  private lastLine = "it said nothing";

  constructor(
    readonly plan: NodePlan,
    args: readonly string[],
    private readonly show: (line: string) => void,
    private readonly verbose: boolean,
  ) {
    if (existsSync(plan.logFile) && statSync(plan.logFile).size > logLimitBytes)
      renameSync(plan.logFile, `${plan.logFile}.1`);
    const program = fileURLToPath(new URL("../main.js", import.meta.url));
    this.child = spawn(process.execPath, ["--enable-source-maps", program, "node", ...args], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.pid = this.child.pid;
    const { stdout, stderr } = this.child;
    if (stdout === null || stderr === null) throw new Error("a child without the pipes it was given");
    const outputRead = [stdout, stderr].map((stream) => {
      const lines = createInterface({ input: stream });
      lines.on("line", (line) => this.take(line));
      return once(lines, "close");
    });
    // Not the child's "close": it never comes after disconnect().
    const ended = new Promise<{ code: number | undefined; signal: string | undefined }>((resolve) => {
      this.child.on("error", (error) => {
        this.take(`quorate: cannot start: ${error.message}`);
        if (this.child.pid === undefined) resolve({ code: 1, signal: undefined });
      });
      this.child.on("exit", (code, signal) =>
        resolve({ code: code ?? undefined, signal: signal ?? undefined }),
      );
    });
    this.exited = Promise.all([ended, ...outputRead]).then(([end]) => ({ ...end, lastLine: this.lastLine }));
  }

  /** Asks it to stop; it drains first. */
  stop(): void {
    if (this.child.connected) this.child.disconnect();
  }

  kill(): void {
    this.child.kill("SIGKILL");
  }

  private take(line: string): void {
    if (line.trim() === "") return;
    appendFileSync(this.plan.logFile, `${line}\n`);
    const { level, text } = inWords(line);
    this.lastLine = text.replace(/^quorate: /, "");
    if (this.verbose || shownLevels.has(level)) this.show(`${this.plan.name} | ${text}`);
  }
}

/**
 * A log line for the terminal. What is no log line (a crash) counts as error. A node's one line of
 * failure is not shown at once, because the report of its end repeats it.
 */
export function inWords(line: string): { readonly level: string; readonly text: string } {
  if (line.startsWith("quorate: ")) return { level: "failure", text: line };
  if (!line.startsWith("{")) return { level: "error", text: line };
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { level: "error", text: line };
  }
  const { level, message, time: _time, node: _node, ...rest } = fields;
  const details = Object.entries(rest).map(([name, value]) => ` ${name}=${inShort(value)}`);
  return {
    level: String(level),
    text: `${String(level).toUpperCase()} ${String(message)}${details.join("")}`,
  };
}

function inShort(value: unknown): string {
  if (typeof value === "object" && value !== null && "message" in value) return JSON.stringify(value.message);
  return typeof value === "string" && !value.includes(" ") ? value : JSON.stringify(value);
}
