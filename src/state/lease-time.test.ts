import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { highOf, lowOf } from "../lease/lease-id.js";
import type { Lessor } from "../lease/lessor.js";
import { encodePut } from "../mvcc/codec.js";
import { putOf } from "../mvcc/request-generators.js";
import { WireWriter } from "../protobuf/wire.js";
import { failure, type GroupFailure } from "../replication/proposer.js";
import { CommandKind, encodeCommand } from "./commands.js";
import { createLessor } from "./lease-time.js";
import type { ReplicatedState } from "./replicated-state.js";
import { openNode } from "./testing/state-under-test.js";

const electionTimeoutMs = 1000;

interface Proposal {
  readonly from: number;
  readonly command: Uint8Array;
  readonly done: (outcome: unknown) => void;
}

/** What becomes of the proposals that are under way when leadership moves. */
type Fate = "inherited" | "lost" | "proposed again";

/** Three replicas of one log with a lessor each, on a clock that the test moves. */
class World {
  now = 0;
  leader = 0;
  epoch = 1;
  readonly states: ReplicatedState[] = [];
  readonly lessors: Lessor<GroupFailure>[] = [];
  private pending: Proposal[] = [];
  private deferred: (() => void)[] = [];
  private questions: (() => void)[] = [];
  /** Commands of these kinds that were applied, by kind. */
  readonly applied = new Map<number, number>();

  static async open(): Promise<World> {
    const world = new World();
    for (const node of [0, 1, 2]) {
      const { state } = await openNode();
      world.states.push(state);
      world.lessors.push(world.lessor(node, state));
    }
    world.elect(0);
    return world;
  }

  private lessor(node: number, state: ReplicatedState): Lessor<GroupFailure> {
    const world = this;
    return createLessor({
      state,
      group: () => ({
        get leads() {
          return world.leader === node;
        },
        get epoch() {
          return world.epoch;
        },
        propose: (command, _request, done) => void world.pending.push({ from: node, command, done }),
        readBarrier: (done) => {
          world.commit();
          done(world.leader === node ? undefined : failure("notLeader", "refused"));
        },
        questions: { ask: (question, done) => world.ask(question, done) },
      }),
      now: () => this.now,
      defer: (run) => void this.deferred.push(run),
      electionTimeoutMs,
    });
  }

  private ask(question: Uint8Array, done: (answer: Uint8Array) => void): void {
    this.lessors[this.leader]!.answer(question, (answer) => {
      if (answer !== undefined) done(answer);
      else this.questions.push(() => this.ask(question, done));
    });
  }

  private append(command: Uint8Array | undefined, epoch: number): unknown[] {
    return this.states.map((state) => {
      const id = { index: state.applied.id.index + 1, epoch };
      const result = command === undefined ? undefined : state.apply(command, id, true, undefined);
      state.endEntry(id);
      return result;
    });
  }

  /** Everything that was proposed gets into the log and is applied everywhere. */
  commit(): void {
    for (const { from, command, done } of this.pending.splice(0)) {
      const kind = command[0]!;
      this.applied.set(kind, (this.applied.get(kind) ?? 0) + 1);
      done(this.append(command, this.epoch)[from]);
    }
  }

  /** One turn of the loop; false when nothing is left to do. */
  turn(): boolean {
    const work = [...this.deferred.splice(0), ...this.questions.splice(0)];
    for (const one of work) one();
    return work.length > 0 || this.pending.length > 0;
  }

  /** Turns of the loop until nothing is left to do. */
  run(): void {
    for (let turns = 0; turns < 100 && this.turn(); turns++) this.commit();
  }

  tick(): void {
    for (const lessor of this.lessors) lessor.tick();
  }

  /** Lets time pass as it does: with ticks. */
  pass(milliseconds: number): void {
    for (const until = this.now + milliseconds; this.now < until; ) {
      this.now = Math.min(until, this.now + 100);
      this.tick();
      this.run();
    }
  }

  elect(node: number, fate: Fate = "lost"): void {
    const under = this.pending.splice(0);
    if (fate === "inherited") {
      this.pending = under;
      this.commit();
    }
    this.epoch++;
    this.leader = node;
    for (const lessor of this.lessors) lessor.reconsider();
    if (fate === "proposed again") this.pending = under;
    if (fate === "lost") for (const { done } of under) done(failure("leaderChanged", "unknown"));
    this.append(undefined, this.epoch);
  }

