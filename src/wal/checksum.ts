// CRC-32 (the polynomial of zlib and IEEE 802.3), the native one where Node has it and a table
// otherwise. Both give the same values, so logs move freely between Node versions.
import * as zlib from "node:zlib";

/** @param seed result of an earlier call over the bytes that precede `bytes`; 0 to begin. */
export type Crc32 = (bytes: Uint8Array, seed?: number) => number;

const table = /* @__PURE__ */ (() => {
  const rows = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    rows[byte] = value >>> 0;
  }
  return rows;
})();

/** The plain version: Node before 20.15 and 22.2 has nothing better. */
export const crc32ByTable: Crc32 = (bytes, seed = 0) => {
  let crc = ~seed;
  for (let at = 0; at < bytes.length; at++) crc = table[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
};

const native = (zlib as { crc32?: Crc32 }).crc32;

export const crc32: Crc32 = native ?? crc32ByTable;
