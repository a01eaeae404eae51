// Tells HTTP/2 with prior knowledge from HTTP/1.1 and from garbage by the first bytes of a connection,
// so all can share one port (RFC 9113 section 3.3).

import type { Socket } from "node:net";
import { clientPreface } from "./http2/frames.js";

export type Detected =
  | { readonly protocol: "http2"; readonly rest: Buffer }
  | { readonly protocol: "http1"; readonly bytes: Buffer }
  | { readonly protocol: "unknown" }
  | { readonly protocol: "closed" };

/** What the bytes so far are; undefined when more are needed. */
export function detect(bytes: Buffer): Detected | undefined {
  const length = Math.min(bytes.length, clientPreface.length);
  if (bytes.compare(clientPreface, 0, length, 0, length) === 0) {
    if (length < clientPreface.length) return undefined;
    return { protocol: "http2", rest: bytes.subarray(length) };
  }
  // An HTTP/1 request begins with a method and a space; no method in use is longer than 20 letters.
  const line = bytes.toString("latin1", 0, 24);
  if (/^[A-Z][A-Z-]{0,19} [/*h]/.test(line)) return { protocol: "http1", bytes };
  if (bytes.length < 24 && /^[A-Z][A-Z-]{0,19} ?$/.test(line)) return undefined;
  return { protocol: "unknown" };
}

/** Reads until detect() decides, then calls `found` once. The socket is left without listeners of ours. */
export function detectProtocol(socket: Socket, timeoutMs: number, found: (detected: Detected) => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  const finish = (detected: Detected): void => {
    clearTimeout(timer);
    socket.off("data", onData).off("close", onClose).off("end", onClose).off("error", onError);
    found(detected);
  };
  const onData = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const detected = detect(bytes);
    if (detected !== undefined) finish(detected);
  };
  const onClose = (): void => finish({ protocol: "closed" });
  // "close" follows every "error"; the reason does not matter before a protocol was spoken.
  const onError = (): void => {};
  const timer = setTimeout(() => finish({ protocol: "unknown" }), timeoutMs).unref();
  socket.on("data", onData).on("close", onClose).on("end", onClose).on("error", onError);
}
