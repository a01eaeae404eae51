// What RFC 9113 section 8 demands of header lists, whatever they are used for. The answers are texts
// for the error message; undefined means well-formed.

import type { HeaderField } from "../hpack/decoder.js";

const requestPseudo = new Set([":method", ":scheme", ":authority", ":path"]);
const connectionSpecific = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);
const validName = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// A NUL, CR or LF anywhere, or white space at either end (section 8.2.1).
const invalidValue = /[\0\r\n]|^[ \t]|[ \t]$/;

/** Why a request header list is malformed (sections 8.2 and 8.3.1). */
export function requestFault(fields: readonly HeaderField[]): string | undefined {
  const seen = new Set<string>();
  let regular = false;
  for (const [name, value] of fields) {
    if (name.startsWith(":")) {
      if (regular) return `pseudo-header ${name} behind a regular header`;
      if (!requestPseudo.has(name)) return `unknown pseudo-header ${name}`;
      if (seen.has(name)) return `pseudo-header ${name} twice`;
      if (invalidValue.test(value)) return `invalid value of ${name}`;
      seen.add(name);
    } else {
      regular = true;
      const fault = regularFault(name, value);
      if (fault !== undefined) return fault;
    }
  }
  for (const name of [":method", ":scheme", ":path"]) if (!seen.has(name)) return `no ${name}`;
  if (fields.some(([name, value]) => name === ":path" && value === "")) return "empty :path";
  return undefined;
}

/** Why a response header list is malformed; trailers have no :status. */
export function responseFault(fields: readonly HeaderField[], trailers: boolean): string | undefined {
  let status = 0;
  let regular = false;
  for (const [name, value] of fields) {
    if (name.startsWith(":")) {
      if (trailers) return `pseudo-header ${name} in trailers`;
      if (name !== ":status") return `unknown pseudo-header ${name}`;
      if (regular || ++status > 1) return ":status twice or out of place";
      if (!/^[1-5]\d\d$/.test(value)) return `invalid :status ${value}`;
    } else {
      regular = true;
      const fault = regularFault(name, value);
      if (fault !== undefined) return fault;
    }
  }
  return trailers || status === 1 ? undefined : "no :status";
}

/** Why request trailers are malformed. */
export function trailersFault(fields: readonly HeaderField[]): string | undefined {
  for (const [name, value] of fields) {
    if (name.startsWith(":")) return `pseudo-header ${name} in trailers`;
    const fault = regularFault(name, value);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function regularFault(name: string, value: string): string | undefined {
  if (!validName.test(name)) return `invalid header name ${JSON.stringify(name)}`;
  if (invalidValue.test(value)) return `invalid value of header ${name}`;
  if (connectionSpecific.has(name)) return `connection-specific header ${name}`;
  if (name === "te" && value !== "trailers") return `te is ${JSON.stringify(value)}`;
  return undefined;
}
