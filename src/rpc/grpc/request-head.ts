// What the header list of a request means to gRPC: the method, its metadata and timeout, or the reason
// why it is answered at once. One result may serve many requests with the same header block.

import { type Metadata, type RawMethod, Status } from "../call.js";
import type { HeaderField } from "../hpack/decoder.js";
import { requestFault } from "../http2/field-rules.js";
import type { MethodTable } from "../method-table.js";
import { gzipName } from "./gzip.js";
import { MetadataError, metadataOf, parseTimeout } from "./metadata.js";

/** An answer given without calling anything. */
export interface Refusal {
  readonly httpStatus: number;
  readonly code: Status;
  readonly message: string;
  /** The caller is told which message encodings it may use. */
  readonly tellEncodings?: boolean;
  /**
   * The request is not gRPC at all: it is read to its end and answered as plain HTTP, with a line of
   * text or, to HEAD, without.
   */
  readonly plain?: "body" | "head";
}

export interface RequestHead {
  /** The list breaks RFC 9113: the stream ends with PROTOCOL_ERROR. */
  readonly malformed: string | undefined;
  readonly refusal: Refusal | undefined;
  readonly path: string;
  readonly method: RawMethod | undefined;
  readonly metadata: Metadata;
  readonly timeoutMs: number | undefined;
  readonly encoding: string | undefined;
  /** The caller takes messages in gzip. */
  readonly acceptsGzip: boolean;
  /** Answers are compressed unless the handler decides otherwise: the caller compresses too. */
  readonly gzipReplies: boolean;
  /** -1 when not given. */
  readonly contentLength: number;
}

const contentTypePattern = /^application\/grpc(?:$|[+;])/;

export function requestHead(fields: readonly HeaderField[], methods: MethodTable): RequestHead {
  const malformed = requestFault(fields);
  const value = (name: string): string | undefined => fields.find((field) => field[0] === name)?.[1];
  const path = value(":path") ?? "";
  const lengthText = value("content-length");
  const contentLength =
    lengthText === undefined ? -1 : /^\d{1,15}$/.test(lengthText) ? Number(lengthText) : Number.NaN;
  const encoding = value("grpc-encoding");
  const accepted = value("grpc-accept-encoding");
  const acceptsGzip = accepted?.split(",").some((name) => name.trim() === gzipName) === true;
  const base = {
    path,
    method: undefined,
    metadata: [],
    timeoutMs: undefined,
    encoding,
    acceptsGzip,
    gzipReplies: encoding === gzipName && (acceptsGzip || accepted === undefined),
    contentLength,
  };
  const refuse = (httpStatus: number, code: Status, message: string): RequestHead => ({
    ...base,
    malformed: undefined,
    refusal: { httpStatus, code, message },
  });
  if (malformed !== undefined) return { ...base, malformed, refusal: undefined };
  if (Number.isNaN(contentLength))
    return { ...base, malformed: "invalid content-length", refusal: undefined };

  const verb = value(":method") ?? "";
  const contentType = value("content-type") ?? "";
  if (!contentTypePattern.test(contentType.toLowerCase())) {
    const text = `invalid gRPC request content-type ${JSON.stringify(contentType)}`;
    const plain = verb === "HEAD" ? "head" : "body";
    const refusal = { httpStatus: 415, code: Status.INVALID_ARGUMENT, message: text, plain } as const;
    return { ...base, malformed: undefined, refusal };
  }
  if (verb !== "POST") {
    const text = `Received a HEADERS frame with :method ${JSON.stringify(verb)} which should be POST`;
    return refuse(405, Status.INTERNAL, text);
  }
  const timeout = value("grpc-timeout");
  const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout);
  if (timeout !== undefined && timeoutMs === undefined) {
    const text = `malformed grpc-timeout: ${JSON.stringify(timeout)}`;
    return refuse(400, Status.INTERNAL, text);
  }
  let metadata: Metadata;
  try {
    metadata = metadataOf(fields);
  } catch (error) {
    if (!(error instanceof MetadataError)) throw error;
    return refuse(400, Status.INTERNAL, error.message);
  }
  const method = methods.find(path);
  if (method === undefined) {
    const error = methods.unknown(path);
    return refuse(200, error.code, error.message);
  }
  if (encoding !== undefined && encoding !== gzipName && encoding !== "identity") {
    const message = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`;
    const refusal = { httpStatus: 200, code: Status.UNIMPLEMENTED, message, tellEncodings: true };
    return { ...base, malformed: undefined, refusal };
  }
  return { ...base, malformed: undefined, refusal: undefined, method, metadata, timeoutMs };
}
