// Encodes and decodes what travels on an Exchange stream (quorate.consensus.v1.ExchangeRequest). Kept
// by hand because every replicated batch passes here; checked against @bufbuild/protobuf by a
// property test.

import type { Index, NodeId, Term } from "../../consensus/types.js";
import { WireError, WireReader, WireWriter } from "../../protobuf/wire.js";

/** Version of this protocol; the lower of both sides is spoken. */
export const protocolVersion = 1;

const noBytes: Uint8Array = new Uint8Array(0);

export interface Hello {
  readonly clusterId: number;
  readonly node: NodeId;
  readonly engine: string;
  readonly protocolVersion: number;
  readonly incarnation: number;
  /** Index of an applied membership that counts the speaker as a member; 0 when it knows none. */
  readonly memberAsOf: Index;
}

/** How the messages of one engine are encoded, and in which field of ExchangeRequest they travel. */
export interface MessageCodec<M> {
  readonly field: number;
  /** Bytes of the encoded message, at most. */
  bound(message: M): number;
  encode(message: M, writer: WireWriter): void;
  /** Throws WireError on what is not a message of this engine. Keeps views into `bytes`. */
  decode(bytes: Uint8Array): M;
}

export type Exchanged<M> =
  | { readonly kind: "hello"; readonly hello: Hello }
  | { readonly kind: "consensus"; readonly group: number; readonly message: M }
  | {
      readonly kind: "forwarded";
      readonly group: number;
      readonly epoch: Term;
      readonly batches: readonly Uint8Array[];
    }
  | { readonly kind: "readBarrier"; readonly group: number; readonly id: number }
  | {
      readonly kind: "readIndex";
      readonly group: number;
      readonly id: number;
      readonly index: Index | undefined;
    }
  | {
      readonly kind: "question";
      readonly group: number;
      readonly id: number;
      readonly question: Uint8Array;
    }
  | {
      readonly kind: "answer";
      readonly group: number;
      readonly id: number;
      readonly answer: Uint8Array | undefined;
    }
  | {
      readonly kind: "refused";
      readonly group: number;
      readonly epoch: Term;
      readonly sequences: readonly number[];
      readonly reason: string;
    };

const field = {
  hello: 1,
  forwarded: 3,
  readBarrier: 4,
  readIndex: 5,
  refused: 6,
  question: 7,
  answer: 8,
} as const;

export function encodeHello(hello: Hello): Uint8Array {
  return new WireWriter(64)
    .uint(1, hello.clusterId)
    .uint(2, hello.node)
    .string(3, hello.engine)
    .uint(4, hello.protocolVersion)
    .uint(5, hello.incarnation)
    .uint(6, hello.memberAsOf)
    .finish();
}

export function decodeHello(bytes: Uint8Array): Hello {
  const reader = new WireReader(bytes);
  let clusterId = 0;
  let node = 0;
  let engine = "";
  let version = 0;
  let incarnation = 0;
  let memberAsOf = 0;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) clusterId = reader.varint();
    else if (tag === 16) node = reader.varint();
    else if (tag === 26) engine = reader.string();
    else if (tag === 32) version = reader.varint();
    else if (tag === 40) incarnation = reader.varint();
    else if (tag === 48) memberAsOf = reader.varint();
    else reader.skip(tag);
  }
  return { clusterId, node, engine, protocolVersion: version, incarnation, memberAsOf };
}

export function encodeExchange<M>(exchanged: Exchanged<M>, codec: MessageCodec<M>): Uint8Array {
  switch (exchanged.kind) {
    case "hello":
      return wrap(field.hello, encodeHello(exchanged.hello));
    case "consensus": {
      const writer = new WireWriter(codec.bound(exchanged.message) + 32);
      const outer = writer.begin(codec.field);
      const inner = writer.uint(1, exchanged.group).begin(2);
      codec.encode(exchanged.message, writer);
      return writer.end(inner).end(outer).finish();
    }
    case "forwarded": {
      const bytes = exchanged.batches.reduce((sum, batch) => sum + batch.length + 12, 48);
      const writer = new WireWriter(bytes);
      const outer = writer.begin(field.forwarded);
      writer.uint(1, exchanged.group);
      for (const batch of exchanged.batches) writer.bytes(2, batch, true);
      return writer.uint(3, exchanged.epoch).end(outer).finish();
    }
    case "readBarrier":
      return wrap(
        field.readBarrier,
        new WireWriter(32).uint(1, exchanged.group).uint(2, exchanged.id).finish(),
      );
    case "readIndex":
      return wrap(
        field.readIndex,
        new WireWriter(48)
          .uint(1, exchanged.group)
          .uint(2, exchanged.id)
          .uint(3, exchanged.index ?? 0)
          .bool(4, exchanged.index === undefined)
          .finish(),
      );
    case "question":
      return wrap(field.question, encodeQuestion(exchanged.group, exchanged.id, exchanged.question));
    case "answer":
      return wrap(field.answer, encodeQuestion(exchanged.group, exchanged.id, exchanged.answer));
    case "refused": {
      const packed = new WireWriter(exchanged.sequences.length * 8 + 16);
      for (const sequence of exchanged.sequences) packed.varint(sequence);
      return wrap(
        field.refused,
        new WireWriter(64)
          .uint(1, exchanged.group)
          .bytes(2, packed.finish())
          .string(3, exchanged.reason)
          .uint(4, exchanged.epoch)
          .finish(),
      );
    }
    default:
      throw new Error(`cannot encode ${String(exchanged satisfies never)}`);
  }
}

