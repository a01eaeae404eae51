// CRC-32 (ISO-HDLC, as zlib and gzip use it): Node's own where it has it (20.15, 22.2 and later), a
// table otherwise.

import * as zlib from "node:zlib";

const native = (zlib as { crc32?: (data: Uint8Array, value?: number) => number }).crc32;

const table = new Uint32Array(256).map((_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

/** The table-driven form, exported so that a test can hold both against each other. */
export function crc32ByTable(data: Uint8Array, value = 0): number {
  let rest = ~value >>> 0;
  for (let at = 0; at < data.length; at++) rest = (table[(rest ^ data[at]!) & 255]! ^ (rest >>> 8)) >>> 0;
  return ~rest >>> 0;
}

/** CRC of `data`, continuing from `value` (the CRC of what came before). */
export const crc32: (data: Uint8Array, value?: number) => number = native ?? crc32ByTable;
