// The error of everything that is wrong with a configuration: one line a user can act on.

/** A configuration that cannot be used. The message is one complete line, without a stack to read. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** Stable; programs may look for it. */
  readonly code = "QUORATE_CONFIG";
  constructor(message: string) {
    super(message.replaceAll(/\s*[\r\n]\s*/g, " "));
  }
}
