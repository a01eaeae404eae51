// Encoders of the KV responses with the header etcd gives them: complete at the top, the revision
// alone in results nested in a txn, and nothing in the header of a nested txn (which is still there).
// Sizes are computed first, so each response is written once into memory of the right size.

import { varintBytes, WireWriter } from "../../protobuf/wire.js";
import type {
  DeleteRangeResult,
  KeyValue,
  OpResult,
  PutResult,
  RangeResult,
  TxnResult,
} from "../messages.js";
import { keyValueBytes, uintFieldBytes, writeKeyValue } from "./key-value.js";

/** Responses up to this size are cut from shared slabs; larger ones get memory of their own. */
const slabLimitBytes = 1024;

export class ResponseEncoder {
  private readonly writer = new WireWriter();
  /** cluster_id and member_id, encoded. */
  private readonly identity: Buffer;
  /** Everything of a put response but the revision, for the term and revision length at hand. */
  private template: Buffer;
  private templateTerm = -1;
  private templateRevisionBytes = 0;
  private revisionAt = 0;

  /** @param clusterId and memberId unsigned 64-bit, part of every header. */
  constructor(clusterId: bigint, memberId: bigint) {
    this.identity = Buffer.from(new WireWriter(64).int64(1, clusterId).int64(2, memberId).finish());
    this.template = Buffer.alloc(0);
  }

  /** A put response without prev_kv differs from the one before in the bytes of the revision only. */
  put(result: PutResult, term: number): Uint8Array {
    if (result.prevKv === undefined) return this.headerOnly(result.revision, term);
    const body = messageBytes(keyValueBytes(result.prevKv));
    const writer = this.begin(result.revision, term, body);
    writeEmbeddedKeyValue(writer, 2, result.prevKv);
    return writer.finish();
  }

  range(result: RangeResult, term: number): Uint8Array {
    const writer = this.begin(result.revision, term, rangeBodyBytes(result));
    writeRangeBody(writer, result);
    return writer.finish();
  }

  deleteRange(result: DeleteRangeResult, term: number): Uint8Array {
    const writer = this.begin(result.revision, term, deleteRangeBodyBytes(result));
    writeDeleteRangeBody(writer, result);
    return writer.finish();
  }

  txn(result: TxnResult, term: number): Uint8Array {
    const writer = this.begin(result.revision, term, txnBodyBytes(result));
    writeTxnBody(writer, result);
    return writer.finish();
  }

  /** @param revision the current one, not the compacted one. */
  compaction(revision: number, term: number): Uint8Array {
    return this.headerOnly(revision, term);
  }

  /** A response that has a header in field 1 and nothing else. */
  headerOnly(revision: number, term: number): Uint8Array {
    if (revision < 1) throw new RangeError(`a header with revision ${revision}; stores begin at 1`);
    const revisionBytes = varintBytes(revision);
    if (term !== this.templateTerm || revisionBytes !== this.templateRevisionBytes) {
      const writer = this.begin(revision, term, 0);
      this.template = Buffer.from(writer.finish());
      this.templateTerm = term;
      this.templateRevisionBytes = revisionBytes;
      // tag and length of the header (always below 128 bytes), the identity, the revision's tag
      this.revisionAt = 2 + this.identity.length + 1;
    }
    const response = Buffer.allocUnsafe(this.template.length);
    response.set(this.template);
    let at = this.revisionAt;
    let rest = revision;
    while (rest >= 0x80000000) {
      response[at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 128) {
      response[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    response[at] = rest;
    return response;
  }

  /** A writer with room for the body, holding the header already. */
  private begin(revision: number, term: number, bodyBytes: number): WireWriter {
    const headerBytes = this.identity.length + uintFieldBytes(revision) + uintFieldBytes(term);
    const total = messageBytes(headerBytes) + bodyBytes + 10;
    const writer = total <= slabLimitBytes ? this.writer : new WireWriter(total);
    return writer.header(1, headerBytes).raw(this.identity).uint(3, revision).uint(4, term);
  }
}

/** Size of a sub-message in a field up to 15: tag, length and content. */
const messageBytes = (content: number): number => 1 + varintBytes(content) + content;

function writeEmbeddedKeyValue(writer: WireWriter, field: number, kv: KeyValue): void {
  writer.header(field, keyValueBytes(kv));
  writeKeyValue(writer, kv);
}

function keyValuesBytes(kvs: readonly KeyValue[]): number {
  let bytes = 0;
  for (const kv of kvs) bytes += messageBytes(keyValueBytes(kv));
  return bytes;
}

function rangeBodyBytes(result: RangeResult): number {
  return keyValuesBytes(result.kvs) + (result.more ? 2 : 0) + uintFieldBytes(result.count);
}

function writeRangeBody(writer: WireWriter, result: RangeResult): void {
  for (const kv of result.kvs) writeEmbeddedKeyValue(writer, 2, kv);
  writer.bool(3, result.more).uint(4, result.count);
}

function deleteRangeBodyBytes(result: DeleteRangeResult): number {
  return uintFieldBytes(result.deleted) + keyValuesBytes(result.prevKvs);
}

function writeDeleteRangeBody(writer: WireWriter, result: DeleteRangeResult): void {
  writer.uint(2, result.deleted);
  for (const kv of result.prevKvs) writeEmbeddedKeyValue(writer, 3, kv);
}

function txnBodyBytes(result: TxnResult): number {
  let bytes = result.succeeded ? 2 : 0;
  for (const response of result.responses) bytes += messageBytes(messageBytes(nestedBytes(response)));
  return bytes;
}

function writeTxnBody(writer: WireWriter, result: TxnResult): void {
  writer.bool(2, result.succeeded);
  for (const response of result.responses) {
    const content = nestedBytes(response);
    writer.header(3, messageBytes(content));
    writeNested(writer, response, content);
  }
}

/** Size of a result inside a ResponseOp: its header holds the revision alone, a txn's holds nothing. */
function nestedBytes(result: OpResult): number {
  const headerBytes = messageBytes(uintFieldBytes(result.revision));
  switch (result.kind) {
    case "range":
      return headerBytes + rangeBodyBytes(result);
    case "put":
      return headerBytes + (result.prevKv === undefined ? 0 : messageBytes(keyValueBytes(result.prevKv)));
    case "deleteRange":
      return headerBytes + deleteRangeBodyBytes(result);
    case "txn":
      return messageBytes(0) + txnBodyBytes(result);
    default:
      return result satisfies never;
  }
}

function writeNested(writer: WireWriter, result: OpResult, contentBytes: number): void {
  switch (result.kind) {
    case "range":
      writeNestedHeader(writer.header(1, contentBytes), result.revision);
      writeRangeBody(writer, result);
      break;
    case "put":
      writeNestedHeader(writer.header(2, contentBytes), result.revision);
      if (result.prevKv !== undefined) writeEmbeddedKeyValue(writer, 2, result.prevKv);
      break;
    case "deleteRange":
      writeNestedHeader(writer.header(3, contentBytes), result.revision);
      writeDeleteRangeBody(writer, result);
      break;
    case "txn":
      writer.header(4, contentBytes).header(1, 0);
      writeTxnBody(writer, result);
      break;
    default:
      result satisfies never;
  }
}

function writeNestedHeader(writer: WireWriter, revision: number): void {
  writer.header(1, uintFieldBytes(revision)).uint(3, revision);
}
