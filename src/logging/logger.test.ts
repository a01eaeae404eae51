import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type LogLevel, silentLogger } from "./logger.js";
import { MemoryLogger } from "./memory-logger.js";
import { createLogger } from "./pino-logger.js";

function capture(): { readonly lines: string[]; write(line: string): void } {
  const lines: string[] = [];
  return { lines, write: (line) => lines.push(line) };
}

function jsonLogger(level: LogLevel = "debug") {
  const sink = capture();
  const log = createLogger({ level, format: "json", node: "n1", destination: sink });
  return { log, parsed: () => sink.lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe("createLogger() writing JSON", () => {
  it("writes one object a line with level, time, node, message and fields", () => {
    const { log, parsed } = jsonLogger();
    log.info("listening", { url: "http://127.0.0.1:2379" });
    const [line] = parsed();
    assert.ok(line !== undefined && !Number.isNaN(Date.parse(String(line.time))));
    assert.deepEqual(
      { ...line, time: "" },
      { level: "info", time: "", node: "n1", url: "http://127.0.0.1:2379", message: "listening" },
    );
  });

  it("leaves out lines below its level, and says so beforehand", () => {
    const { log, parsed } = jsonLogger("warn");
    log.debug("a");
    log.info("b");
    log.warn("c");
    log.error("d");
    assert.deepEqual(
      parsed().map((line) => [line.level, line.message]),
      [
        ["warn", "c"],
        ["error", "d"],
      ],
    );
    assert.deepEqual([log.enabled("info"), log.enabled("warn")], [false, true]);
  });

  it("adds the fields of a child logger to each of its lines", () => {
    const { log, parsed } = jsonLogger();
    log.child({ group: 1 }).child({ peer: "n2" }).warn("slow", { ms: 7 });
    const [line] = parsed();
    assert.deepEqual([line?.group, line?.peer, line?.ms, line?.node], [1, "n2", 7, "n1"]);
  });

  it("writes an error with its code, stack and cause, and a bigint as a decimal string", () => {
    const { log, parsed } = jsonLogger();
    const cause = Object.assign(new Error("disk full"), { code: "ENOSPC" });
    log.error("stopped", { error: new Error("append failed", { cause }), lease: 2n ** 63n - 1n });
    const [line] = parsed();
    const error = line?.error as { message: string; stack: string; cause: { code: string } };
    assert.equal(error.message, "append failed");
    assert.match(error.stack, /logger\.test/);
    assert.equal(error.cause.code, "ENOSPC");
    assert.equal(line?.lease, "9223372036854775807");
  });

  it("keeps line breaks of a message inside its line", () => {
    const sink = capture();
    createLogger({ level: "info", format: "json", destination: sink }).info("two\nlines");
    assert.equal(sink.lines.join("").split("\n").length, 2);
  });
});

describe("createLogger() writing text", () => {
  it("writes one readable line without colour when it is not on a terminal", () => {
    const sink = capture();
    const log = createLogger({ level: "info", format: "text", node: "n1", destination: sink });
    log.warn("disk is slow", { stage: "fsync" });
    assert.equal(sink.lines.length, 1);
    assert.match(
      sink.lines[0]!,
      /^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: disk is slow \{"node":"n1","stage":"fsync"\}\n$/,
    );
  });

  it("is not chosen by auto for a destination that is no terminal", () => {
    const sink = capture();
    createLogger({ level: "info", format: "auto", destination: sink }).info("x");
    assert.equal((JSON.parse(sink.lines[0]!) as { message: string }).message, "x");
  });
});

describe("MemoryLogger", () => {
  it("keeps the lines of itself and its children in order", () => {
    const log = new MemoryLogger();
    log.info("one", { a: 1 });
    log.child({ b: 2 }).error("two", { c: 3 });
    assert.deepEqual(log.lines, [
      { level: "info", message: "one", fields: { a: 1 } },
      { level: "error", message: "two", fields: { b: 2, c: 3 } },
    ]);
  });
});

describe("silentLogger", () => {
  it("is enabled for no level and is its own child", () => {
    assert.equal(silentLogger.enabled("error"), false);
    assert.equal(silentLogger.child({ a: 1 }), silentLogger);
  });
});
