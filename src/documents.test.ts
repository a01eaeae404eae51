// Documents are checked like code: links lead somewhere, generated parts are current, options and
// scripts they mention exist, every dependency is accounted for.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { markdownTable } from "./server/config/help.js";
import { optionByName, unavailableOptions } from "./server/config/options.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const ignored = new Set(["node_modules", "dist", ".git", ".quorate", ".bench"]);

interface Document {
  readonly path: string;
  readonly text: string;
  /** Without fenced code. */
  readonly prose: string;
  readonly blocks: readonly { readonly info: string; readonly body: string }[];
}

function* markdownBelow(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (ignored.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* markdownBelow(path);
    else if (entry.name.endsWith(".md")) yield path;
  }
}

const fence = /^```([^\n]*)\n(.*?)^```$/gms;
const documents: readonly Document[] = [...markdownBelow(root)].map((path) => {
  const text = readFileSync(path, "utf8");
  return {
    path: relative(root, path),
    text,
    prose: text.replaceAll(fence, ""),
    blocks: [...text.matchAll(fence)].map(([, info = "", body = ""]) => ({ info, body })),
  };
});
const packageFile = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};

/** The anchor GitHub gives a heading. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

describe("documents", () => {
  it("link only to files and headings that exist", () => {
    const broken: string[] = [];
    for (const { path, prose } of documents)
      for (const match of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
        const link = match[1]!;
        if (/^[a-z]+:/.test(link)) continue;
        const [file = "", heading] = link.split("#");
        const target = file === "" ? join(root, path) : join(root, dirname(path), file);
        if (!existsSync(target)) broken.push(`${path}: ${link}`);
        else if (heading !== undefined) {
          const headings = [...readFileSync(target, "utf8").matchAll(/^#+ (.+)$/gm)];
          if (!headings.some((one) => anchor(one[1]!) === heading)) broken.push(`${path}: ${link}`);
        }
      }
    assert.deepEqual(broken, []);
  });

  it("close every code block they open", () => {
    const open = documents.filter(({ prose }) => /^```/m.test(prose)).map(({ path }) => path);
    assert.deepEqual(open, []);
  });

  it("mark commands to be run with a scenario the interop test knows", () => {
    const unknown = documents.flatMap(({ path, blocks }) =>
      blocks
        .filter(({ info }) => info.startsWith("sh ") && info !== "sh cluster" && info !== "sh checkout")
        .map(({ info }) => `${path}: ${info}`),
    );
    assert.deepEqual(unknown, []);
  });

  it("show the table of options as the program has it", () => {
    const operations = documents.find(({ path }) => path === join("docs", "operations.md"));
    assert.ok(
      operations?.text.includes(markdownTable()),
      "docs/operations.md is not current; run: npm run fix",
    );
  });

  it("start servers only with options there are", () => {
    const wrong: string[] = [];
    for (const { path, blocks } of documents)
      for (const { body } of blocks)
        for (const command of body.replaceAll("\\\n", " ").split("\n")) {
          if (!/\bquorate server\b/.test(command)) continue;
          for (const match of command.matchAll(/(?<=\s)--([a-z-]+)/g))
            if (!optionByName.has(match[1]!)) wrong.push(`${path}: --${match[1]}`);
        }
    assert.deepEqual(wrong, []);
  });

  it("name only npm scripts there are", () => {
    const wrong: string[] = [];
    for (const { path, text } of documents)
      for (const match of text.matchAll(/\bnpm run ([a-z:]+)/g))
        if (!(match[1]! in packageFile.scripts)) wrong.push(`${path}: npm run ${match[1]}`);
    assert.deepEqual(wrong, []);
  });

  it("account for every dependency, and for none that is gone", () => {
    const listed = [
      ...readFileSync(join(root, "docs/dependencies.md"), "utf8").matchAll(/^\| `([^`]+)` \|/gm),
    ];
    const present = Object.keys({ ...packageFile.dependencies, ...packageFile.devDependencies });
    assert.deepEqual(listed.map((match) => match[1]).sort(), present.sort());
  });
});

describe("the table of options", () => {
  it("has no option that is also listed as not available", () => {
    assert.deepEqual(
      [...optionByName.keys()].filter((name) => unavailableOptions.has(name)),
      [],
    );
  });
});
