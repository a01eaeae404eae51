// The rules of the house that a machine can check: which folder may import which (the table of
// layers in docs/architecture.md, as data), which package belongs to which folder, and the form of
// files. The checks themselves are tried on made-up violations first.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix, relative, sep } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Folders anybody may import, except those that must stand alone. */
const leaves = ["checksum", "gen", "logging", "metrics", "protobuf"] as const;

/** Folder of src/ (or bench) and the folders it may import besides itself. Downwards only. */
const layers: Readonly<Record<string, readonly string[]>> = {
  checksum: [],
  gen: [],
  logging: [],
  metrics: [],
  protobuf: [],
  consensus: [],
  wal: ["checksum"],
  storage: ["checksum"],
  rpc: ["checksum", "gen", "logging", "metrics", "protobuf"],
  replication: ["consensus", "wal", "rpc", ...leaves],
  mvcc: ["storage", ...leaves],
  lease: ["mvcc", "storage", ...leaves],
  auth: ["mvcc", "storage", ...leaves],
  locks: ["lease", "mvcc", "storage", ...leaves],
  transactions: ["locks", "lease", "mvcc", "storage", ...leaves],
  state: ["transactions", "locks", "lease", "auth", "mvcc", "storage", "consensus", "replication", ...leaves],
  api: [
    "state",
    "transactions",
    "locks",
    "lease",
    "auth",
    "mvcc",
    "replication",
    "consensus",
    "rpc",
    ...leaves,
  ],
  simulation: [
    "state",
    "transactions",
    "locks",
    "lease",
    "auth",
    "mvcc",
    "replication",
    "consensus",
    "storage",
    "wal",
    ...leaves,
  ],
  server: [
    "api",
    "state",
    "transactions",
    "locks",
    "lease",
    "auth",
    "mvcc",
    "replication",
    "consensus",
    "rpc",
    "storage",
    "wal",
    ...leaves,
  ],
  cli: ["server", "simulation", "api", "rpc", ...leaves],
  bench: ["rpc", ...leaves],
};

/** Packages only these folders may import. A package not listed here may not be imported at all. */
const packages: Readonly<Record<string, readonly string[]>> = {
  rocksdb: ["storage"],
  "prom-client": ["metrics", "replication", "state", "api", "server"],
  pino: ["logging"],
  "pino-pretty": ["logging"],
  commander: ["cli", "bench"],
  yaml: ["server"],
  "@grpc/grpc-js": ["cli", "bench"],
  "@bufbuild/protobuf": ["gen", "mvcc", "state", "replication", "rpc", "api", "server", "cli", "bench"],
};

/** Packages for tests, and for files that only tests use. */
const testPackages = new Set(["fast-check", "@grpc/grpc-js", "@bufbuild/protobuf", "prom-client", "yaml"]);
const serveTests = /\.test\.ts$|\/(?:conformance|testing)\/|[/-]generators\.ts$/;

const lineLimit = 500;
/** A suite of scenarios reads as one list and is split later than code. */
const testLineLimit = 700;
const vagueName = /^(?:utils?|helpers?|commons?|managers?|misc|shared)$/i;

