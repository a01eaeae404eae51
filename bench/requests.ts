// The requests of the load generator, encoded once: a request is a copy of a template in which only
// the key's digits and the value are overwritten, so that building one costs the client next to nothing.
import { varintBytes, WireWriter } from "../src/protobuf/wire.js";
import { Random } from "./random.js";

export const operations = ["put", "range", "serializable-range", "txn"] as const;
export type Operation = (typeof operations)[number];

export interface RequestShape {
  readonly operation: Operation;
  /** Keys are numbers in [0, keys). */
  readonly keys: number;
  /** Bytes of a key: "k" and the number, padded with zeros. */
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly seed: number;
}

/** The smallest key size for that many keys. */
export function leastKeyBytes(keys: number): number {
  return 1 + String(keys - 1).length;
}

/** Writes key number `key` as `keyBytes` bytes. */
export function writeKey(into: Uint8Array, at: number, keyBytes: number, key: number): void {
  into[at] = 0x6b;
  let rest = key;
  for (let digit = at + keyBytes - 1; digit > at; digit--) {
    into[digit] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

const paths: Readonly<Record<Operation, string>> = {
  put: "/etcdserverpb.KV/Put",
  range: "/etcdserverpb.KV/Range",
  "serializable-range": "/etcdserverpb.KV/Range",
  txn: "/etcdserverpb.KV/Txn",
};

interface Template {
  readonly bytes: Uint8Array;
  readonly keysAt: readonly number[];
  /** -1 for a request without value. */
  readonly valueAt: number;
}

function putTemplate(keyBytes: number, valueBytes: number): Template {
  const writer = new WireWriter();
  const keyAt = writer.header(1, keyBytes).length;
  writer.raw(new Uint8Array(keyBytes));
  if (valueBytes === 0) return { bytes: writer.finish(), keysAt: [keyAt], valueAt: -1 };
  const valueAt = writer.header(2, valueBytes).length;
  return { bytes: writer.raw(new Uint8Array(valueBytes)).finish(), keysAt: [keyAt], valueAt };
}

function rangeTemplate(keyBytes: number, serializable: boolean): Template {
  const writer = new WireWriter();
  const keyAt = writer.header(1, keyBytes).length;
  const bytes = writer.raw(new Uint8Array(keyBytes)).bool(7, serializable).finish();
  return { bytes, keysAt: [keyAt], valueAt: -1 };
}

/** If mod_revision(key) < 2^53 - 1, which is always so, then put(key, value). */
function txnTemplate(keyBytes: number, valueBytes: number): Template {
  const put = putTemplate(keyBytes, valueBytes);
  const compare = new WireWriter().uint(1, 2).uint(2, 2);
  const compareKeyAt = compare.header(3, keyBytes).length;
  const compared = compare.raw(new Uint8Array(keyBytes)).uint(6, Number.MAX_SAFE_INTEGER).finish();

  const writer = new WireWriter();
  const compareAt = writer.header(1, compared.length).length;
  writer.raw(compared);
  const operationBytes = 1 + varintBytes(put.bytes.length) + put.bytes.length;
  const putAt = writer.header(2, operationBytes).header(2, put.bytes.length).length;
  return {
    bytes: writer.raw(put.bytes).finish(),
    keysAt: [compareAt + compareKeyAt, putAt + put.keysAt[0]!],
    valueAt: put.valueAt < 0 ? -1 : putAt + put.valueAt,
  };
}

function template(shape: RequestShape): Template {
  switch (shape.operation) {
    case "put":
      return putTemplate(shape.keyBytes, shape.valueBytes);
    case "range":
      return rangeTemplate(shape.keyBytes, false);
    case "serializable-range":
      return rangeTemplate(shape.keyBytes, true);
    case "txn":
      return txnTemplate(shape.keyBytes, shape.valueBytes);
    default:
      return shape.operation satisfies never;
  }
}

/** Values are taken from here at random offsets, so that no two neighbours compress into one. */
const valuePoolBytes = 1 << 20;

export class RequestMaker {
  readonly path: string;
  private readonly random: Random;
  private readonly template: Template;
  private readonly values: Buffer;

  constructor(private readonly shape: RequestShape) {
    if (shape.keyBytes < leastKeyBytes(shape.keys)) {
      throw new RangeError(`${shape.keys} keys need at least ${leastKeyBytes(shape.keys)} bytes each`);
    }
    this.path = paths[shape.operation];
    this.random = new Random(shape.seed);
    this.template = template(shape);
    this.values = Buffer.allocUnsafe(this.template.valueAt < 0 ? 0 : valuePoolBytes + shape.valueBytes);
    this.random.fill(this.values);
  }

  /** A request of its own to pass to `next` again and again. */
  allocate(): Buffer {
    return Buffer.from(this.template.bytes);
  }

  /** Turns a request made by `allocate` into the next one, with a random key and value. */
  next(request: Buffer): void {
    this.set(request, this.random.below(this.shape.keys));
  }

  /** Turns a request made by `allocate` into one about the given key. */
  set(request: Buffer, key: number): void {
    const { keysAt, valueAt } = this.template;
    for (let at = 0; at < keysAt.length; at++) writeKey(request, keysAt[at]!, this.shape.keyBytes, key);
    if (valueAt < 0) return;
    const from = this.random.below(valuePoolBytes);
    this.values.copy(request, valueAt, from, from + this.shape.valueBytes);
  }
}

/** A transaction of `count` puts of keys from `first` on, for filling a store. */
export class FillMaker {
  readonly path = paths.txn;
  private readonly random: Random;
  private readonly value: Buffer;
  private readonly key: Uint8Array;
  private readonly putBytes: number;
  private readonly writer = new WireWriter(1 << 16);

  constructor(
    private readonly keyBytes: number,
    valueBytes: number,
    seed: number,
  ) {
    this.random = new Random(seed);
    this.key = new Uint8Array(keyBytes);
    this.value = Buffer.allocUnsafe(valueBytes);
    this.putBytes = putTemplate(keyBytes, valueBytes).bytes.length;
  }

  make(first: number, count: number): Uint8Array {
    for (let key = first; key < first + count; key++) {
      writeKey(this.key, 0, this.keyBytes, key);
      this.random.fill(this.value);
      this.writer
        .header(2, 1 + varintBytes(this.putBytes) + this.putBytes)
        .header(2, this.putBytes)
        .bytes(1, this.key)
        .bytes(2, this.value);
    }
    return this.writer.finish();
  }
}
