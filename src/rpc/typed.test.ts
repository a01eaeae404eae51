import assert from "node:assert/strict";
import { test } from "node:test";
import { KV, Lease, Maintenance, Watch } from "../gen/etcdserverpb/rpc_pb.js";
import { RpcError, Status } from "./call.js";
import { callUnary, dial, eventually, serve } from "./testing/pair.js";
import { serviceMethods, typedClient } from "./typed.js";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

test("a unary handler gets the decoded request, and its promise is the response", async (t) => {
  const methods = serviceMethods(KV, {
    range: async (request, context) => {
      assert.equal(context.metadata.find(([name]) => name === "token")?.[1], "secret");
      return { count: request.limit + 1n, kvs: [{ key: request.key, version: 3n }] };
    },
  });
  const { port } = await serve(t, { methods });
  const kv = typedClient(await dial(t, port), KV);
  const response = await kv.range({ key: Buffer.from("k"), limit: 41n }, { metadata: [["token", "secret"]] });
  assert.equal(response.count, 42n);
  assert.equal(text(response.kvs[0]!.key), "k");
});

test("methods without a handler answer UNIMPLEMENTED", async (t) => {
  const { port } = await serve(t, { methods: [...serviceMethods(KV, {}), ...serviceMethods(Watch, {})] });
  const channel = await dial(t, port);
  await assert.rejects(
    typedClient(channel, KV).put({}),
    (error) =>
      error instanceof RpcError &&
      error.code === Status.UNIMPLEMENTED &&
      error.message === "unknown method Put for service etcdserverpb.KV",
  );
  const watch = typedClient(channel, Watch).watch((async function* () {})());
  await assert.rejects(
    async () => {
      for await (const _ of watch) assert.fail("no message expected");
    },
    { code: Status.UNIMPLEMENTED },
  );
});

test("an RpcError reaches the caller as it is, anything else as UNKNOWN and a report", async (t) => {
  const reports: unknown[] = [];
  const methods = serviceMethods(
    KV,
    {
      put: () => {
        throw new RpcError(Status.NOT_FOUND, "etcdserver: requested lease not found", [["x-why", "gone"]]);
      },
      range: async () => {
        throw new TypeError("defect");
      },
    },
    { onError: (error) => reports.push(error) },
  );
  const { port } = await serve(t, { methods });
  const kv = typedClient(await dial(t, port), KV);
  await assert.rejects(kv.put({}), {
    code: Status.NOT_FOUND,
    message: "etcdserver: requested lease not found",
    trailers: [["x-why", "gone"]],
  });
  assert.deepEqual(reports, []);
  await assert.rejects(kv.range({}), { code: Status.UNKNOWN, message: "defect" });
  assert.deepEqual(reports.map(String), ["TypeError: defect"]);
});

test("a message that is not protobuf ends in INTERNAL without reaching the handler", async (t) => {
  const methods = serviceMethods(KV, { put: () => assert.fail("called") });
  const { port } = await serve(t, { methods });
  const answer = await callUnary(await dial(t, port), "/etcdserverpb.KV/Put", Buffer.from([0xff, 0xff]));
  assert.equal(answer.code, Status.INTERNAL);
  assert.match(answer.message, /^grpc: error unmarshalling request: /);
});

test("a server stream arrives message by message and ends with the handler", async (t) => {
  const methods = serviceMethods(Maintenance, {
    snapshot: async function* () {
      for (let index = 0; index < 100; index++)
        yield { blob: Buffer.alloc(50_000, index), remainingBytes: BigInt(index) };
    },
  });
  const { port } = await serve(t, { methods });
  const maintenance = typedClient(await dial(t, port), Maintenance);
  let count = 0;
  for await (const part of maintenance.snapshot({})) {
    assert.equal(part.blob.length, 50_000);
    assert.equal(part.remainingBytes, BigInt(count++));
  }
  assert.equal(count, 100);
});

test("a bidirectional stream passes requests and responses as they come", async (t) => {
  const methods = serviceMethods(Lease, {
    leaseKeepAlive: async function* (requests) {
      for await (const request of requests) yield { ID: request.ID, TTL: request.ID * 2n };
    },
  });
  const { port } = await serve(t, { methods });
  const lease = typedClient(await dial(t, port), Lease);
  const seen: bigint[] = [];
  let next: (() => void) | undefined;
  const requests = async function* (): AsyncGenerator<{ ID: bigint }> {
    for (let id = 1n; id <= 5n; id++) {
      yield { ID: id };
      // The next request leaves only when the response to this one arrived.
      await new Promise<void>((resolve) => {
        next = resolve;
      });
    }
  };
  for await (const response of lease.leaseKeepAlive(requests())) {
    seen.push(response.TTL);
    next?.();
  }
  assert.deepEqual(seen, [2n, 4n, 6n, 8n, 10n]);
});

test("leaving a stream early cancels it, and the handler's signal is aborted", async (t) => {
  let aborted = false;
  let cleaned = false;
  const methods = serviceMethods(Watch, {
    watch: async function* (_, { signal }) {
      try {
        signal.addEventListener("abort", () => (aborted = true));
        for (let id = 0n; !signal.aborted; id++) {
          yield { watchId: id };
          await new Promise(setImmediate);
        }
      } finally {
        cleaned = true;
      }
    },
  });
  const { port } = await serve(t, { methods });
  const watch = typedClient(await dial(t, port), Watch);
  const silence = async function* (): AsyncGenerator<never> {
    await new Promise(() => {});
  };
  for await (const response of watch.watch(silence())) if (response.watchId === 3n) break;
  await eventually(() => aborted && cleaned);
});

test("a reader that lags holds the handler back", async (t) => {
  let produced = 0;
  const methods = serviceMethods(Maintenance, {
    snapshot: async function* () {
      for (; produced < 500; produced++) yield { blob: Buffer.alloc(20_000) };
    },
  });
  const { port } = await serve(t, { methods });
  const channel = await dial(t, port, { limits: { streamWindowBytes: 100_000 } });
  const iterator = typedClient(channel, Maintenance).snapshot({})[Symbol.asyncIterator]();
  await iterator.next();
  for (let turn = 0; turn < 300; turn++) await new Promise(setImmediate);
  assert.ok(produced < 100, `${produced} produced although nobody reads`);
  let count = 1;
  while ((await iterator.next()).done !== true) count++;
  assert.equal(count, 500);
});

test("an abort signal cancels a unary call", async (t) => {
  const methods = serviceMethods(KV, { range: () => new Promise(() => {}) });
  const { port } = await serve(t, { methods });
  const controller = new AbortController();
  const pending = typedClient(await dial(t, port), KV).range({}, { signal: controller.signal });
  controller.abort();
  await assert.rejects(pending, { code: Status.CANCELLED });
});
