// What a node is told at start: read from flags, environment and file, checked as a whole. A config
// that parseServerConfig returned needs no further checks except those that depend on the disk.

import { join } from "node:path";
import { ConfigError } from "./config/errors.js";
import { defaultQuotaBytes, type OptionName, type OptionSpec, optionByName } from "./config/options.js";
import { readSettings, type Setting } from "./config/sources.js";
import {
  addressOf,
  isWildcard,
  type ListenUrl,
  parseAdvertisedUrls,
  parseListenUrls,
} from "./config/urls.js";
import {
  booleanValue,
  choiceValue,
  listValue,
  membersValue,
  numberValue,
  stringValue,
} from "./config/values.js";
import type { ProtocolName } from "./protocols.js";

export { ConfigError } from "./config/errors.js";
export type { ListenUrl } from "./config/urls.js";

/** One member of the cluster as it was at birth. */
export interface InitialMember {
  readonly name: string;
  /** At least one, sorted. */
  readonly peerUrls: readonly string[];
}

export interface ServerConfig {
  readonly name: string;
  readonly dataDir: string;
  readonly walDir: string;
  /** At least one. */
  readonly listenClientUrls: readonly ListenUrl[];
  /** At least one, sorted. Has port 0 when it was derived from a listen URL that has. */
  readonly advertiseClientUrls: readonly string[];
  readonly listenPeerUrls: readonly ListenUrl[];
  readonly initialAdvertisePeerUrls: readonly string[];
  /** Every member, this one included, sorted by name. */
  readonly initialCluster: readonly InitialMember[];
  readonly initialClusterState: "new" | "existing";
  readonly initialClusterToken: string;
  readonly strictReconfigCheck: boolean;
  readonly consensus: ProtocolName;
  readonly heartbeatIntervalMs: number;
  /** At least five heartbeats. */
  readonly electionTimeoutMs: number;
  readonly snapshotCount: number;
  /** Undefined when there is no limit (a negative number was given). */
  readonly quotaBackendBytes: number | undefined;
  readonly cacheBytes: number;
  readonly maxRequestBytes: number;
  readonly maxTxnOps: number;
  readonly maxConcurrentStreams: number;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly logFormat: "auto" | "json" | "text";
  readonly metrics: "basic" | "extensive";
}

/**
 * Reads a node's configuration.
 * @param argv the arguments after `quorate server`.
 * @param env usually process.env; only QUORATE_* is looked at.
 * @param readFile reads the file of --config-file as text; may throw.
 * @throws ConfigError with one line that says what is wrong and where it was said.
 */
export function parseServerConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): ServerConfig {
  const settings = readSettings(argv, env, readFile);
  const values = new Values(settings);

  const name = values.string("name", "default");
  const dataDir = values.string("data-dir", `${name}.quorate`);
  const clients = listenAndAdvertise(values, "listen-client-urls", 2379, "advertise-client-urls");
  const peers = listenAndAdvertise(values, "listen-peer-urls", 2380, "initial-advertise-peer-urls");
  const clientAddresses = new Set(clients.listen.map(addressOf));
  for (const peer of peers.listen)
    if (peer.port !== 0 && clientAddresses.has(addressOf(peer)))
      throw new ConfigError(`${addressOf(peer)} is in both --listen-client-urls and --listen-peer-urls`);

  const config: ServerConfig = {
    name,
    dataDir,
    walDir: values.string("wal-dir", join(dataDir, "wal")),
    listenClientUrls: clients.listen,
    advertiseClientUrls: clients.advertised,
    listenPeerUrls: peers.listen,
    initialAdvertisePeerUrls: peers.advertised,
    initialCluster: initialCluster(values, name, peers.advertised),
    initialClusterState: values.choice("initial-cluster-state"),
    initialClusterToken: values.string("initial-cluster-token", "quorate-cluster"),
    strictReconfigCheck: values.boolean("strict-reconfig-check"),
    consensus: values.choice("consensus"),
    heartbeatIntervalMs: values.number("heartbeat-interval"),
    electionTimeoutMs: values.number("election-timeout"),
    snapshotCount: values.number("snapshot-count"),
    quotaBackendBytes: quota(values.number("quota-backend-bytes")),
    cacheBytes: values.number("cache-bytes"),
    maxRequestBytes: values.number("max-request-bytes"),
    maxTxnOps: values.number("max-txn-ops"),
    maxConcurrentStreams: values.number("max-concurrent-streams"),
    logLevel: values.choice("log-level"),
    logFormat: values.choice("log-format"),
    metrics: values.choice("metrics"),
  };
  if (config.electionTimeoutMs < 5 * config.heartbeatIntervalMs)
    throw new ConfigError(
      `--election-timeout (${config.electionTimeoutMs} ms) must be at least 5 times --heartbeat-interval (${config.heartbeatIntervalMs} ms)`,
    );
  return config;
}

