// The option table as text: for `quorate server --help` and for docs/operations.md.

import { environmentName, type OptionSpec, options, placeholder } from "./options.js";

const width = 100;

function groups(): ReadonlyMap<string, readonly OptionSpec[]> {
  const byGroup = new Map<string, OptionSpec[]>();
  for (const option of options) {
    const group = byGroup.get(option.group);
    if (group === undefined) byGroup.set(option.group, [option]);
    else group.push(option);
  }
  return byGroup;
}

/** What `quorate server --help` prints. */
export function helpText(): string {
  const lines = [
    "Usage: quorate server [options]",
    "",
    "Runs one node. Every option can also be given as an environment variable (QUORATE_DATA_DIR for",
    "--data-dir) or as a key of the YAML file; a flag wins over the environment, which wins over the file.",
  ];
  for (const [group, members] of groups()) {
    lines.push("", `${group}:`);
    for (const option of members) {
      lines.push(`  --${option.name} ${placeholder(option)}`);
      lines.push(...wrap(`${option.help} (default: ${option.defaultText})`, "      "));
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The same as a Markdown table. */
export function markdownTable(): string {
  const lines = ["| flag | environment | default | meaning |", "| --- | --- | --- | --- |"];
  for (const members of groups().values())
    for (const option of members)
      lines.push(
        `| \`--${option.name} ${placeholder(option).replaceAll("|", "\\|")}\` | \`${environmentName(option.name)}\` | ${option.defaultText.replaceAll("<", "\\<")} | ${option.help} |`,
      );
  return `${lines.join("\n")}\n`;
}

function wrap(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    if (line.length + word.length > width && line !== indent) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  lines.push(line.trimEnd());
  return lines;
}
