// What a response's header list means to gRPC: the headers of a success, or the status that ends it.

import { type CallEnd, type Metadata, Status } from "../call.js";
import type { HeaderField } from "../hpack/decoder.js";
import { decodeMessage, MetadataError, metadataOf } from "./metadata.js";

export interface ResponseHead {
  readonly fields: readonly HeaderField[];
  readonly metadata: Metadata;
  readonly encoding: string | undefined;
  /** Set when this list carries grpc-status (trailers or trailers-only), or is not gRPC at all. */
  readonly end: CallEnd | undefined;
  /** 1xx: more headers follow. */
  readonly informational: boolean;
}

/** gRPC's mapping for answers that come from something other than a gRPC server. */
function statusOfHttp(httpStatus: string): Status {
  switch (httpStatus) {
    case "400":
      return Status.INTERNAL;
    case "401":
      return Status.UNAUTHENTICATED;
    case "403":
      return Status.PERMISSION_DENIED;
    case "404":
      return Status.UNIMPLEMENTED;
    case "429":
    case "502":
    case "503":
    case "504":
      return Status.UNAVAILABLE;
    default:
      return Status.UNKNOWN;
  }
}

export function responseHead(fields: readonly HeaderField[]): ResponseHead {
  const value = (name: string): string | undefined => fields.find((field) => field[0] === name)?.[1];
  const httpStatus = value(":status");
  const encoding = value("grpc-encoding");
  const informational = httpStatus?.startsWith("1") === true;
  let metadata: Metadata = [];
  try {
    metadata = metadataOf(fields);
  } catch (error) {
    if (!(error instanceof MetadataError)) throw error;
    const end = { code: Status.INTERNAL, message: error.message, trailers: [] };
    return { fields, metadata, encoding, informational, end };
  }
  const statusText = value("grpc-status");
  if (statusText !== undefined) {
    const code =
      /^\d{1,2}$/.test(statusText) && Number(statusText) <= 16
        ? (Number(statusText) as Status)
        : Status.UNKNOWN;
    const end = { code, message: decodeMessage(value("grpc-message") ?? ""), trailers: metadata };
    return { fields, metadata, encoding, informational, end };
  }
  const contentType = value("content-type") ?? "";
  if (httpStatus !== undefined && !informational) {
    if (httpStatus !== "200") {
      const message = `unexpected HTTP status code received from server: ${httpStatus}`;
      return {
        fields,
        metadata,
        encoding,
        informational,
        end: { code: statusOfHttp(httpStatus), message, trailers: [] },
      };
    }
    if (!contentType.startsWith("application/grpc")) {
      const message = `unexpected content-type ${JSON.stringify(contentType)} received from server`;
      return {
        fields,
        metadata,
        encoding,
        informational,
        end: { code: Status.UNKNOWN, message, trailers: [] },
      };
    }
  }
  return { fields, metadata, encoding, informational, end: undefined };
}
