// Where settings come from: flags, QUORATE_* variables and a YAML file. Each reader returns what was
// said, under the option's name, with the words by which to speak of it in an error. Unknown names
// are errors everywhere.

import { parseDocument } from "yaml";
import { ConfigError } from "./errors.js";
import { environmentName, type OptionName, optionByName, options, unavailableOptions } from "./options.js";
import { didYouMean } from "./suggest.js";
import { stringValue } from "./values.js";

/** One setting as it was given. */
export interface Setting {
  /** Text from flags and the environment; whatever YAML holds from a file. */
  readonly value: unknown;
  /** "--name", "QUORATE_NAME" or "name in FILE". */
  readonly source: string;
}

export type Settings = ReadonlyMap<OptionName, Setting>;

const names: readonly OptionName[] = options.map((option) => option.name);

function known(name: string, shown: string, show: (name: string) => string): OptionName {
  const option = optionByName.get(name);
  if (option !== undefined) return option.name;
  if (unavailableOptions.has(name)) throw new ConfigError(`${shown} is not available in this version`);
  throw new ConfigError(`unknown ${shown}${didYouMean(show(name), names.map(show))}`);
}

/** Reads --name value, --name=value and, as etcd does, the same with one dash. The last one wins. */
export function readFlags(argv: readonly string[]): Settings {
  const settings = new Map<OptionName, Setting>();
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at]!;
    const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument);
    if (match === null) throw new ConfigError(`unexpected argument ${JSON.stringify(argument)}`);
    const name = known(match[1]!, `flag --${match[1]}`, (one) => `--${one}`);
    const source = `--${name}`;
    let value = match[2];
    if (value === undefined) {
      const next = argv[at + 1];
      if (optionByName.get(name)!.type === "boolean") {
        // As in etcd, a lone boolean flag means true; "--flag false" is accepted as well.
        if (next === "true" || next === "false") {
          value = next;
          at++;
        } else value = "true";
      } else {
        if (next === undefined) throw new ConfigError(`${source} needs a value`);
        value = next;
        at++;
      }
    }
    settings.set(name, { value, source });
  }
  return settings;
}

/**
 * Variables Kubernetes puts into every container for a service called quorate or quorate-…
 * (QUORATE_SERVICE_HOST, QUORATE_CLIENT_PORT_2379_TCP_ADDR). They are nobody's mistake.
 */
const serviceLink =
  /^QUORATE_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;

/** Reads QUORATE_* variables. An empty value counts as not set. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): Settings {
  const settings = new Map<OptionName, Setting>();
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith("QUORATE_") || value === undefined || value === "") continue;
    if (serviceLink.test(variable)) continue;
    const guess = variable.slice("QUORATE_".length).toLowerCase().replaceAll("_", "-");
    const name = known(guess, `environment variable ${variable}`, environmentName);
    settings.set(name, { value, source: variable });
  }
  return settings;
}

/** Reads a YAML mapping. An empty value (null) counts as not set. */
export function readYaml(text: string, file: string): Settings {
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    const where = problem.linePos?.[0];
    const line = where === undefined ? "" : `:${where.line}:${where.col}`;
    throw new ConfigError(`${file}${line}: ${problem.message.split("\n")[0]!.replace(/ at line .*$/, "")}`);
  }
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: 10 });
  } catch (error) {
    // Aliases are resolved only here: one without its anchor, or too many of them.
    if (!(error instanceof ReferenceError)) throw error;
    throw new ConfigError(`${file}: ${error.message}`);
  }
  const settings = new Map<OptionName, Setting>();
  if (content === null || content === undefined) return settings;
  if (typeof content !== "object" || Array.isArray(content))
    throw new ConfigError(`${file}: expected options as "name: value" lines`);
  for (const [key, value] of Object.entries(content)) {
    const name = known(key, `option ${JSON.stringify(key)} in ${file}`, (one) => one);
    if (name === "config-file") throw new ConfigError(`${file}: config-file cannot be set inside the file`);
    if (value === null) continue;
    settings.set(name, { value, source: `${name} in ${file}` });
  }
  return settings;
}

/** Flags over environment over file. `readFile` is called for --config-file only. */
export function readSettings(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): Settings {
  const flags = readFlags(argv);
  const environment = readEnvironment(env);
  const file = flags.get("config-file") ?? environment.get("config-file");
  if (file === undefined) return new Map([...environment, ...flags]);
  const path = stringValue(file);
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`cannot read ${file.source} ${path}: ${reason}`);
  }
  return new Map([...readYaml(text, path), ...environment, ...flags]);
}