interface Source {
  /** From the project's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

interface Import {
  readonly specifier: string;
  readonly line: number;
}

/** Static imports, re-exports and dynamic imports of a literal. Comments at the start of a line are no code. */
function importsOf(text: string): readonly Import[] {
  const found: Import[] = [];
  for (const pattern of [
    /^[ \t]*(?:import|export)\b[^"'`;]*?\bfrom\s*"([^"\n]+)"/gm,
    /^[ \t]*import\s*"([^"\n]+)"/gm,
    /^(?![ \t]*(?:\/\/|\*)).*?\bimport\(\s*"([^"\n]+)"\s*\)/gm,
  ])
    for (const match of text.matchAll(pattern))
      found.push({
        specifier: match[1]!,
        line: text.slice(0, match.index + match[0].length).split("\n").length,
      });
  return found;
}

/** The layer a file belongs to; undefined for files directly in src/. */
function layerOf(path: string): string | undefined {
  const parts = path.split("/");
  if (parts[0] === "bench") return "bench";
  return parts.length > 2 ? parts[1] : undefined;
}

function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/** What is wrong with the imports of these files, one line each. */
function importViolations(sources: readonly Source[]): string[] {
  const wrong: string[] = [];
  for (const { path, text } of sources) {
    const layer = layerOf(path);
    const isTest = serveTests.test(path);
    if (layer === undefined) {
      if (!isTest) wrong.push(`${path}: only folders may hold code`);
      continue;
    }
    const allowed = layers[layer];
    if (allowed === undefined) {
      wrong.push(`${path}: ${layer}/ is not in the table of layers`);
      continue;
    }
    for (const { specifier, line } of importsOf(text)) {
      const at = `${path}:${line}`;
      if (specifier.startsWith("node:")) {
        if (layer === "consensus" && !isTest) wrong.push(`${at}: consensus/ imports ${specifier}`);
      } else if (specifier.startsWith(".")) {
        const target = layerOf(posix.join(posix.dirname(path), specifier));
        if (target !== undefined && target !== layer && !allowed.includes(target))
          wrong.push(`${at}: ${layer}/ may not import ${target}/`);
      } else {
        const name = packageOf(specifier);
        const allowedHere = packages[name]?.includes(layer) === true || (isTest && testPackages.has(name));
        if (!allowedHere) wrong.push(`${at}: ${layer}/ may not import the package ${name}`);
      }
    }
  }
  return wrong;
}

/** A cycle of folders as "a > b > a", if there is one. Tests count as well. */
function folderCycle(sources: readonly Source[]): string | undefined {
  const graph = new Map<string, Set<string>>();
  for (const { path, text } of sources) {
    const from = layerOf(path);
    if (from === undefined) continue;
    for (const { specifier } of importsOf(text)) {
      if (!specifier.startsWith(".")) continue;
      const to = layerOf(posix.join(posix.dirname(path), specifier));
      if (to === undefined || to === from) continue;
      const targets = graph.get(from) ?? new Set();
      graph.set(from, targets.add(to));
    }
  }
  const finished = new Set<string>();
  const visit = (folder: string, way: readonly string[]): string | undefined => {
    const seenAt = way.indexOf(folder);
    if (seenAt >= 0) return [...way.slice(seenAt), folder].join(" > ");
    if (finished.has(folder)) return undefined;
    for (const next of graph.get(folder) ?? []) {
      const cycle = visit(next, [...way, folder]);
      if (cycle !== undefined) return cycle;
    }
    finished.add(folder);
    return undefined;
  };
  for (const folder of graph.keys()) {
    const cycle = visit(folder, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

/** What is wrong with the form of these files, one line each. */
function formViolations(sources: readonly Source[]): string[] {
  const wrong: string[] = [];
  for (const { path, text } of sources) {
    const lines = text.split("\n");
    const flag = (pattern: RegExp, what: string): void => {
      const at = lines.findIndex((line) => pattern.test(line));
      if (at >= 0) wrong.push(`${path}:${at + 1}: ${what}`);
    };
    const limit = path.endsWith(".test.ts") ? testLineLimit : lineLimit;
    if (lines.length - 1 > limit) wrong.push(`${path}: ${lines.length - 1} lines, at most ${limit}`);
    for (const part of path.split("/")) {
      const vague = part.split(/[-.]/).find((word) => vagueName.test(word));
      if (vague !== undefined) wrong.push(`${path}: "${vague}" says nothing about what is inside`);
    }
    const first = lines[0]?.startsWith("#!") === true ? lines[1] : lines[0];
    if (!path.endsWith(".test.ts") && !/^\/[/*]/.test(first ?? ""))
      wrong.push(`${path}: begins without saying what it is for`);
    flag(/^\s*export\s+default\b/, "default export");
    flag(/\bTO[D]O\b|\bFIX[M]E\b/, "unfinished");
    flag(/\bcatch\s*(?:\([^)]*\)\s*)?\{\s*\}/, "a swallowed error");
    flag(/\/\/\s*@ts-(?:ignore|nocheck)/, "types switched off");
  }
  return wrong;
}

function* sourcesBelow(folder: string): Generator<Source> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sourcesBelow(path);
    else if (entry.name.endsWith(".ts"))
      yield { path: relative(root, path).split(sep).join("/"), text: readFileSync(path, "utf8") };
  }
}

const everything = ["src", "bench"]
  .filter((folder) => existsSync(join(root, folder)))
  .flatMap((folder) => [...sourcesBelow(join(root, folder))]);
const written = everything.filter(({ path }) => !path.startsWith("src/gen/"));

describe("the sources", () => {
  it("import only what their layer may", () => {
    assert.ok(everything.length > 20, "the sources were found");
    assert.deepEqual(importViolations(everything), []);
  });

  it("have no cycle between folders", () => {
    assert.equal(folderCycle(everything), undefined);
  });

  it("keep to the form: size, header, names, no default exports, nothing unfinished", () => {
    assert.deepEqual(formViolations(written), []);
  });
});

describe("the table of layers", () => {
  it("is itself free of cycles and names only layers it knows", () => {
    const asSources = Object.entries(layers).map(([layer, allowed]) => ({
      path: `src/${layer}/x.ts`,
      text: allowed.map((one) => `import "../${one}/x.js";`).join("\n"),
    }));
    assert.equal(folderCycle(asSources), undefined);
    for (const allowed of Object.values(layers))
      for (const one of allowed) assert.ok(one in layers, `${one} is a layer`);
  });

  it("allows only packages that package.json has", () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    assert.deepEqual(Object.keys(packages).sort(), Object.keys(dependencies).sort());
  });
});

describe("the checks", () => {
  const source = (path: string, text: string): Source[] => [{ path, text }];
  const importing = (path: string, specifier: string): string[] =>
    importViolations(source(path, `import { x } from "${specifier}";\n`));

  it("find an import upwards, in every way it can be written", () => {
    for (const text of [
      'import type { A } from "../server/config.js";',
      'import {\n  a,\n  b,\n} from "../server/config.js";',
      'export * from "../server/config.js";',
      'import "../server/config.js";',
      'const a = await import("../server/config.js");',
    ])
      assert.equal(importViolations(source("src/rpc/a.ts", text)).length, 1, text);
    assert.deepEqual(importViolations(source("src/rpc/a.ts", '// import "../server/config.js";')), []);
  });

  it("find node:* in consensus/, but not in its tests", () => {
    assert.equal(importing("src/consensus/raft/raft.ts", "node:assert").length, 1);
    assert.deepEqual(importing("src/consensus/raft/raft.test.ts", "node:assert/strict"), []);
  });

  it("find a package outside its folder, and one nobody declared", () => {
    assert.deepEqual(importing("src/storage/rocks.ts", "rocksdb"), []);
    assert.equal(importing("src/mvcc/store.ts", "rocksdb").length, 1);
    assert.equal(importing("src/rpc/a.ts", "left-pad").length, 1);
    assert.equal(importing("src/rpc/a.ts", "fast-check").length, 1);
    assert.deepEqual(importing("src/rpc/a.test.ts", "fast-check"), []);
  });

  it("find a folder that is in no layer", () => {
    assert.equal(importing("src/attic/a.ts", "./b.js").length, 1);
  });

  it("find a cycle between folders", () => {
    const sources = [
      ...source("src/a/x.ts", 'import "../b/y.js";'),
      ...source("src/b/y.ts", 'import "../c/z.js";'),
      ...source("src/c/z.ts", 'import "../a/x.js";'),
    ];
    assert.equal(folderCycle(sources), "a > b > c > a");
    assert.equal(folderCycle(sources.slice(0, 2)), undefined);
  });

  it("find bad form", () => {
    const good = "// What it is for.\n";
    assert.deepEqual(formViolations(source("src/a/b.ts", good)), []);
    for (const [path, text] of [
      ["src/a/b.ts", `${good}${"x\n".repeat(lineLimit)}`],
      ["src/a/b.ts", "export const a = 1;\n"],
      ["src/a/b.ts", `${good}export ${"default"} 1;\n`],
      ["src/a/b.ts", `${good}// ${"TO"}DO later\n`],
      ["src/a/b.ts", `${good}try { f(); } ${"cat"}ch {}\n`],
      ["src/a/string-utils.ts", good],
      ["src/common/b.ts", good],
    ] as const)
      assert.equal(formViolations(source(path, text)).length, 1, `${path}: ${text.slice(0, 60)}`);
  });
});
