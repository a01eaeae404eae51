// Changes as watchers get them: encoded once, however many watchers match, as the `events` field of
// etcd's WatchResponse, so that a response is put together by copying bytes. They own their memory.

import { varintBytes, WireWriter } from "../../protobuf/wire.js";
import { emptyRowHead, readRowHead } from "../rows.js";

/** WatchResponse.events */
const eventsField = 11;
/** Memory of an event besides its bytes, about. */
const overheadBytes = 160;

/** One change of one key. */
export class WatchEvent {
  readonly key: Uint8Array;
  readonly isDelete: boolean;
  /** Without the previous value. */
  readonly bytes: Uint8Array;
  /** With it; undefined until it was looked for. */
  private full: Uint8Array | undefined = undefined;
  /** The row is what `bytes` end with. */
  private readonly rowBytes: number;

  /** @param row the mvccpb.KeyValue of the revision, copied */
  constructor(
    readonly revision: number,
    row: Uint8Array,
    writer: WireWriter,
  ) {
    const head = emptyRowHead();
    readRowHead(row, head);
    this.isDelete = head.version === 0;
    this.bytes = encode(writer, this.isDelete, row, undefined);
    this.rowBytes = row.length;
    const keyAt = this.bytes.length - row.length + head.key.byteOffset - row.byteOffset;
    this.key = this.bytes.subarray(keyAt, keyAt + head.key.length);
    // What is created has no previous value.
    if (!this.isDelete && head.create === revision) this.full = this.bytes;
  }

  /** Memory it takes, about. */
  get size(): number {
    const { full } = this;
    return overheadBytes + this.bytes.length + (full === undefined || full === this.bytes ? 0 : full.length);
  }

  /** Whether the previous value was looked for. */
  get complete(): boolean {
    return this.full !== undefined;
  }

  /** @param previous the row of the previous value; undefined when there is none, or none any more */
  complement(previous: Uint8Array | undefined): void {
    if (previous === undefined) this.full = this.bytes;
    else this.full = encode(new WireWriter(0), this.isDelete, this.row, previous);
  }

  /** With the previous value, once it is complete. */
  get withPrevious(): Uint8Array {
    if (this.full === undefined) throw new Error("the previous value of an event was not looked for");
    return this.full;
  }

  private get row(): Uint8Array {
    return this.bytes.subarray(this.bytes.length - this.rowBytes);
  }
}

/** Everything that one revision changed, in the order of execution. */
export interface RevisionRecord {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

function encode(
  writer: WireWriter,
  isDelete: boolean,
  row: Uint8Array,
  previous: Uint8Array | undefined,
): Uint8Array {
  const rowBytes = 1 + varintBytes(row.length) + row.length;
  const previousBytes = previous === undefined ? 0 : 1 + varintBytes(previous.length) + previous.length;
  const content = (isDelete ? 2 : 0) + rowBytes + previousBytes;
  writer.reserve(content + 16);
  writer.header(eventsField, content).uint(1, isDelete ? 1 : 0);
  writer.header(2, row.length).raw(row);
  if (previous !== undefined) writer.header(3, previous.length).raw(previous);
  return writer.finish();
}
