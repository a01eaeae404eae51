// What the rest of the program logs through. A logger is passed in at construction; there is no
// global one. The message comes first and is a constant sentence; what varies goes into fields.

export type LogLevel = "debug" | "info" | "warn" | "error";

/**
 * Structured details of a line. An Error under `error` is written with its code and stack; bigints
 * are written as decimal strings.
 */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to every line. */
  child(fields: LogFields): Logger;
  /** False when lines of this level go nowhere; spares preparing costly fields. */
  enabled(level: LogLevel): boolean;
}

export const logLevels: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** Logs nothing. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child() {
    return silentLogger;
  },
  enabled() {
    return false;
  },
};
