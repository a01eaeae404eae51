// Remembers what recent header lists meant, so that requests which differ only in their grpc-timeout
// (as those of most clients with deadlines do) are checked and parsed once.

import type { HeaderField } from "../hpack/decoder.js";
import type { MethodTable } from "../method-table.js";
import { parseTimeout } from "./metadata.js";
import { type RequestHead, requestHead } from "./request-head.js";

const remembered = 8;
const timeoutName = "grpc-timeout";

interface Known {
  readonly fields: readonly HeaderField[];
  readonly head: RequestHead;
}

export class RequestHeads {
  private readonly known: Known[] = [];
  private oldest = 0;

  constructor(private readonly methods: MethodTable) {}

  parse(fields: readonly HeaderField[]): RequestHead {
    for (let index = 0; index < this.known.length; index++) {
      const { fields: before, head } = this.known[index]!;
      const timeoutAt = differsOnlyInTimeout(fields, before);
      if (timeoutAt === undefined) continue;
      if (timeoutAt < 0) return head;
      const timeoutMs = parseTimeout(fields[timeoutAt]![1]);
      if (timeoutMs !== undefined) return withTimeout(head, timeoutMs);
    }
    const head = requestHead(fields, this.methods);
    // Only heads that do not depend on the timeout's value can stand for others.
    if (head.malformed === undefined && head.refusal === undefined) {
      const index = this.known.length < remembered ? this.known.length : this.oldest++ % remembered;
      this.known[index] = { fields, head };
    }
    return head;
  }

  /** For when methods were added. */
  forget(): void {
    this.known.length = 0;
    this.oldest = 0;
  }
}

function withTimeout(head: RequestHead, timeoutMs: number): RequestHead {
  return {
    malformed: undefined,
    refusal: undefined,
    path: head.path,
    method: head.method,
    metadata: head.metadata,
    timeoutMs,
    encoding: head.encoding,
    acceptsGzip: head.acceptsGzip,
    gzipReplies: head.gzipReplies,
    contentLength: head.contentLength,
  };
}

/** Position of the one differing grpc-timeout, -1 when the lists are equal, undefined when they differ. */
function differsOnlyInTimeout(
  fields: readonly HeaderField[],
  before: readonly HeaderField[],
): number | undefined {
  if (fields.length !== before.length) return undefined;
  let timeoutAt = -1;
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index]!;
    const other = before[index]!;
    if (field === other) continue;
    if (field[0] !== other[0]) return undefined;
    if (field[1] === other[1]) continue;
    if (field[0] !== timeoutName || timeoutAt >= 0) return undefined;
    timeoutAt = index;
  }
  return timeoutAt;
}
