// Text form of log lines for people: one line each, "[time] LEVEL: message {fields}". pino-pretty
// does the work; it is told here what ours look like.

import { type PrettyOptions, prettyFactory } from "pino-pretty";

const style: PrettyOptions = {
  messageKey: "message",
  timestampKey: "time",
  translateTime: "SYS:HH:MM:ss.l",
  singleLine: true,
  errorLikeObjectKeys: ["error"],
};

/** Turns one JSON line (with its line break) into text. Lines that are not JSON pass unchanged. */
export function createFormatter(colour: boolean): (line: string) => string {
  return prettyFactory({ ...style, colorize: colour });
}
