// gRPC metadata on the wire: which header fields are metadata, binary values in base64, status
// messages percent-encoded, and the grpc-timeout header (PROTOCOL-HTTP2.md of gRPC).

import type { Metadata } from "../call.js";
import type { HeaderField } from "../hpack/decoder.js";

const reserved = new Set([
  "te",
  "content-type",
  "content-length",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-message-type",
  "grpc-status",
  "grpc-message",
]);
const base64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** A `-bin` header whose value is not base64. */
export class MetadataError extends Error {
  override readonly name = "MetadataError";
}

/**
 * The metadata among header fields; pseudo-headers and those that belong to gRPC are left out.
 * @throws MetadataError
 */
export function metadataOf(fields: readonly HeaderField[]): Metadata {
  const metadata: [string, string | Uint8Array][] = [];
  for (const [name, value] of fields) {
    if (name.startsWith(":") || reserved.has(name)) continue;
    if (!name.endsWith("-bin")) {
      metadata.push([name, value]);
      continue;
    }
    // Several values of one name may come joined by commas.
    for (const part of value.split(",")) {
      const text = part.trim();
      if (!base64.test(text) || text.replace(/=+$/, "").length % 4 === 1) {
        throw new MetadataError(`malformed binary metadata in header ${name}`);
      }
      metadata.push([name, Buffer.from(text, "base64")]);
    }
  }
  return metadata;
}

const validName = /^[0-9a-z_.-]+$/;
const validValue = /^[\x20-\x7e]*$/;

/** Header fields for metadata. @throws TypeError when a name or value cannot be sent. */
export function fieldsOf(metadata: Metadata): HeaderField[] {
  return metadata.map(([name, value]): HeaderField => {
    if (!validName.test(name) || reserved.has(name)) {
      throw new TypeError(`invalid metadata name ${JSON.stringify(name)}`);
    }
    if (name.endsWith("-bin")) {
      if (typeof value === "string") throw new TypeError(`metadata ${name} must be bytes`);
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
      return [name, bytes.toString("base64").replace(/=+$/, "")];
    }
    if (typeof value !== "string") throw new TypeError(`metadata ${name} must be a string`);
    const trimmed = value.trim();
    if (!validValue.test(trimmed)) throw new TypeError(`metadata ${name} has characters outside of ASCII`);
    return [name, trimmed];
  });
}

/** grpc-message: UTF-8, bytes outside of printable ASCII and % as %XX. */
export function encodeMessage(message: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(message)) return message;
  let encoded = "";
  for (const byte of Buffer.from(message, "utf8")) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** The reverse; what is not a valid escape stays as it is. */
export function decodeMessage(encoded: string): string {
  if (!encoded.includes("%") && /^[\x20-\x7e]*$/.test(encoded)) return encoded;
  const raw = encoded.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(raw, "latin1").toString("utf8");
}

const millisecondsPer = new Map([
  ["H", 3_600_000],
  ["M", 60_000],
  ["S", 1000],
  ["m", 1],
  ["u", 0.001],
  ["n", 0.000_001],
]);

/** Milliseconds of a grpc-timeout value; undefined when malformed. */
export function parseTimeout(value: string): number | undefined {
  const digits = value.length - 1;
  if (digits < 1 || digits > 8) return undefined;
  let amount = 0;
  for (let at = 0; at < digits; at++) {
    const digit = value.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return undefined;
    amount = amount * 10 + digit;
  }
  const unit = millisecondsPer.get(value[digits]!);
  return unit === undefined ? undefined : amount * unit;
}

/** A grpc-timeout value of at most eight digits, never longer than asked. */
export function formatTimeout(milliseconds: number): string {
  const micros = Math.max(1, Math.floor(milliseconds * 1000));
  if (micros <= 99_999_999) return `${micros}u`;
  if (milliseconds <= 99_999_999) return `${Math.floor(milliseconds)}m`;
  return `${Math.min(99_999_999, Math.floor(milliseconds / 1000))}S`;
}
