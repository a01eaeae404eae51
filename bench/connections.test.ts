import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { StatusResponseSchema } from "../src/gen/etcdserverpb/rpc_pb.js";
import { Status } from "../src/rpc/call.js";
import { ConnectionSet, chooseEndpoints, connected, findLeader, parseEndpoints } from "./connections.js";
import { ManualClock, ScriptedChannel } from "./scripted.js";

/** Three members of which the one given leads; 0 for none. */
function members(clock: ManualClock, leader: number, accepts: (endpoint: string) => boolean = () => true) {
  const opened: string[] = [];
  const channels: ScriptedChannel[] = [];
  const open = (endpoint: string): ScriptedChannel => {
    opened.push(endpoint);
    const memberId = BigInt(endpoint.slice(1));
    const status = create(StatusResponseSchema, {
      header: { memberId },
      leader: BigInt(leader),
      version: "3.4.23",
    });
    const body = toBinary(StatusResponseSchema, status);
    const channel = new ScriptedChannel(
      clock,
      ({ path }) =>
        path === "/etcdserverpb.Maintenance/Status"
          ? { delayMs: 1, body }
          : { delayMs: 1, code: Status.UNIMPLEMENTED },
      () => accepts(endpoint),
    );
    channels.push(channel);
    return channel;
  };
  return { open, opened, channels };
}

const endpoints = ["m1", "m2", "m3"];

/** Lets the clock run until the promise is settled. */
async function settled<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let done = false;
  const noted = promise.finally(() => {
    done = true;
  });
  noted.catch(() => {});
  for (let turn = 0; !done && turn < 1000; turn++) await clock.run();
  return noted;
}

test("endpoints are read with and without a scheme, and anything else is refused", () => {
  assert.deepEqual(parseEndpoints("a:1, http://b.example:65535/,[::1]:2379"), [
    "a:1",
    "b.example:65535",
    "[::1]:2379",
  ]);
  for (const text of ["", "a", ":1", "a:", "a:65536", "https://a:1", "a:1/path", "a:1,", "::1:2"]) {
    assert.throws(() => parseEndpoints(text), RangeError, text);
  }
});

test("the leader is found by asking every member", async () => {
  const clock = new ManualClock();
  const { open, channels } = members(clock, 2);
  assert.equal(await settled(clock, findLeader(open, endpoints, clock)), "m2");
  assert.ok(channels.every(({ closed }) => closed));
});

test("members that do not answer are passed over, and named when nobody leads", async () => {
  const clock = new ManualClock();
  const leading = members(clock, 3, (endpoint) => endpoint !== "m1");
  assert.equal(await settled(clock, findLeader(leading.open, endpoints, clock)), "m3");
  const leaderless = members(clock, 0, (endpoint) => endpoint !== "m1");
  await assert.rejects(
    settled(clock, findLeader(leaderless.open, endpoints, clock)),
    /no endpoint is the leader; m1: refused/,
  );
});

test("the target chooses all endpoints, the leader or one by number", async () => {
  const clock = new ManualClock();
  const { open } = members(clock, 2);
  const choose = (target: "all" | "leader" | number) =>
    settled(clock, chooseEndpoints(open, endpoints, target, clock));
  assert.deepEqual(await choose("all"), endpoints);
  assert.deepEqual(await choose("leader"), ["m2"]);
  assert.deepEqual(await choose(3), ["m3"]);
  await assert.rejects(choose(4), RangeError);
});

test("connections are spread evenly over the endpoints", async () => {
  const clock = new ManualClock();
  const { open, opened, channels } = members(clock, 1);
  const set = await ConnectionSet.open(open, endpoints, 7, clock);
  assert.deepEqual(opened, ["m1", "m2", "m3", "m1", "m2", "m3", "m1"]);
  set.close();
  assert.ok(channels.every(({ closed }) => closed));
});

test("when one connection cannot be opened, none stays open", async () => {
  const clock = new ManualClock();
  const { open, channels } = members(clock, 1, (endpoint) => endpoint !== "m3");
  await assert.rejects(ConnectionSet.open(open, endpoints, 3, clock), /refused/);
  assert.ok(channels.every(({ closed }) => closed));
});

test("a connection that never comes up is given up after five seconds", async () => {
  const clock = new ManualClock();
  const channel = new ScriptedChannel(clock, () => ({ delayMs: 1 }));
  channel.connect = () => new Promise(() => {});
  await assert.rejects(
    settled(
      clock,
      connected(() => channel, "m1", clock),
    ),
    /m1 did not answer within 5000 ms/,
  );
  assert.equal(clock.now(), 5000);
  assert.ok(channel.closed);
});

test("a lost connection is opened again until that succeeds, and not after the set is closed", async () => {
  const clock = new ManualClock();
  const channel = new ScriptedChannel(
    clock,
    () => ({ delayMs: 1 }),
    (attempt) => attempt === 1 || attempt > 4,
  );
  const set = await ConnectionSet.open(() => channel, ["m1"], 1, clock);
  channel.drop();
  for (let turn = 0; turn < 10; turn++) await clock.run();
  assert.equal(channel.connects, 5);
  assert.equal(channel.ready, true);
  set.close();
  channel.drop();
  await clock.run();
  assert.equal(channel.connects, 5);
});
