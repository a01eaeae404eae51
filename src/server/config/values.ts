// Turns what was said into values of an option's type. Text comes from flags and the environment;
// YAML brings numbers, booleans, lists and mappings as well.

import { ConfigError } from "./errors.js";
import type { ChoiceOption, NumberOption } from "./options.js";
import type { Setting } from "./sources.js";
import { didYouMean } from "./suggest.js";

const unitBytes: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  K: 1024,
  KIB: 1024,
  M: 1024 ** 2,
  MIB: 1024 ** 2,
  G: 1024 ** 3,
  GIB: 1024 ** 3,
};

function wrong(setting: Setting, expected: string): ConfigError {
  return new ConfigError(`${setting.source}: expected ${expected}, found ${JSON.stringify(setting.value)}`);
}

export function stringValue(setting: Setting): string {
  const value = setting.value;
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text !== "string" || text.trim() === "") throw wrong(setting, "some text");
  return text;
}

export function numberValue(option: NumberOption, setting: Setting): number {
  const value = parseNumber(option, setting);
  if (value < option.min || value > option.max)
    throw new ConfigError(`${setting.source}: must be ${bounds(option)}, found ${value}`);
  return value;
}

function parseNumber(option: NumberOption, setting: Setting): number {
  const expected = option.type === "bytes" ? "bytes such as 1048576 or 64MiB" : "a whole number";
  if (typeof setting.value === "number") {
    if (!Number.isSafeInteger(setting.value)) throw wrong(setting, expected);
    return setting.value;
  }
  if (typeof setting.value !== "string") throw wrong(setting, expected);
  const match = /^\s*([+-]?\d+)\s*([A-Za-z]*)\s*$/.exec(setting.value);
  const unit = match?.[2]?.toUpperCase() ?? "";
  const factor = unitBytes[unit];
  if (match === null || factor === undefined || (option.type !== "bytes" && unit !== ""))
    throw wrong(setting, expected);
  const value = Number(match[1]) * factor;
  if (!Number.isSafeInteger(value)) throw wrong(setting, expected);
  return value;
}

function bounds(option: NumberOption): string {
  return option.max >= Number.MAX_SAFE_INTEGER
    ? `${option.min} or more`
    : `between ${option.min} and ${option.max}`;
}

export function booleanValue(setting: Setting): boolean {
  switch (setting.value) {
    case true:
    case "true":
    case "1":
      return true;
    case false:
    case "false":
    case "0":
      return false;
    default:
      throw wrong(setting, "true or false");
  }
}

export function choiceValue(option: ChoiceOption, setting: Setting): string {
  const value = setting.value;
  if (typeof value !== "string") throw wrong(setting, option.choices.join(" or "));
  if (option.choices.includes(value)) return value;
  if (option.planned?.includes(value) === true)
    throw new ConfigError(`${setting.source}: ${value} is not available in this version`);
  throw new ConfigError(
    `${setting.source}: ${JSON.stringify(value)} is none of ${option.choices.join(", ")}${didYouMean(value, option.choices)}`,
  );
}

/** Comma-separated text, or a list. */
export function listValue(setting: Setting): readonly string[] {
  const value: unknown = setting.value;
  if (typeof value === "string")
    return value
      .split(",")
      .map((one) => one.trim())
      .filter((one) => one !== "");
  if (Array.isArray(value) && value.every((one): one is string => typeof one === "string")) return value;
  throw wrong(setting, "URLs separated by commas");
}

/** name=url,name=url; or a mapping from name to one or several URLs. A name may come more than once. */
export function membersValue(setting: Setting): ReadonlyMap<string, readonly string[]> {
  const members = new Map<string, string[]>();
  const add = (name: string, url: string): void => {
    const urls = members.get(name);
    if (urls === undefined) members.set(name, [url]);
    else urls.push(url);
  };
  const value = setting.value;
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    for (const [name, urls] of Object.entries(value))
      for (const url of listValue({ value: urls, source: `${setting.source}: ${name}` })) add(name, url);
    return members;
  }
  for (const part of listValue(setting)) {
    const at = part.indexOf("=");
    if (at < 1) throw new ConfigError(`${setting.source}: expected name=url, found ${JSON.stringify(part)}`);
    add(part.slice(0, at), part.slice(at + 1));
  }
  return members;
}
