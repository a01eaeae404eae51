// The logger of a running program, on pino: JSON lines, or coloured text on a terminal. Lines go to
// standard error unless told otherwise and are written at once, so that the last words of a process
// are never lost.

import { isatty } from "node:tty";
import { type DestinationStream, destination, type Logger as PinoLogger, pino } from "pino";
import type { LogFields, Logger, LogLevel } from "./logger.js";
import { createFormatter } from "./pretty.js";

export interface LoggerOptions {
  readonly level: LogLevel;
  /** auto: text when the destination is a terminal, JSON elsewhere. */
  readonly format: "auto" | "json" | "text";
  /** Added to every line as `node`. */
  readonly node?: string;
  /** Where lines go: a file descriptor or a stream. Default: standard error. */
  readonly destination?: number | DestinationStream;
}

/** Builds the one logger of a program; others are its children. */
export function createLogger(options: LoggerOptions): Logger {
  const target = options.destination ?? 2;
  const terminal = typeof target === "number" && isatty(target);
  const text = options.format === "text" || (options.format === "auto" && terminal);
  const sink = typeof target === "number" ? destination({ fd: target, sync: true }) : target;
  const stream = text ? formatted(sink, terminal) : sink;
  const logger = pino(
    {
      level: options.level,
      base: options.node === undefined ? null : { node: options.node },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: "message",
      serializers: { error: describeError },
    },
    stream,
  );
  return new OnPino(logger);
}

function formatted(sink: DestinationStream, colour: boolean): DestinationStream {
  const format = createFormatter(colour);
  return { write: (line) => sink.write(format(line)) };
}

/** An error as fields: what a reader of the log needs, causes included. */
function describeError(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const code = "code" in value ? { code: value.code } : {};
  const cause = value.cause === undefined ? {} : { cause: describeError(value.cause) };
  return { name: value.name, message: value.message, ...code, stack: value.stack, ...cause };
}

class OnPino implements Logger {
  constructor(private readonly pino: PinoLogger) {}
  debug(message: string, fields?: LogFields): void {
    this.write("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.write("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.write("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.write("error", message, fields);
  }
  child(fields: LogFields): Logger {
    return new OnPino(this.pino.child(plain(fields)));
  }
  enabled(level: LogLevel): boolean {
    return this.pino.isLevelEnabled(level);
  }
  private write(level: LogLevel, message: string, fields: LogFields | undefined): void {
    if (!this.pino.isLevelEnabled(level)) return;
    if (fields === undefined) this.pino[level](message);
    else this.pino[level](plain(fields), message);
  }
}

/** Fields as JSON can hold them: bigints as decimal strings. */
function plain(fields: LogFields): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields))
    copy[name] = typeof value === "bigint" ? String(value) : value;
  return copy;
}