/** A question, or an answer, which is refused when undefined. */
function encodeQuestion(group: number, id: number, payload: Uint8Array | undefined): Uint8Array {
  return new WireWriter(48 + (payload?.length ?? 0))
    .uint(1, group)
    .uint(2, id)
    .bytes(3, payload ?? noBytes)
    .bool(4, payload === undefined)
    .finish();
}

function wrap(number: number, inner: Uint8Array): Uint8Array {
  return new WireWriter(inner.length + 12).bytes(number, inner, true).finish();
}

/** Decodes one message; undefined when it is of a kind this version does not know. Keeps views into `bytes`. */
export function decodeExchange<M>(bytes: Uint8Array, codec: MessageCodec<M>): Exchanged<M> | undefined {
  const reader = new WireReader(bytes);
  let found: Exchanged<M> | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    if ((tag & 7) !== 2) {
      reader.skip(tag);
      continue;
    }
    const number = Math.floor(tag / 8);
    const inner = reader.bytes();
    if (number === field.hello) found = { kind: "hello", hello: decodeHello(inner) };
    else if (number === codec.field) found = decodeConsensus(inner, codec);
    else if (number === field.forwarded) found = decodeForwarded(inner);
    else if (number === field.refused) found = decodeRefused(inner);
    else if (number === field.question || number === field.answer) found = decodeQuestion(inner, number);
    else if (number === field.readBarrier || number === field.readIndex) found = decodeRead(inner, number);
  }
  return found;
}

function decodeConsensus<M>(inner: Uint8Array, codec: MessageCodec<M>): Exchanged<M> {
  const reader = new WireReader(inner);
  let group = 0;
  let message: Uint8Array | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) group = reader.varint();
    else if (tag === 18) message = reader.bytes();
    else reader.skip(tag);
  }
  if (message === undefined) throw new WireError("group message without a message");
  return { kind: "consensus", group, message: codec.decode(message) };
}

function decodeForwarded<M>(inner: Uint8Array): Exchanged<M> {
  const reader = new WireReader(inner);
  let group = 0;
  let epoch = 0;
  const batches: Uint8Array[] = [];
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) group = reader.varint();
    else if (tag === 18) batches.push(reader.bytes());
    else if (tag === 24) epoch = reader.varint();
    else reader.skip(tag);
  }
  return { kind: "forwarded", group, epoch, batches };
}

function decodeRefused<M>(inner: Uint8Array): Exchanged<M> {
  const reader = new WireReader(inner);
  let group = 0;
  let reason = "";
  let epoch = 0;
  const sequences: number[] = [];
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) group = reader.varint();
    else if (tag === 16) sequences.push(reader.varint());
    else if (tag === 18) {
      const packed = new WireReader(reader.bytes());
      while (!packed.done) sequences.push(packed.varint());
    } else if (tag === 26) reason = reader.string();
    else if (tag === 32) epoch = reader.varint();
    else reader.skip(tag);
  }
  return { kind: "refused", group, epoch, sequences, reason };
}

function decodeQuestion<M>(inner: Uint8Array, number: number): Exchanged<M> {
  const reader = new WireReader(inner);
  let group = 0;
  let id = 0;
  let payload = noBytes;
  let refused = false;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) group = reader.varint();
    else if (tag === 16) id = reader.varint();
    else if (tag === 26) payload = reader.bytes();
    else if (tag === 32) refused = reader.varint() !== 0;
    else reader.skip(tag);
  }
  if (number === field.question) return { kind: "question", group, id, question: payload };
  return { kind: "answer", group, id, answer: refused ? undefined : payload };
}

function decodeRead<M>(inner: Uint8Array, number: number): Exchanged<M> {
  const reader = new WireReader(inner);
  let group = 0;
  let id = 0;
  let index = 0;
  let refused = false;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 8) group = reader.varint();
    else if (tag === 16) id = reader.varint();
    else if (tag === 24) index = reader.varint();
    else if (tag === 32) refused = reader.varint() !== 0;
    else reader.skip(tag);
  }
  if (number === field.readBarrier) return { kind: "readBarrier", group, id };
  return { kind: "readIndex", group, id, index: refused ? undefined : index };
}