/** Typed access to the settings by the option's name, with the table's defaults and bounds. */
class Values {
  constructor(private readonly settings: ReadonlyMap<OptionName, Setting>) {}

  setting(name: OptionName): Setting | undefined {
    return this.settings.get(name);
  }
  string(name: OptionName, fallback: string): string {
    const setting = this.settings.get(name);
    return setting === undefined ? fallback : stringValue(setting);
  }
  number(name: OptionName): number {
    const option = spec(name);
    if (option.type !== "integer" && option.type !== "milliseconds" && option.type !== "bytes")
      throw new Error(`${name} is no number`);
    const setting = this.settings.get(name);
    return setting === undefined ? option.default : numberValue(option, setting);
  }
  boolean(name: OptionName): boolean {
    const option = spec(name);
    if (option.type !== "boolean") throw new Error(`${name} is no boolean`);
    const setting = this.settings.get(name);
    return setting === undefined ? option.default : booleanValue(setting);
  }
  choice<T extends string>(name: OptionName): T {
    const option = spec(name);
    if (option.type !== "choice") throw new Error(`${name} is no choice`);
    const setting = this.settings.get(name);
    return (setting === undefined ? option.default : choiceValue(option, setting)) as T;
  }
}

function spec(name: OptionName): OptionSpec {
  const option = optionByName.get(name);
  if (option === undefined) throw new Error(`no option ${name}`);
  return option;
}

function quota(given: number): number | undefined {
  if (given < 0) return undefined;
  return given === 0 ? defaultQuotaBytes : given;
}

/** A pair of listen and advertise options; what is listened on is advertised unless said otherwise. */
function listenAndAdvertise(
  values: Values,
  listenName: "listen-client-urls" | "listen-peer-urls",
  defaultPort: number,
  advertiseName: "advertise-client-urls" | "initial-advertise-peer-urls",
): { readonly listen: readonly ListenUrl[]; readonly advertised: readonly string[] } {
  const listenSetting = values.setting(listenName);
  const listen =
    listenSetting === undefined
      ? parseListenUrls([`http://localhost:${defaultPort}`], `--${listenName}`)
      : parseListenUrls(listValue(listenSetting), listenSetting.source);
  const advertise = values.setting(advertiseName);
  if (advertise !== undefined)
    return { listen, advertised: parseAdvertisedUrls(listValue(advertise), advertise.source) };
  const wildcard = listen.find(isWildcard);
  if (wildcard !== undefined)
    throw new ConfigError(
      `--${advertiseName} is needed: nobody can reach ${wildcard.url} (${listenSetting?.source ?? listenName})`,
    );
  return { listen, advertised: listen.map((one) => one.url).sort() };
}

/** The members at birth: this one must be among them, under the URLs it advertises. */
function initialCluster(values: Values, name: string, ownUrls: readonly string[]): readonly InitialMember[] {
  const setting = values.setting("initial-cluster");
  if (setting === undefined) return [{ name, peerUrls: ownUrls }];
  const owners = new Map<string, string>();
  const members: InitialMember[] = [];
  for (const [memberName, texts] of membersValue(setting)) {
    const peerUrls = parseAdvertisedUrls(texts, `${setting.source}: ${memberName}`);
    for (const url of peerUrls) {
      const owner = owners.get(url);
      if (owner !== undefined)
        throw new ConfigError(`${setting.source}: ${owner} and ${memberName} have the same URL ${url}`);
      owners.set(url, memberName);
    }
    members.push({ name: memberName, peerUrls });
  }
  if (members.length === 0) throw new ConfigError(`${setting.source}: at least one member is needed`);
  const own = members.find((member) => member.name === name);
  if (own === undefined)
    throw new ConfigError(
      `${setting.source}: no member is named ${name} (--name); it has ${members.map((member) => member.name).join(", ")}`,
    );
  if (own.peerUrls.join() !== ownUrls.join())
    throw new ConfigError(
      `${setting.source}: ${name} has ${own.peerUrls.join(",")}, but --initial-advertise-peer-urls has ${ownUrls.join(",")}`,
    );
  return members.sort((a, b) => (a.name < b.name ? -1 : 1));
}
