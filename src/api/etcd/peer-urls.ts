// Which peer URLs a member may have: http or https with host and port and no path, unix or unixs with
// any path; at least one, kept sorted.

import { isIPv6 } from "node:net";

/** The URLs trimmed and sorted; undefined when one is not valid, or when there is none. */
export function parsePeerUrls(urls: readonly string[]): readonly string[] | undefined {
  if (urls.length === 0) return undefined;
  const trimmed = urls.map((url) => url.trim());
  return trimmed.every(isPeerUrl) ? trimmed.sort() : undefined;
}

function isPeerUrl(url: string): boolean {
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#\s]*)([^\s]*)$/i.exec(url);
  if (parts === null) return false;
  const [, scheme = "", authority = "", rest = ""] = parts;
  switch (scheme.toLowerCase()) {
    case "http":
    case "https":
      return rest === "" && isHostAndPort(authority);
    case "unix":
    case "unixs":
      return authority !== "" || rest !== "";
    default:
      return false;
  }
}

/** "host:port", the host possibly an IPv6 address in brackets. The port is a number up to 65535. */
function isHostAndPort(authority: string): boolean {
  const parts = /^(?:\[([^\]]*)\]|([^:@[\]]+)):(\d{1,5})$/.exec(authority);
  if (parts === null) return false;
  const [, bracketed, , port = ""] = parts;
  if (bracketed !== undefined && !isIPv6(bracketed)) return false;
  return Number(port) <= 65535;
}
