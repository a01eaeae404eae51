// What the store can refuse with, by cause.

export class StoreError extends Error {
  override readonly name: string = "StoreError";
}

/** Another process, or another store in this one, has the folder open. */
export class StoreLocked extends StoreError {
  override readonly name = "StoreLocked";
  constructor(directory: string, cause: Error) {
    super(`the store in ${directory} is open elsewhere: two nodes must never share a data folder`, { cause });
  }
}

/** The folder cannot be opened as a store: not writable, full, or damaged. */
export class StoreUnusable extends StoreError {
  override readonly name = "StoreUnusable";
  constructor(directory: string, cause: Error) {
    super(`cannot open the store in ${directory}: ${inWords(cause)}`, { cause });
  }
}

/** A read or write failed. After a failed write nothing more is written. */
export class StoreFailed extends StoreError {
  override readonly name = "StoreFailed";
  constructor(doing: string, cause: Error) {
    super(`${doing} failed: ${inWords(cause)}`, { cause });
  }
}

export class StoreClosed extends StoreError {
  override readonly name = "StoreClosed";
  constructor() {
    super("the store is closed");
  }
}

/** RocksDB's own words, and what to do where that is certain. */
function inWords({ message }: Error): string {
  return /no space left/i.test(message) ? `${message}; free some space and start the node again` : message;
}
