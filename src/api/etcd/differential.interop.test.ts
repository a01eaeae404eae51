// The same random requests, one after the other, to a real etcd and to this API on the real state: every
// answer must be the same, errors to the letter. Masked: who answered, the term, and the order of keys
// that are equal in what they are sorted by.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type DescMessage, fromBinary, toJsonString } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import fc from "fast-check";
import {
  CompactionRequestSchema,
  CompactionResponseSchema,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  type ResponseHeader,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import { encodeCompaction, encodeDeleteRange, encodePut, encodeRange, encodeTxn } from "../../mvcc/codec.js";
import {
  type Compare,
  CompareTarget,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SortTarget,
  type TxnRequest,
} from "../../mvcc/messages.js";
import { deletes, op, putOf, puts, ranges, txns } from "../../mvcc/request-generators.js";
import { EtcdProcess, etcdVersion } from "../testing/etcd-process.js";
import { startSingleNode } from "../testing/single-node.js";

const operations = 2000;
/** The generators know revisions from -2 to 30: shifted so that the store's newest are among them. */
const spread = 25;

const schemas = {
  Put: [PutRequestSchema, PutResponseSchema],
  Range: [RangeRequestSchema, RangeResponseSchema],
  DeleteRange: [DeleteRangeRequestSchema, DeleteRangeResponseSchema],
  Txn: [TxnRequestSchema, TxnResponseSchema],
  Compact: [CompactionRequestSchema, CompactionResponseSchema],
} as const;
type Name = keyof typeof schemas;

/** A request once the store's revision is known. */
interface Operation {
  readonly name: Name;
  readonly at: (revision: number) => Uint8Array;
}

const rarely = <T>(arbitrary: fc.Arbitrary<T>) => ({ weight: 1, arbitrary });
const often = <T>(arbitrary: fc.Arbitrary<T>) => ({ weight: 6, arbitrary });

const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  often(puts.map((request): Operation => ({ name: "Put", at: () => encodePut(request) }))),
  often(deletes.map((request): Operation => ({ name: "DeleteRange", at: () => encodeDeleteRange(request) }))),
  often(
    ranges.map(
      (request): Operation => ({ name: "Range", at: (now) => encodeRange(shiftRange(request, now)) }),
    ),
  ),
  often(
    txns.map((request): Operation => ({ name: "Txn", at: (now) => encodeTxn(shiftTxn(request, now, true)) })),
  ),
  rarely(
    fc.tuple(fc.integer({ min: 0, max: 60 }), fc.boolean()).map(
      ([age, physical]): Operation => ({
        name: "Compact",
        at: (now) => encodeCompaction({ revision: now + 2 - age, physical }),
      }),
    ),
  ),
  rarely(
    fc.constantFrom<Operation>(
      { name: "Put", at: () => encodePut(putOf("")) },
      { name: "Put", at: () => encodePut(putOf("a", "v", { ignoreValue: true })) },
      { name: "Put", at: () => encodePut(putOf("a", "v", { ignoreLease: true, lease: 5n })) },
      { name: "Txn", at: () => encodeTxn({ compare: [], success: [{ kind: "none" }], failure: [] }) },
      { name: "Txn", at: () => encodeTxn({ compare: [], success: [op.range("")], failure: [] }) },
      {
        name: "Txn",
        at: () => encodeTxn({ compare: [], success: Array(129).fill(op.range("a")), failure: [] }),
      },
      {
        name: "Txn",
        at: () =>
          encodeTxn({ compare: [], success: [], failure: [op.txn([], Array(128).fill(op.range("a")))] }),
      },
      { name: "Range", at: () => Buffer.from([0x0a, 0x05, 0x61]) },
    ),
  ),
);

const shift = (revision: number, now: number): number => (revision <= 0 ? revision : revision + now - spread);

function shiftRange(request: RangeRequest, now: number): RangeRequest {
  return {
    ...request,
    // Which of several equal keys a limit cuts off is nobody's promise.
    limit: request.sortTarget === SortTarget.key ? request.limit : 0,
    revision: shift(request.revision, now),
    minModRevision: shift(request.minModRevision, now),
    maxModRevision: shift(request.maxModRevision, now),
    minCreateRevision: shift(request.minCreateRevision, now),
    maxCreateRevision: shift(request.maxCreateRevision, now),
  };
}

function shiftTxn(request: TxnRequest, now: number, top: boolean): TxnRequest {
  const branch = (ops: readonly RequestOp[]): RequestOp[] => {
    const checked = top && !ops.some(mayDelete);
    return ops.map((one) => shiftOp(one, now, top, checked));
  };
  const compare = request.compare.map((one): Compare => {
    const revision = one.target === CompareTarget.create || one.target === CompareTarget.mod;
    return revision ? { ...one, number: one.number === 0 ? 0 : shift(one.number, now) } : one;
  });
  return { compare, success: branch(request.success), failure: branch(request.failure) };
}

const mayDelete = (one: RequestOp): boolean =>
  one.kind === "deleteRange" ||
  (one.kind === "txn" && [...one.request.success, ...one.request.failure].some(mayDelete));

