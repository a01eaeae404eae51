import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { RpcError, Status } from "../call.js";
import { deflateNow, type GzipOutcome, GzipQueue, inflateNow } from "./gzip.js";

const limitBytes = 1_000_000;

function queued(queue: GzipQueue, owner: object, packed: Uint8Array): Promise<GzipOutcome> {
  return new Promise((resolve) => queue.inflate(owner, packed, limitBytes, resolve));
}

test("small messages are unpacked at once, large ones left to the queue", async () => {
  const small = Buffer.alloc(10_000, "small");
  assert.deepEqual(inflateNow(gzipSync(small), limitBytes), small);
  const large = Buffer.alloc(100_000, "large");
  assert.equal(inflateNow(gzipSync(large), limitBytes), undefined);
  assert.deepEqual(await queued(new GzipQueue(), {}, gzipSync(large)), large);
  assert.equal(deflateNow(large), undefined);
});

test("several members one behind the other are one message (RFC 1952 section 2.2)", () => {
  const packed = Buffer.concat([gzipSync("one "), gzipSync("two")]);
  assert.equal(Buffer.from(inflateNow(packed, limitBytes)!).toString(), "one two");
});

test("a message that unpacks to more than the limit is refused, whatever length it announces", async () => {
  const bomb = gzipSync(Buffer.alloc(10 * limitBytes));
  const lying = Buffer.from(bomb);
  lying.writeUInt32LE(5, lying.length - 4);
  assert.ok(lying.length < 16_384);
  for (const packed of [bomb, lying]) {
    assert.equal(inflateNow(packed, limitBytes), undefined);
    const outcome = await queued(new GzipQueue(), {}, packed);
    assert.ok(outcome instanceof RpcError);
    assert.equal(outcome.code, Status.RESOURCE_EXHAUSTED);
    assert.match(outcome.message, /after decompression larger than max 1000000/);
  }
  const small = gzipSync(Buffer.alloc(101));
  assert.throws(() => inflateNow(small, 100), { code: Status.RESOURCE_EXHAUSTED });
});

test("damaged messages end in INTERNAL", async () => {
  const packed = gzipSync(Buffer.alloc(50_000, "x"));
  const cut = packed.subarray(0, packed.length - 9);
  for (const bytes of [cut, Buffer.from("not gzip at all"), Buffer.alloc(0)]) {
    const outcome = await queued(new GzipQueue(), {}, bytes);
    assert.ok(outcome instanceof RpcError && outcome.code === Status.INTERNAL, String(outcome));
  }
  assert.throws(() => inflateNow(Buffer.from("not gzip at all"), limitBytes), { code: Status.INTERNAL });
});

test("a connection with a long queue does not keep another one waiting for all of it", async () => {
  const queue = new GzipQueue();
  const packed = gzipSync(Buffer.alloc(100_000));
  const order: string[] = [];
  const greedy = {};
  const tasks: Promise<unknown>[] = [];
  const add = (name: string, owner: object): void => {
    tasks.push(queued(queue, owner, packed).then(() => order.push(name)));
  };
  for (let index = 0; index < 50; index++) add("greedy", greedy);
  add("modest", {});
  await Promise.all(tasks);
  assert.ok(order.indexOf("modest") < 10, order.join());
});

test("a cancelled task is not done, and those behind it are", async () => {
  const queue = new GzipQueue();
  const message = Buffer.alloc(100_000, "y");
  const owner = {};
  const refuse = (): void => assert.fail("a cancelled task was done");
  for (let index = 0; index < 5; index++) queue.deflate(owner, message, refuse).cancel();
  const outcome = await new Promise<GzipOutcome>((resolve) => queue.deflate(owner, message, resolve));
  assert.ok(outcome instanceof Uint8Array);
  assert.deepEqual(gunzipSync(outcome), message);
});
