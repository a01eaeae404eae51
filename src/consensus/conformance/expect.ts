// Assertions of the conformance suite, which lives where nothing of Node may be imported.

export class ConformanceError extends Error {
  override readonly name = "ConformanceError";
}

export function expect(condition: boolean, what: string): asserts condition {
  if (!condition) throw new ConformanceError(what);
}

/** Compares plain data. */
export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  const found = JSON.stringify(actual);
  const wanted = JSON.stringify(expected);
  if (found !== wanted) throw new ConformanceError(`${what}: expected ${wanted}, found ${found}`);
}