  command(kind: CommandKind, request: Uint8Array): unknown {
    return this.append(encodeCommand(kind, request), this.epoch)[0];
  }
  grant(id: bigint, ttl: number): void {
    this.command(CommandKind.leaseGrant, new WireWriter(32).uint(1, ttl).int64(2, id).finish());
  }
  put(key: string, lease: bigint): unknown {
    return this.command(CommandKind.put, encodePut(putOf(key, "", { lease })));
  }
  exists(id: bigint): boolean {
    return this.states[0]!.leases.exists(id);
  }
  /** Asked of a node; answered at the latest by `run`. */
  keepAlive(node: number, id: bigint, answered: (ttl: number) => void): void {
    const lessor = this.lessors[node]!;
    const ttl = lessor.renewNow(highOf(id), lowOf(id));
    if (ttl >= 0) return answered(ttl);
    lessor.keepAlive(highOf(id), lowOf(id), (outcome) => {
      if (typeof outcome === "number") answered(outcome);
    });
  }
  async remainingMs(id: bigint): Promise<number> {
    const answer = new Promise<number>((resolve) =>
      this.lessors[1]!.timeToLive(id, (outcome) => resolve("found" in outcome ? outcome.remainingMs : -1)),
    );
    this.run();
    return answer;
  }
}

