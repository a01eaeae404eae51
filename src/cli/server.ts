// `quorate server`: one node in this process, from its options to its end. The first SIGTERM or
// SIGINT drains and stops it; a second one ends the process at once.

import { readFileSync } from "node:fs";
import type { Logger } from "../logging/logger.js";
import { createLogger } from "../logging/pino-logger.js";
import { helpText } from "../server/config/help.js";
import { parseServerConfig } from "../server/config.js";
import { failureLine } from "./failure.js";
import { version } from "./version.js";

/**
 * Runs a node until it stops; returns the exit status.
 * @param supervised started by `quorate cluster`: Ctrl-C is the parent's business, and the node
 *   stops when the parent closes the channel or is gone.
 * @param debug show the stack of what made it fail.
 */
export async function runServer(
  argv: readonly string[],
  supervised: boolean,
  debug: boolean,
): Promise<number> {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(helpText());
    return 0;
  }
  if (argv.length === 1 && argv[0] === "--version") {
    process.stdout.write(`quorate ${version()}\n`);
    return 0;
  }
  const config = parseServerConfig(argv, process.env, (path) => readFileSync(path, "utf8"));
  const log = createLogger({ level: config.logLevel, format: config.logFormat, node: config.name });
  const stopRequest = listenForStop(supervised, log);
  try {
    const { startNode } = await import("../server/node.js");
    log.info("starting", {
      version: version(),
      nodeVersion: process.version,
      pid: process.pid,
      dataDir: config.dataDir,
    });
    const node = await startNode(config, log);
    void stopRequest.then((reason) => {
      log.info("stopping", { reason });
      return node.stop();
    });
    const failure = await node.stopped;
    if (failure === undefined) {
      log.info("stopped");
      return 0;
    }
    throw failure;
  } catch (error) {
    process.stderr.write(failureLine(error, debug || config.logLevel === "debug"));
    return 1;
  }
}

/** Resolves at the first request to stop; a second one ends the process. */
function listenForStop(supervised: boolean, log: Logger): Promise<string> {
  process.on("uncaughtException", (error) => {
    log.error("stopped by a bug", { error });
    process.stderr.write(failureLine(error));
    process.exit(70);
  });
  return new Promise((resolve) => {
    let asked = false;
    const ask = (reason: string, status: number): void => {
      if (asked) process.exit(status);
      asked = true;
      resolve(reason);
    };
    process.on("SIGTERM", () => ask("SIGTERM", 143));
    if (supervised) {
      process.on("SIGINT", () => {});
      process.on("disconnect", () => ask("the cluster command ends", 1));
      // The channel alone must not keep a stopped node alive.
      process.channel?.unref();
    } else process.on("SIGINT", () => ask("SIGINT", 130));
  });
}
