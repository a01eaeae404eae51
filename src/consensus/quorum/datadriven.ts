// Reads the text grammar in which etcd-raft publishes its test vectors: a command line with arguments,
// optional lines of input, "----", the expected output, an empty line. Used by tests only; takes text,
// opens no file.

export interface DatadrivenCase {
  readonly line: number;
  readonly command: string;
  /** Values of name=value, name=(a,b) and bare words (no values). */
  readonly options: ReadonlyMap<string, readonly string[]>;
  readonly input: string;
  readonly expected: string;
}

export function parseDatadriven(text: string): DatadrivenCase[] {
  const lines = text.split("\n");
  const cases: DatadrivenCase[] = [];
  let at = 0;
  while (at < lines.length) {
    const head = lines[at]!;
    if (head.trim() === "" || head.startsWith("#")) {
      at++;
      continue;
    }
    const line = at + 1;
    const separator = lines.indexOf("----", at);
    if (separator < 0) throw new Error(`line ${line}: a case without ----`);
    let end = separator + 1;
    while (end < lines.length && lines[end]!.trim() !== "") end++;
    const [command, ...rest] = head.match(/[^\s=]+(=(\([^)]*\)|\S+))?/g) ?? [];
    if (command === undefined) throw new Error(`line ${line}: no command`);
    cases.push({
      line,
      command,
      options: new Map(rest.map(optionOf)),
      input: lines.slice(at + 1, separator).join("\n"),
      expected: lines.slice(separator + 1, end).join("\n"),
    });
    at = end;
  }
  return cases;
}

function optionOf(text: string): [string, string[]] {
  const [name, value] = text.split("=") as [string, string | undefined];
  if (value === undefined) return [name, []];
  const list = value.startsWith("(") ? value.slice(1, -1) : value;
  return [name, list.split(/[\s,]+/).filter((word) => word !== "")];
}