/** @param checked etcd looks at puts of this branch before it applies them, and nothing before them deletes. */
function shiftOp(one: RequestOp, now: number, top: boolean, checked: boolean): RequestOp {
  switch (one.kind) {
    case "range": {
      const request = shiftRange(one.request, now);
      return { kind: "range", request: top ? request : { ...request, revision: 0 } };
    }
    case "put":
      return { kind: "put", request: checked ? one.request : certain(one.request) };
    case "txn":
      return { kind: "txn", request: shiftTxn(one.request, now, false) };
    case "deleteRange":
    case "none":
      return one;
    default:
      return one satisfies never;
  }
}

/**
 * etcd 3.4 does not check nested puts before it applies them, nor does it see that the key of a put is
 * deleted before it in the same txn, and panics at those that cannot be made.
 */
const certain = (request: PutRequest): PutRequest => ({
  ...request,
  ignoreValue: false,
  ignoreLease: false,
  lease: 0n,
});

interface Answer {
  readonly text: string;
  readonly revision: number;
}

class Server {
  private readonly client: Client;

  constructor(readonly address: string) {
    this.client = new Client(address, credentials.createInsecure());
  }

  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.client.waitForReady(Date.now() + 30_000, (error) => (error ? reject(error) : resolve()));
    });
  }

  call(name: Name, message: Uint8Array): Promise<Answer> {
    const same = (bytes: Buffer): Buffer => bytes;
    return new Promise((resolve) => {
      const path = `/etcdserverpb.KV/${name}`;
      this.client.makeUnaryRequest(path, same, same, Buffer.from(message), (error, response) => {
        if (error === null) return resolve(masked(name, response!));
        // What exactly is malformed, everybody says in words of their own.
        const details = error.details.replace(/(unmarshalling request: ).*/, "$1…");
        return resolve({ text: `${error.code} ${details}`, revision: 0 });
      });
    });
  }

  close(): void {
    this.client.close();
  }
}

interface Masked {
  header?: ResponseHeader;
  kvs?: { key: Uint8Array }[];
  responses?: { response: { value?: Masked } }[];
}

function masked(name: Name, response: Uint8Array): Answer {
  const schema: DescMessage = schemas[name][1];
  const message = fromBinary(schema, response);
  const { header } = message as unknown as Masked;
  const revision = Number(header?.revision ?? 0);
  assert.ok(header !== undefined && header.clusterId > 0n && header.memberId > 0n && header.raftTerm > 0n);
  Object.assign(header, { clusterId: 0n, memberId: 0n, raftTerm: 0n });
  orderKeys(message as unknown as Masked);
  return { text: toJsonString(schema, message), revision };
}

function orderKeys(message: Masked): void {
  message.kvs?.sort((a, b) => Buffer.compare(a.key, b.key));
  for (const { response } of message.responses ?? [])
    if (response.value !== undefined) orderKeys(response.value);
}

const version = etcdVersion();
const missing = version === undefined && process.env.CI !== "true" && "etcd is not installed";

for (const [reads, cacheBytes] of [
  ["from memory", 1 << 20],
  ["from the disk", 1],
] as const) {
  const name = `${operations} random requests, reads being ${reads}, are answered as by etcd`;
  test(name, { skip: missing }, (context) => compareWithEtcd(context, cacheBytes));
}

async function compareWithEtcd(context: TestContext, cacheBytes: number): Promise<void> {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  context.diagnostic(`etcd ${version}, SEED=${seed}`);
  const etcd = new EtcdProcess();
  const node = await startSingleNode(cacheBytes);
  const theirs = new Server(etcd.address);
  const ours = new Server(node.address);
  try {
    await Promise.all([theirs.ready(), ours.ready()]).catch((error: unknown) => {
      throw new Error(`no connection; etcd printed:\n${etcd.log}`, { cause: error });
    });
    const counts = new Map<string, number>();
    for (const [index, { name, at }] of fc.sample(anyOperation, { seed, numRuns: operations }).entries()) {
      const message = at(node.state.currentRevision);
      const [expected, found] = await Promise.all([theirs.call(name, message), ours.call(name, message)]);
      if (expected.text !== found.text) {
        const request = name === "Range" && message.length === 3 ? "malformed" : describe(name, message);
        assert.fail(
          `operation ${index}, SEED=${seed}\n${name} ${request}\netcd: ${expected.text}\nours: ${found.text}`,
        );
      }
      const outcome = `${name} ${expected.text.startsWith("{") ? "ok" : expected.text}`;
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    }
    for (const [outcome, count] of [...counts].sort()) context.diagnostic(`${count} × ${outcome}`);
    assert.deepEqual(node.surprises, []);
    assert.ok(counts.size > 15, "the requests met too few different outcomes to say much");
  } finally {
    theirs.close();
    ours.close();
    await Promise.all([etcd.stop(), node.stop()]);
  }
}

function describe(name: Name, message: Uint8Array): string {
  const schema: DescMessage = schemas[name][0];
  return toJsonString(schema, fromBinary(schema, message));
}
