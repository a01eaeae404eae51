// A logger that keeps its lines, for tests that assert on what was logged.

import type { LogFields, Logger, LogLevel } from "./logger.js";

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  /** Fields of the line and of the loggers it went through. */
  readonly fields: LogFields;
}

export class MemoryLogger implements Logger {
  /** @param lines shared by a logger and its children. */
  constructor(
    readonly lines: LogLine[] = [],
    private readonly fields: LogFields = {},
  ) {}
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
    return new MemoryLogger(this.lines, { ...this.fields, ...fields });
  }
  enabled(): boolean {
    return true;
  }
  private write(level: LogLevel, message: string, fields: LogFields | undefined): void {
    this.lines.push({ level, message, fields: { ...this.fields, ...fields } });
  }
}
