// The constant bytes of a unary reply. Both header blocks use only literals without indexing and
// static entries (RFC 7541 section 6.2.2), so they mean the same whatever the connection's HPACK state.

import { Flag, FrameType, frame } from "./http2/frames.js";

function literal(name: Buffer, value: string): Buffer {
  return Buffer.concat([name, Buffer.from([value.length]), Buffer.from(value, "latin1")]);
}

/** `:status: 200` is static entry 8; content-type is the name of static entry 31 (four-bit prefix: 15 + 16). */
const responseHeaders = Buffer.concat([
  Buffer.from([0x88]),
  literal(Buffer.from([0x0f, 0x10]), "application/grpc"),
]);

const okTrailers = literal(
  Buffer.concat([Buffer.from([0x00, 11]), Buffer.from("grpc-status", "latin1")]),
  "0",
);

/** HEADERS frame of a success; the stream id goes to offset 5. */
export const replyHeaders: Buffer = frame(FrameType.HEADERS, Flag.END_HEADERS, 0, responseHeaders);

/** HEADERS frame, then the header of a DATA frame and the five bytes before its message, to be filled in. */
export const replyPrefix: Buffer = Buffer.concat([
  replyHeaders,
  frame(FrameType.DATA, 0, 0),
  Buffer.alloc(5),
]);
export const replyPrefixBytes: number = replyPrefix.length;

/** HEADERS frame that ends the stream with grpc-status 0; the stream id goes to offset 5. */
export const replyTrailers: Buffer = frame(
  FrameType.HEADERS,
  Flag.END_HEADERS | Flag.END_STREAM,
  0,
  okTrailers,
);
export const okTrailersBytes: number = replyTrailers.length;
