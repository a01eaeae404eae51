// URLs of members, checked by etcd's rules: http, a host and a port, no path, and an address (not a
// domain name) where one is to be listened on.

import { isIP } from "node:net";
import { ConfigError } from "./errors.js";

/** An address to listen on. */
export interface ListenUrl {
  /** An IP address without brackets, as node:net takes it. */
  readonly host: string;
  /** 0 asks the system for a free port. */
  readonly port: number;
  readonly url: string;
}

/** Checks one URL and returns it without a trailing slash. `source` names the setting in errors. */
function parseUrl(text: string, source: string): URL {
  const shown = `${source}: ${JSON.stringify(text)}`;
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new ConfigError(`${shown} is not a URL such as http://127.0.0.1:2379`);
  }
  if (url.protocol === "https:") throw new ConfigError(`${shown}: TLS is not available in this version`);
  if (url.protocol === "unix:" || url.protocol === "unixs:")
    throw new ConfigError(`${shown}: unix sockets are not available in this version`);
  if (url.protocol !== "http:") throw new ConfigError(`${shown} must begin with http://`);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    throw new ConfigError(`${shown} must not have a path, query or fragment`);
  if (url.username !== "" || url.password !== "")
    throw new ConfigError(`${shown} must not have a user or password`);
  // new URL() drops a port equal to the scheme's own, so look at the text.
  if (!/:\d+\/?$/.test(text)) throw new ConfigError(`${shown} must have the form http://host:port`);
  return url;
}

const portOf = (url: URL): number => (url.port === "" ? 80 : Number(url.port));
const canonical = (url: URL): string => `http://${url.hostname}:${portOf(url)}`;

function distinct<T>(values: readonly T[], keyOf: (value: T) => string, source: string): readonly T[] {
  const seen = new Set<string>();
  for (const value of values) {
    const key = keyOf(value);
    if (seen.has(key)) throw new ConfigError(`${source}: ${key} is given twice`);
    seen.add(key);
  }
  return values;
}

/** URLs under which others reach a member: at least one, no duplicates, in a stable order. */
export function parseAdvertisedUrls(texts: readonly string[], source: string): readonly string[] {
  if (texts.length === 0) throw new ConfigError(`${source}: at least one URL is needed`);
  const urls = texts.map((text) => {
    const url = parseUrl(text, source);
    if (portOf(url) === 0) throw new ConfigError(`${source}: ${JSON.stringify(text)}: port 0 reaches nobody`);
    return canonical(url);
  });
  return [...distinct(urls, (url) => url, source)].sort();
}

/** URLs to listen on: hosts are IP addresses or localhost; the same port twice is an error. */
export function parseListenUrls(texts: readonly string[], source: string): readonly ListenUrl[] {
  if (texts.length === 0) throw new ConfigError(`${source}: at least one URL is needed`);
  const listen = texts.map((text) => {
    const url = parseUrl(text, source);
    const named = url.hostname.replace(/^\[(.*)\]$/, "$1");
    // As in etcd, where it means IPv4 whatever order the resolver prefers.
    const host = named === "localhost" ? "127.0.0.1" : named;
    if (isIP(host) === 0)
      throw new ConfigError(
        `${source}: ${JSON.stringify(text)} must have an IP address (or localhost) to listen on`,
      );
    return { host, port: portOf(url), url: canonical(url) };
  });
  distinct(
    listen.filter((one) => one.port !== 0),
    addressOf,
    source,
  );
  return listen;
}

/** Host and port as text; equal for URLs that cannot both be listened on. */
export function addressOf(listen: ListenUrl): string {
  return `${isIP(listen.host) === 6 ? `[${listen.host}]` : listen.host}:${listen.port}`;
}

/** True for 0.0.0.0 and [::], which can be listened on and reach nobody. */
export function isWildcard(listen: ListenUrl): boolean {
  return listen.host === "0.0.0.0" || listen.host === "::";
}
