import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outbound } from "../consensus/engine.js";
import type { RaftMessage } from "../consensus/raft/messages.js";
import { createRaft } from "../consensus/raft/raft.js";
import type { EntryId, Membership, NodeId, SnapshotMeta, Term } from "../consensus/types.js";
import type { Wal, WalBatch } from "../wal/types.js";
import { decodeOrigin } from "./batch.js";
import { Group } from "./group.js";
import type { Scheduler, Transport } from "./ports.js";
import type { GroupFailure } from "./proposer.js";
import { restoreGroup } from "./restore.js";
import type { SnapshotSink, StateMachine } from "./state-machine.js";

const membership: Membership = {
  voters: [1, 2, 3],
  outgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** A state machine that remembers the commands; those beginning with "slow" need a fetch first. */
class Journal implements StateMachine {
  applied: SnapshotMeta = { id: { index: 1, epoch: 1 }, membership, membershipIndex: 1 };
  overloaded = false;
  readonly commands: string[] = [];
  /** What "slow" commands wait for. */
  fetching: Promise<void> = Promise.resolve();
  prepare(command: Uint8Array): Promise<void> | undefined {
    return Buffer.from(command).toString().startsWith("slow") ? this.fetching : undefined;
  }
  apply(command: Uint8Array, _id: EntryId, wantResult: boolean, request: unknown): unknown {
    this.commands.push(Buffer.from(command).toString());
    return wantResult ? { request, at: this.commands.length } : undefined;
  }
  applyMembership(next: Membership, _context: Uint8Array, id: EntryId): void {
    this.applied = { ...this.applied, membership: next, membershipIndex: id.index };
  }
  endEntry({ index, epoch }: EntryId): void {
    this.applied = { ...this.applied, id: { index, epoch } };
  }
  get durableIndex(): number {
    return this.applied.id.index;
  }
  async flush(): Promise<void> {}
  async snapshot(): Promise<{ meta: SnapshotMeta; chunks: AsyncIterable<Uint8Array> }> {
    const chunk = Buffer.from(JSON.stringify(this.commands));
    return {
      meta: this.applied,
      chunks: (async function* () {
        yield chunk;
      })(),
    };
  }
  async receiveSnapshot(meta: SnapshotMeta): Promise<SnapshotSink> {
    let received = "";
    return {
      write: async (chunk) => {
        received += Buffer.from(chunk).toString();
      },
      finish: async () => {},
      install: async () => {
        this.commands.splice(0, this.commands.length, ...(JSON.parse(received) as string[]));
        this.applied = meta;
      },
      abort: async () => {},
    };
  }
  async close(): Promise<void> {}
}

/** A cluster in one thread: turns run when asked to, messages are delivered in order, time stands still. */
class Cluster {
  now = 0;
  private turns: (() => void)[] = [];
  readonly groups = new Map<NodeId, Group<RaftMessage>>();
  readonly journals = new Map<NodeId, Journal>();
  readonly cut = new Set<string>();
  snapshotsSent = 0;
  /** Snapshots arrive when this has resolved. */
  underWay: Promise<void> = Promise.resolve();
  /** Answers to read barriers are lost on these ways. */
  readonly mute = new Set<string>();
  private seed = 1;

  constructor(retainedLogBytes = 1 << 20) {
    for (const node of membership.voters) this.start(node, retainedLogBytes);
  }

  private start(node: NodeId, retainedLogBytes: number): void {
    const journal = new Journal();
    this.journals.set(node, journal);
    const { state } = restoreGroup(journal.applied, undefined);
    const engine = createRaft({
      id: node,
      electionTicks: 10,
      heartbeatTicks: 1,
      random: () => (this.seed = (Math.imul(this.seed, 1664525) + 1013904223) >>> 0),
      maxInflightMessages: 64,
      maxInflightBytes: 1 << 20,
      maxAppendBytes: 1 << 18,
      maxUncommittedBytes: 1 << 24,
      restored: state,
    });
    const wal: Wal = {
      append: (_batch: WalBatch, durable: () => void) => void this.turns.push(durable),
      compact() {},
      pendingBytes: 0,
      async close() {},
    };
    const scheduler: Scheduler = { defer: (run) => void this.turns.push(run), now: () => this.now };
    const group = new Group<RaftMessage>({
      group: 0,
      node,
      incarnation: node * 1000,
      engine,
      wal,
      stateMachine: journal,
      transport: this.transport(node),
      scheduler,
      answerQuestion: (question, reply) =>
        reply(
          this.groups.get(node)!.leads ? Buffer.from(`${node} answers ${Buffer.from(question)}`) : undefined,
        ),
      requestTimeoutMs: 7000,
      electionTimeoutMs: 1000,
      retainedLogBytes,
      retainedLogEntries: 1_000_000,
      restoredEntries: [],
      strictReconfiguration: true,
      objection: () => {
        const { learners } = journal.applied.membership;
        return learners.length > 0 ? "tooManyLearners" : undefined;
      },
      fatal: (error) => {
        throw error;
      },
    });
    this.groups.set(node, group);
  }

  private transport(from: NodeId): Transport<RaftMessage> {
    const to = (node: NodeId, deliver: (group: Group<RaftMessage>) => void): boolean => {
      if (this.cut.has(`${from}>${node}`)) return false;
      const group = this.groups.get(node);
      if (group === undefined) return false;
      this.turns.push(() => deliver(group));
      return true;
    };
    return {
      send: (outbound: Outbound<RaftMessage>) =>
        void to(outbound.to, (group) => group.receive(from, outbound.message)),
      forward: (node, epoch: Term, batches) =>
        to(node, (group) =>
          group.receiveForwarded(
            from,
            epoch,
            batches,
            batches.map((batch) => decodeOrigin(batch).sequence),
          ),
        ),
      refuse: (node, epoch, sequences) => void to(node, (group) => group.receiveRefusal(epoch, sequences)),
      askReadIndex: (node, id) => to(node, (group) => group.receiveReadBarrier(from, id)),
      askLeader: (node, id, question) => to(node, (group) => group.questions.receive(from, id, question)),
      answerQuestion: (node, id, answer) =>
        void to(node, (group) => group.questions.answered(from, id, answer)),
      answerReadIndex: (node, id, index) => {
        if (!this.mute.has(`${from}>${node}`)) to(node, (group) => group.receiveReadIndex(id, index));
      },
      control: (node, change) => this.groups.get(node)!.receiveControl(change),
      sendSnapshot: async (node, epoch, stateMachine) => {
        const { meta, chunks } = await stateMachine.snapshot();
        const sink = await this.journals.get(node)!.receiveSnapshot(meta);
        for await (const chunk of chunks) await sink.write(chunk);
        await sink.finish();
        this.snapshotsSent++;
        await this.underWay;
        if (!(await this.groups.get(node)!.receiveSnapshot(from, epoch, meta, sink)))
          throw new Error("refused");
        return meta.id.index;
      },
      flush() {},
      membershipChanged() {},
      membershipAppended() {},
    };
  }

  isolate(node: NodeId): void {
    for (const other of this.groups.keys()) {
      this.cut.add(`${node}>${other}`);
      this.cut.add(`${other}>${node}`);
    }
  }

  /** Runs until nothing is left to do. */
  async settle(): Promise<void> {
    for (;;) {
      const turns = this.turns;
      this.turns = [];
      for (const turn of turns) turn();
      await new Promise((resolve) => setImmediate(resolve));
      if (this.turns.length === 0) return;
    }
  }

  async ticks(count: number): Promise<void> {
    for (let tick = 0; tick < count; tick++) {
      this.now += 100;
      for (const group of this.groups.values()) group.tick();
      await this.settle();
    }
  }

  /** A node outside `except` that leads, after as many ticks as it takes. */
  async leader(except: NodeId = 0): Promise<NodeId> {
    for (let round = 0; round < 100; round++) {
      await this.ticks(1);
      for (const [node, group] of this.groups) if (node !== except && group.leads) return node;
    }
    throw new Error("no leader");
  }
}

const propose = (group: Group<RaftMessage>, command: string): Promise<unknown> =>
  new Promise((resolve) => group.propose(Buffer.from(command), `asked ${command}`, resolve));

test("a command is applied everywhere once, in order, and answered where it was proposed", async () => {
  const cluster = new Cluster();
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  const answers = [
    propose(cluster.groups.get(leader)!, "a"),
    propose(cluster.groups.get(leader)!, "slow b"),
    propose(cluster.groups.get(follower)!, "c"),
  ];
  await cluster.settle();
  await cluster.ticks(2);
  const results = (await Promise.all(answers)) as { request: string; at: number }[];
  assert.deepEqual(
    results.map((result) => result.request),
    ["asked a", "asked slow b", "asked c"],
  );
  const journal = cluster.journals.get(leader)!.commands;
  assert.deepEqual([...journal].sort(), ["a", "c", "slow b"]);
  for (const other of cluster.journals.values()) assert.deepEqual(other.commands, journal);
});

test("a read barrier on a follower waits until the follower has applied what was acknowledged before", async () => {
  const cluster = new Cluster();
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  const written = propose(cluster.groups.get(leader)!, "x");
  await cluster.settle();
  await written;
  let seen: string[] | undefined;
  cluster.groups.get(follower)!.readBarrier((failure) => {
    assert.equal(failure, undefined);
    seen = [...cluster.journals.get(follower)!.commands];
  });
  await cluster.ticks(3);
  assert.deepEqual(seen, ["x"]);
});

test("what a deposed leader could not commit is sent again to the new one, and applied once", async () => {
  const cluster = new Cluster();
  const old = await cluster.leader();
  cluster.isolate(old);
  let answer: unknown;
  cluster.groups.get(old)!.propose(Buffer.from("kept"), undefined, (result) => {
    answer = result;
  });
  await cluster.settle();
  const next = await cluster.leader(old);
  const other = propose(cluster.groups.get(next)!, "other");
  await cluster.settle();
  await other;
  cluster.cut.clear();
  await cluster.ticks(10);
  assert.notEqual((answer as GroupFailure | undefined)?.kind, "failed");
  assert.notEqual(answer, undefined);
  for (const journal of cluster.journals.values()) {
    assert.deepEqual([...journal.commands].sort(), ["kept", "other"]);
  }
});

test("a request that finds no leader in time fails, and says whether it may still take effect", async () => {
  const cluster = new Cluster();
  const leader = await cluster.leader();
  cluster.isolate(leader);
  const results: unknown[] = [];
  cluster.groups.get(leader)!.propose(Buffer.from("lost"), undefined, (result) => results.push(result));
  await cluster.ticks(30);
  cluster.groups.get(leader)!.propose(Buffer.from("never sent"), undefined, (result) => results.push(result));
  let read: GroupFailure | undefined;
  cluster.groups.get(leader)!.readBarrier((failure) => {
    read = failure;
  });
  await cluster.ticks(80);
  assert.equal((results[0] as GroupFailure).outcome, "unknown");
  assert.equal((results[1] as GroupFailure).outcome, "refused");
  assert.equal(read?.kind, "failed");
});

test("a follower behind the log catches up by snapshot", async () => {
  const cluster = new Cluster(2000);
  const leader = await cluster.leader();
  const behind = leader === 3 ? 2 : 3;
  cluster.isolate(behind);
  for (let at = 0; at < 200; at++) {
    const written = propose(cluster.groups.get(leader)!, `command ${at}`);
    await cluster.settle();
    await written;
  }
  // The log is not kept for a follower that has been silent for an election timeout.
  await cluster.ticks(15);
  assert.ok(cluster.groups.get(leader)!.status.firstIndex > 50);
  cluster.cut.clear();
  await cluster.ticks(40);
  assert.equal(cluster.journals.get(behind)!.commands.length, 200);
  assert.deepEqual(cluster.journals.get(behind)!.commands, cluster.journals.get(leader)!.commands);
});

test("a question asked of any node is answered by the leader, the next one if the first is gone", async () => {
  const cluster = new Cluster();
  const first = await cluster.leader();
  const asker = first === 3 ? 2 : 3;
  const answers: string[] = [];
  const ask = (node: NodeId): void =>
    cluster.groups.get(node)!.questions.ask(Buffer.from("it"), (answer) => {
      assert.ok(answer instanceof Uint8Array);
      answers.push(Buffer.from(answer).toString());
    });
  ask(first);
  ask(asker);
  await cluster.ticks(3);
  assert.deepEqual(answers, [`${first} answers it`, `${first} answers it`]);
  cluster.isolate(first);
  ask(asker);
  const next = await cluster.leader(first);
  await cluster.ticks(2);
  assert.deepEqual(answers.slice(2), [`${next} answers it`]);
});

test("leadership moves to the member asked for, and stopped groups fail what waits", async () => {
  const cluster = new Cluster();
  const leader = await cluster.leader();
  const target = leader === 1 ? 2 : 1;
  const moved = cluster.groups.get(leader)!.transferLeadership(target);
  await cluster.ticks(2);
  assert.equal(await moved, undefined);
  assert.equal(cluster.groups.get(target)!.leads, true);
  const waiting = propose(cluster.groups.get(leader)!, "late");
  cluster.groups.get(leader)!.stop();
  assert.equal(((await waiting) as GroupFailure).reason, "stopped");
});

test("a late refusal of an earlier attempt does not make a batch travel twice", async () => {
  const cluster = new Cluster();
  const leader = await cluster.leader();
  const written = propose(cluster.groups.get(leader)!, "once");
  const group = cluster.groups.get(leader)!;
  // The first batch of a node follows its incarnation; it is under way in the present epoch.
  await cluster.settle();
  group.receiveRefusal(group.epoch - 1, [leader * 1000 + 1]);
  await cluster.ticks(3);
  await written;
  for (const journal of cluster.journals.values()) assert.deepEqual(journal.commands, ["once"]);
});

test("a batch whose fate a snapshot hides is reported as unknown, never sent again", async () => {
  const cluster = new Cluster(2000);
  const leader = await cluster.leader();
  const behind = leader === 3 ? 2 : 3;
  let outcome: unknown;
  // It reaches the leader, but nothing that follows reaches its origin.
  cluster.groups.get(behind)!.propose(Buffer.from("hidden"), undefined, (result) => {
    outcome = result;
  });
  cluster.cut.add(`${leader}>${behind}`);
  for (const other of cluster.groups.keys()) if (other !== leader) cluster.cut.add(`${other}>${behind}`);
  for (let at = 0; at < 200; at++) {
    const written = propose(cluster.groups.get(leader)!, `command ${at}`);
    await cluster.settle();
    await written;
  }
  await cluster.ticks(3);
  cluster.cut.clear();
  await cluster.ticks(40);
  assert.equal((outcome as GroupFailure).outcome, "unknown");
  const journal = cluster.journals.get(behind)!.commands;
  assert.equal(journal.filter((command) => command === "hidden").length, 1);
  assert.equal(journal.length, 201);
});

test("a command whose time runs out while it is being applied is answered once", async () => {
  const cluster = new Cluster();
  const leader = await cluster.leader();
  const journal = cluster.journals.get(leader)!;
  let fetched: () => void = () => {};
  journal.fetching = new Promise((resolve) => {
    fetched = resolve;
  });
  const answers: unknown[] = [];
  cluster.groups.get(leader)!.propose(Buffer.from("slow x"), undefined, (result) => answers.push(result));
  await cluster.ticks(80);
  assert.deepEqual(answers, [{ kind: "failed", reason: "timeout", outcome: "unknown" }]);
  fetched();
  await cluster.ticks(2);
  assert.equal(answers.length, 1);
  assert.deepEqual(journal.commands, ["slow x"]);
});

test("a read whose answer was lost on its way is asked again within an election timeout", async () => {
  const cluster = new Cluster();
  const leader = await cluster.leader();
  const follower = leader === 1 ? 2 : 1;
  let answers = 0;
  cluster.mute.add(`${leader}>${follower}`);
  cluster.groups.get(follower)!.readBarrier((failure) => {
    assert.equal(failure, undefined);
    answers++;
  });
  await cluster.ticks(2);
  assert.equal(answers, 0);
  cluster.mute.clear();
  await cluster.ticks(12);
  assert.equal(answers, 1);
});

test("what was said to an earlier life of a node means nothing to the next", async () => {
  const cluster = new Cluster();
  const leader = await cluster.leader();
  const group = cluster.groups.get(leader)!;
  cluster.isolate(leader);
  let read = false;
  group.readBarrier(() => {
    read = true;
  });
  const written = propose(group, "once");
  await cluster.ticks(1);
  // The first barrier and the first batch of a life whose numbers began elsewhere.
  group.receiveReadIndex(1, 1);
  group.receiveRefusal(group.epoch, [1]);
  await cluster.ticks(2);
  assert.equal(read, false);
  cluster.cut.clear();
  await cluster.ticks(3);
  await written;
  assert.equal(read, true);
  for (const journal of cluster.journals.values()) assert.deepEqual(journal.commands, ["once"]);
});

test("two changes that exclude each other, asked of two nodes at once, do not both happen", async () => {
  const cluster = new Cluster();
  const leader = await cluster.leader();
  const ask = (node: NodeId, learner: NodeId) =>
    cluster.groups.get(node)!.changeMembership({
      steps: [{ op: "addLearner", node: learner }],
      context: new Uint8Array(0),
    });
  const asked = [ask(leader, 7), ask(leader === 1 ? 2 : 1, 8)];
  await cluster.ticks(5);
  const outcomes = (await Promise.all(asked)).map((outcome) => outcome?.reason);
  assert.equal(outcomes.filter((reason) => reason === undefined).length, 1);
  const third = ask(leader, 9);
  await cluster.ticks(5);
  assert.equal((await third)?.reason, "tooManyLearners");
  assert.equal(cluster.journals.get(leader)!.applied.membership.learners.length, 1);
});

test("a follower whose snapshot took long catches up from the log, however much was written meanwhile", async () => {
  const cluster = new Cluster(2000);
  const leader = await cluster.leader();
  const behind = leader === 3 ? 2 : 3;
  const write = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at++) {
      const written = propose(cluster.groups.get(leader)!, `command ${at}`);
      await cluster.settle();
      await written;
      if (at % 10 === 0) await cluster.ticks(1);
    }
  };
  cluster.isolate(behind);
  await write(200);
  let arrive: () => void = () => {};
  cluster.underWay = new Promise((resolve) => {
    arrive = resolve;
  });
  cluster.cut.clear();
  await cluster.ticks(20);
  assert.equal(cluster.snapshotsSent, 1);
  // Twice what is retained for those who keep up.
  await write(60);
  arrive();
  await cluster.ticks(20);
  assert.deepEqual(cluster.journals.get(behind)!.commands, cluster.journals.get(leader)!.commands);
  assert.equal(cluster.snapshotsSent, 1);
});
