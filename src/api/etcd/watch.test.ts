import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import fc from "fast-check";
import type { RoleChange } from "../../consensus/engine.js";
import type { WatchResponse } from "../../gen/etcdserverpb/rpc_pb.js";
import type { ApiContext } from "../context.js";
import { type SingleNode, startSingleNode } from "../testing/single-node.js";
import { WatchClient } from "../testing/watch-session.js";

let stop: () => Promise<void> = async () => {};
afterEach(() => stop());

interface Setup {
  readonly node: SingleNode;
  readonly client: WatchClient;
}

async function start(overrides: Partial<ApiContext> = {}): Promise<Setup> {
  const node = await startSingleNode(1 << 20, overrides);
  const client = new WatchClient(node.address);
  stop = async () => {
    client.close();
    await node.stop();
    assert.deepEqual(node.surprises, []);
  };
  await client.ready();
  return { node, client };
}

const revisions = ({ events }: WatchResponse): number[] => events.map(({ kv }) => Number(kv!.modRevision));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

describe("the Watch service", () => {
  it("answers with a full header and creates before it tells", async () => {
    const { client } = await start();
    await client.put("a", "1");
    const stream = client.watch();
    stream.create({ key: "a", startRevision: 1n, prevKv: true });
    const created = await stream.next();
    assert.deepEqual(
      { ...created.header, $typeName: "" },
      { clusterId: 0xcdf8_1818_1e33_1a7bn, memberId: 101n, revision: 2n, raftTerm: 2n, $typeName: "" },
    );
    assert.deepEqual([created.created, created.canceled, created.watchId], [true, false, 0n]);
    const told = await stream.next();
    assert.deepEqual([told.created, revisions(told)], [false, [2]]);
    await client.put("a", "2");
    const [event] = (await stream.next()).events;
    assert.deepEqual([text(event!.kv!.value), text(event!.prevKv!.value)], ["2", "1"]);
    stream.abort();
  });

  it("refuses a negative start as compacted, an empty range and an id in use, and goes on", async () => {
    const { client } = await start();
    const stream = client.watch();
    stream.create({ key: "a", startRevision: -1n });
    stream.create({ key: "a", watchId: 9n });
    stream.create({ key: "a", watchId: 9n });
    stream.create({ key: "b", rangeEnd: "a" });
    stream.create({ key: "b" });
    const answers: unknown[] = [];
    for (let n = 0; n < 5; n++) {
      const { watchId, created, canceled, cancelReason } = await stream.next();
      answers.push([watchId, created, canceled, cancelReason]);
    }
    assert.deepEqual(answers, [
      [-1n, true, true, "etcdserver: mvcc: required revision has been compacted"],
      [9n, true, false, ""],
      [-1n, true, true, "mvcc: duplicate watch ID provided on the WatchStream"],
      [-1n, true, true, "mvcc: watcher range is empty"],
      [0n, true, false, ""],
    ]);
    stream.abort();
  });

  it("says nothing about progress while a watch waits for its start, or when there is none", async () => {
    const { client } = await start();
    const stream = client.watch();
    stream.progress();
    stream.create({ key: "a" });
    stream.create({ key: "b", startRevision: 3n });
    stream.progress();
    assert.deepEqual([(await stream.next()).watchId, (await stream.next()).watchId], [0n, 1n]);
    await client.put("a");
    stream.progress();
    assert.deepEqual(revisions(await stream.next()), [2]);
    await client.put("b");
    assert.deepEqual(revisions(await stream.next()), [3]);
    stream.progress();
    const progress = await stream.next();
    assert.deepEqual([progress.watchId, progress.header!.revision, progress.events], [-1n, 3n, []]);
    stream.abort();
  });

  it("tells quiet watches that asked for it how far they are, again and again", async () => {
    const { client } = await start({ watchProgressIntervalMs: 20 });
    await client.put("x");
    const stream = client.watch();
    stream.create({ key: "loud" });
    stream.create({ key: "quiet", progressNotify: true });
    await stream.next();
    await stream.next();
    for (let n = 0; n < 3; n++) {
      const { watchId, header, events, created } = await stream.next();
      assert.deepEqual([watchId, header!.revision, events.length, created], [1n, 2n, 0, false]);
    }
    stream.abort();
  });

  it("ends a watch whose history is gone with revision 0 and the compacted revision, nothing else", async () => {
    const { client } = await start();
    for (let n = 0; n < 5; n++) await client.put("a", String(n));
    await client.compact(4);
    const stream = client.watch();
    stream.create({ key: "a", startRevision: 3n });
    assert.equal((await stream.next()).created, true);
    const { header, canceled, compactRevision, cancelReason, watchId } = await stream.next();
    assert.deepEqual(
      [header!.revision, canceled, compactRevision, cancelReason, watchId],
      [0n, true, 4n, "", 0n],
    );
    stream.create({ key: "a", startRevision: compactRevision });
    assert.deepEqual((await stream.until(({ events }) => events.length > 0)).map(revisions), [[], [4, 5, 6]]);
    stream.abort();
  });

  it("keeps next to nothing for a reader that does not read, and goes on where it stopped", async () => {
    const { node, client } = await start();
    const stream = client.watch();
    stream.create({ key: "big" });
    await stream.next();
    stream.pause(true);
    const value = "v".repeat(200_000);
    let count = 0;
    while (node.watches.slowWatchers === 0) {
      await client.put("big", value);
      assert.ok(++count < 500, "the stream is held back");
    }
    for (let n = 0; n < 50; n++) await client.put("big", value);
    assert.ok(node.watches.recentBytes < 9 << 20);
    stream.pause(false);
    const seen: number[] = [];
    while (seen.length < count + 50) seen.push(...revisions(await stream.next()));
    assert.deepEqual(
      seen,
      Array.from({ length: count + 50 }, (_, at) => at + 2),
    );
    await client.put("big", "end");
    assert.deepEqual(revisions(await stream.next()), [count + 52]);
    assert.equal(node.watches.slowWatchers, 0);
    stream.abort();
  });

  it("tells a reader that slept through a compaction, which can resume from there", async () => {
    const { node, client } = await start();
    const stream = client.watch();
    stream.create({ key: "big" });
    await stream.next();
    stream.pause(true);
    const value = "v".repeat(200_000);
    for (let n = 0; n < 50 || node.watches.slowWatchers === 0; n++) await client.put("big", value);
    for (let n = 0; n < 60; n++) await client.put("big", value);
    const now = node.state.currentRevision;
    await client.compact(now);
    stream.pause(false);
    const responses = await stream.until(({ canceled }) => canceled);
    assert.equal(responses.at(-1)!.compactRevision, BigInt(now));
    const seen = responses.flatMap(revisions);
    assert.deepEqual(
      seen,
      Array.from({ length: seen.length }, (_, at) => at + 2),
    );
    assert.ok(seen.length < now - 1);
    stream.create({ key: "big", startRevision: BigInt(now) });
    const again = await stream.until(({ events }) => events.length > 0);
    assert.deepEqual(again.flatMap(revisions), [now]);
    stream.abort();
  });

  it("forgets the watches of a stream that its client cancels", async () => {
    const { node, client } = await start();
    const stream = client.watch();
    for (let n = 0; n < 10; n++) stream.create({ key: "a", rangeEnd: n % 2 === 0 ? "" : "b" });
    for (let n = 0; n < 10; n++) await stream.next();
    assert.equal(node.watches.watchers, 10);
    stream.abort();
    await stream.ended();
    // The reset and this request travel on one connection, in order.
    await client.put("a");
    assert.equal(node.watches.watchers, 0);
  });

  it("ends its streams when the node stops", async () => {
    const { node, client } = await start();
    const stream = client.watch();
    stream.create({ key: "a" });
    await stream.next();
    await node.watches.close();
    assert.equal(await stream.ended(), "14 etcdserver: server stopped");
    const late = client.watch();
    late.create({ key: "a" });
    assert.equal(await late.ended(), "14 etcdserver: server stopped");
  });

  it("is refused by learners, and without a leader where one is required", async () => {
    let role: RoleChange = { role: "learner", leader: 1, epoch: 2 };
    const { client } = await start({
      get role() {
        return role;
      },
    });
    const refused = client.watch();
    refused.create({ key: "a" });
    assert.equal(await refused.ended(), "9 etcdserver: rpc not supported for learner");
    role = { role: "follower", leader: 0, epoch: 2 };
    const strict = client.watch({ hasleader: "true" });
    assert.equal(await strict.ended(), "14 etcdserver: no leader");
    const lenient = client.watch();
    lenient.create({ key: "a" });
    assert.equal((await lenient.next()).created, true);
    lenient.abort();
  });

  it("ends streams that require a leader after three election timeouts without one, and only those", async () => {
    let role: RoleChange = { role: "leader", leader: 101, epoch: 2 };
    const { node, client } = await start({
      electionTimeoutMs: 10,
      get role() {
        return role;
      },
    });
    const [strict, lenient] = [client.watch({ hasleader: "true" }), client.watch()];
    for (const stream of [strict, lenient]) {
      stream.create({ key: "a" });
      await stream.next();
    }
    role = { role: "follower", leader: 0, epoch: 2 };
    assert.equal(await strict.ended(), "14 etcdserver: no leader");
    assert.equal(node.watches.watchers, 1);
    lenient.progress();
    assert.equal((await lenient.next()).watchId, -1n);
    lenient.abort();
  });

  it("survives whatever bytes come", async () => {
    const { client } = await start();
    const field = fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.constantFrom(0, 2, 2, 5), fc.uint8Array({ maxLength: 6 }))
      .map(([number, type, content]) => [
        number * 8 + type,
        ...(type === 2 ? [content.length] : []),
        ...content,
      ]);
    const inner = fc.array(field, { maxLength: 4 }).map((fields) => fields.flat());
    const messages = fc.oneof(
      fc.uint8Array({ maxLength: 30 }),
      fc
        .tuple(fc.constantFrom(0x0a, 0x12, 0x1a), inner)
        .map(([tag, body]) => Uint8Array.from([tag, body.length, ...body])),
    );
    await fc.assert(
      fc.asyncProperty(messages, async (message) => {
        const stream = client.watch();
        stream.sendBytes(message);
        stream.create({ key: "after", watchId: 4242n });
        const outcome = await stream
          .until(({ watchId }) => watchId === 4242n)
          .then(
            () => "alive",
            () => stream.ended(),
          );
        if (outcome !== "alive")
          assert.match(outcome, /^13 grpc: failed to unmarshal the received message: ./);
        stream.abort();
      }),
      { numRuns: 300 },
    );
  });
});
