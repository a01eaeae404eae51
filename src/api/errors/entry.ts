// What an error of the catalogue consists of.

import type { Metadata, Status } from "../../rpc/call.js";

/**
 * What a client may do after the error.
 * - safe: nothing was done; the same request may be sent again, here later or elsewhere.
 * - unknown: the request may or may not have taken effect; repeat it only if that does no harm.
 * - pointless: nothing was done, and the same request gets the same answer until something changes.
 */
export type Retry = "safe" | "unknown" | "pointless";

export interface ApiError {
  /** Stable, for programs; never renamed or reused. */
  readonly code: string;
  readonly status: Status;
  /** Exact; etcd's clients compare etcd's texts byte for byte. */
  readonly text: string;
  readonly retry: Retry;
  /** What happened and what to do about it, for docs/errors.md. */
  readonly meaning: string;
  /** Carries the code to the client. */
  readonly trailers: Metadata;
}

/** Trailer that holds the code; etcd's clients pass over it. */
export const errorCodeTrailer = "quorate-error-code";

export function entry(code: string, status: Status, text: string, retry: Retry, meaning: string): ApiError {
  return { code, status, text, retry, meaning, trailers: [[errorCodeTrailer, code]] };
}
