// The assertion of the store: stays on in production, and its failure stops the process.

/** A bug of our own, or rows on disk that contradict each other: what was expected and found. */
export class StoreInvariantViolation extends Error {
  override readonly name = "StoreInvariantViolation";
}

/** Throws StoreInvariantViolation unless the condition holds. */
export function invariant(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new StoreInvariantViolation(typeof message === "string" ? message : message());
}