describe("time for leases", () => {
  it("a lease that is kept alive stays, one that is not goes with its keys in one revision", async () => {
    const world = await World.open();
    world.grant(1n, 5);
    world.grant(2n, 5);
    for (const key of ["b", "a", "c"]) world.put(key, 1n);
    world.put("kept", 2n);
    const revisions: string[] = [];
    world.states[1]!.onRevision = (revision, events) =>
      revisions.push(`${revision}:${events.map(({ kv }) => Buffer.from(kv.key).toString()).join()}`);
    for (let second = 0; second < 20; second++) {
      world.keepAlive(second % 3, 2n, (ttl) => assert.equal(ttl, 5));
      world.pass(1000);
      if (second === 3) assert.ok(world.exists(1n), "not a moment too early");
    }
    assert.equal(world.exists(1n), false);
    assert.equal(world.exists(2n), true);
    assert.deepEqual(revisions, ["6:a,b,c"]);
    assert.equal((world.put("late", 1n) as { reason: string }).reason, "leaseNotFound");
  });

  it("renewals of kept leases stay out of the log", async () => {
    const world = await World.open();
    for (let id = 1n; id <= 50n; id++) world.grant(id, 60);
    for (let round = 0; round < 20; round++) {
      for (let id = 1n; id <= 50n; id++) world.keepAlive(0, id, () => {});
      world.pass(20_000);
    }
    assert.equal(world.applied.size, 0);
    assert.equal(world.states[0]!.leases.size, 50);
  });

  it("an unknown lease is answered with 0 by every node", async () => {
    const world = await World.open();
    const answers: number[] = [];
    for (const node of [0, 1, 2]) world.keepAlive(node, 99n, (ttl) => answers.push(ttl));
    world.run();
    assert.deepEqual(answers, [0, 0, 0]);
    assert.equal(await world.remainingMs(99n), 0);
  });

  it("a renewal of a lease that ran out waits for its end and is answered with 0", async () => {
    const world = await World.open();
    world.grant(1n, 5);
    world.now += 5001;
    const answers: number[] = [];
    for (const node of [0, 1]) world.keepAlive(node, 1n, (ttl) => answers.push(ttl));
    assert.deepEqual(answers, []);
    world.tick();
    world.run();
    assert.deepEqual(answers, [0, 0]);
    assert.equal(world.exists(1n), false);
  });

  it("a lease nobody renews keeps its remaining time across changes of the leader (etcd #9888)", async () => {
    const world = await World.open();
    world.grant(1n, 100);
    world.pass(90_000);
    assert.ok(world.states[2]!.leases.remaining(world.states[2]!.leases.findId(1n)) <= 15);
    world.elect(1);
    const left = await world.remainingMs(1n);
    assert.ok(left >= 10_000 && left <= 16_000, `${left} ms left`);
    // Not even leaders that change all the time keep it alive.
    for (let change = 0; change < 5; change++) {
      world.pass(6000);
      world.elect(change % 3);
    }
    world.pass(10_000);
    assert.equal(world.exists(1n), false);
  });

  it("a lease renewed after a checkpoint has its full time with the next leader", async () => {
    const world = await World.open();
    world.grant(1n, 100);
    world.pass(90_000);
    const answers: number[] = [];
    world.keepAlive(2, 1n, (ttl) => answers.push(ttl));
    world.run();
    assert.deepEqual(answers, [100]);
    assert.equal(world.applied.get(CommandKind.leaseRenewal), 1);
    world.elect(1);
    world.pass(99_000);
    assert.ok(world.exists(1n));
    world.pass(3000);
    assert.equal(world.exists(1n), false);
  });

  it("a renewal on its way into the log wins over an expiry decided behind it", async () => {
    const world = await World.open();
    world.grant(1n, 10);
    world.pass(6000);
    assert.ok(world.states[0]!.leases.isCheckpointed(world.states[0]!.leases.findId(1n)));
    const answers: number[] = [];
    world.keepAlive(1, 1n, (ttl) => answers.push(ttl));
    for (let turn = 0; turn < 5; turn++) world.turn();
    for (let tick = 0; tick < 50; tick++) {
      world.now += 100;
      world.tick();
    }
    world.run();
    assert.deepEqual(answers, [10]);
    assert.equal(world.applied.get(CommandKind.leaseExpiry), 1);
    assert.ok(world.exists(1n));
    world.pass(9900);
    assert.ok(world.exists(1n));
    world.pass(200);
    assert.equal(world.exists(1n), false);
  });

  it("an expiry that reaches the log of the next leader late does nothing", async () => {
    const world = await World.open();
    world.grant(1n, 5);
    world.now += 5000;
    world.tick();
    world.elect(1, "proposed again");
    const answers: number[] = [];
    world.keepAlive(1, 1n, (ttl) => answers.push(ttl));
    assert.deepEqual(answers, [5]);
    world.run();
    assert.equal(world.applied.get(CommandKind.leaseExpiry), 1);
    assert.ok(world.exists(1n));
  });

  it("a renewal waits until the new leader has applied what earlier ones did", async () => {
    const world = await World.open();
    world.grant(1n, 5);
    world.epoch++;
    world.leader = 1;
    for (const lessor of world.lessors) lessor.reconsider();
    const answers: number[] = [];
    world.keepAlive(2, 1n, (ttl) => answers.push(ttl));
    world.run();
    assert.deepEqual(answers, []);
    world.elect(1);
    world.run();
    assert.deepEqual(answers, [5]);
  });

  it("a process that was paused asks whether it still leads before it renews", async () => {
    const world = await World.open();
    world.grant(1n, 100);
    world.now += 5000;
    assert.equal(world.lessors[0]!.renewNow(0, 1), -1);
    const answers: number[] = [];
    world.keepAlive(0, 1n, (ttl) => answers.push(ttl));
    world.tick();
    world.run();
    assert.deepEqual(answers, [100]);
    assert.equal(world.lessors[0]!.renewNow(0, 1), 100);
  });

  it("many leases that run out at once go in bounded batches", async () => {
    const world = await World.open();
    for (let id = 1n; id <= 2000n; id++) {
      world.grant(id, 5);
      world.put(`key-${id}`, id);
    }
    world.grant(5000n, 5);
    for (let key = 0; key < 1000; key++) world.put(`large-${key}`, 5000n);
    const events: number[] = [];
    world.states[1]!.onRevision = (_revision, { length }) => events.push(length);
    world.pass(6000);
    assert.equal(world.states[2]!.leases.size, 0);
    assert.equal(events.length, 2001);
    assert.equal(Math.max(...events), 1000);
    assert.ok(world.applied.get(CommandKind.leaseExpiry)! >= 8);
  });

  it("no lease ends before the time that was promised, whatever happens to leaders and their proposals", async () => {
    const lease = fc.integer({ min: 1, max: 4 }).map(BigInt);
    const node = fc.nat(2);
    const step = fc.oneof(
      {
        weight: 2,
        arbitrary: fc.record({
          op: fc.constant("grant" as const),
          lease,
          ttl: fc.integer({ min: 2, max: 40 }),
        }),
      },
      { weight: 4, arbitrary: fc.record({ op: fc.constant("keepAlive" as const), lease, node }) },
      { weight: 4, arbitrary: fc.record({ op: fc.constant("advance" as const), ms: fc.nat(12_000) }) },
      { weight: 4, arbitrary: fc.record({ op: fc.constant("tick" as const) }) },
      {
        weight: 4,
        arbitrary: fc.record({ op: fc.constantFrom("run" as const, "turn" as const, "commit" as const) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          op: fc.constant("elect" as const),
          node,
          fate: fc.constantFrom<Fate>("inherited", "lost", "proposed again"),
        }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 120 }), async (steps) => {
        const world = await World.open();
        const promisedUntil = new Map<bigint, number>();
        const check = (): void => {
          for (const [id, until] of promisedUntil) {
            if (world.exists(id)) continue;
            assert.ok(until <= world.now, `lease ${id} ended ${until - world.now} ms early`);
            promisedUntil.delete(id);
          }
        };
        for (const one of steps) {
          if (one.op === "grant" && !world.exists(one.lease)) {
            world.grant(one.lease, one.ttl);
            promisedUntil.set(one.lease, world.now + one.ttl * 1000);
          } else if (one.op === "keepAlive") {
            world.keepAlive(one.node, one.lease, (ttl) => {
              if (ttl > 0) promisedUntil.set(one.lease, world.now + ttl * 1000);
            });
          } else if (one.op === "advance") world.now += one.ms;
          else if (one.op === "tick") world.tick();
          else if (one.op === "run") world.run();
          else if (one.op === "turn") world.turn();
          else if (one.op === "commit") world.commit();
          else if (one.op === "elect") world.elect(one.node, one.fate);
          check();
        }
        world.run();
        world.pass(60_000);
        check();
        assert.equal(world.states[0]!.leases.size, 0, "without renewals every lease ends");
        for (const state of world.states)
          assert.equal(await state.hash(), await world.states[0]!.hash(), "replicas agree");
      }),
      { numRuns: 150 },
    );
  });
});
