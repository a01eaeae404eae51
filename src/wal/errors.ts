// Everything the write-ahead log can refuse with. Each class is one cause that an operator can act on;
// the message alone must be enough to know what happened, where, and what to do next.

/** Base of all errors of this folder. */
export class WalError extends Error {
  override readonly name: string = "WalError";
}

/** A record that was durable once can no longer be read. Never repaired by guessing. */
export class WalDamaged extends WalError {
  override readonly name = "WalDamaged";
  constructor(
    /** File name of the segment. */
    readonly segment: string,
    /** Where in the segment the unreadable record starts. */
    readonly offset: number,
    found: string,
  ) {
    super(
      `the write-ahead log is damaged: segment ${segment}, offset ${offset}: ${found}. ` +
        "Acknowledged writes may be missing here, so this node must not take part with what is left. " +
        "The other members still have them: remove this member from the cluster, delete its data folder, " +
        "and add it again as a new member. If the file system was restored from a backup, restore the whole folder.",
    );
  }
}

/** The files were written by another program or by a version of this one with another format. */
export class WalWrongFormat extends WalError {
  override readonly name = "WalWrongFormat";
  constructor(path: string, found: string) {
    super(`${path} is not a log this version can read: ${found}`);
  }
}

/** The folder or a file in it cannot be created, read or written. */
export class WalFolderUnusable extends WalError {
  override readonly name = "WalFolderUnusable";
  constructor(path: string, cause: Error) {
    super(`cannot use ${path}: ${cause.message}`, { cause });
  }
}

/** No space is left for the log. The node stops; nothing acknowledged is lost. */
export class WalDiskFull extends WalError {
  override readonly name = "WalDiskFull";
  constructor(path: string, cause: Error) {
    super(`no space is left to write ${path}: free some and start the node again (${cause.message})`, {
      cause,
    });
  }
}

/**
 * A write or fsync failed. What the page cache holds afterwards is unknown, later fsyncs may succeed
 * without having written it, so nothing is written any more.
 */
export class WalWriteFailed extends WalError {
  override readonly name = "WalWriteFailed";
  constructor(path: string, cause: Error) {
    super(`writing ${path} failed, the log stops here: ${cause.message}`, { cause });
  }
}

/** append() or compact() after close(). */
export class WalClosed extends WalError {
  override readonly name = "WalClosed";
  constructor() {
    super("the write-ahead log is closed");
  }
}

/** Another process works in the folder. */
export class FolderLocked extends WalError {
  override readonly name = "FolderLocked";
  constructor(
    directory: string,
    /** Process id of the holder, as the holder sees itself. */
    readonly pid: number,
  ) {
    super(`${directory} is in use by process ${pid}: two nodes must never share a data folder`);
  }
}

/** The folder belongs to another cluster, member or engine, or its identity record is unreadable. */
export class IdentityMismatch extends WalError {
  override readonly name = "IdentityMismatch";
}

const isFull = (error: Error): boolean => {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOSPC" || code === "EDQUOT";
};

/** Names the cause of a failed operation on `path`. */
export function writeFailure(path: string, error: Error): WalError {
  if (error instanceof WalError) return error;
  return isFull(error) ? new WalDiskFull(path, error) : new WalWriteFailed(path, error);
}

/** As writeFailure, for what happens before the log is open. */
export function openFailure(path: string, error: Error): WalError {
  if (error instanceof WalError) return error;
  return isFull(error) ? new WalDiskFull(path, error) : new WalFolderUnusable(path, error);
}
