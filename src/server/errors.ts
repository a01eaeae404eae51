// Why a node does not start, or stopped by itself: one line for people, one code for programs.

export type StartErrorCode =
  | "config"
  | "alreadyBootstrapped"
  | "noPeer"
  | "notMember"
  | "engine"
  | "portTaken"
  | "dataFolder"
  | "foreignData"
  | "damagedLog"
  | "diskFull"
  | "removed"
  | "stopped";

export class StartError extends Error {
  override readonly name = "StartError";
  constructor(
    readonly code: StartErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
