// The API on the real rpc server and the real replicated state, with a log that accepts everything at
// once in between: for tests that go from a client's bytes to the store and back.

import { randomBytes } from "node:crypto";
import type { RoleChange } from "../../consensus/engine.js";
import type { EntryId, Membership } from "../../consensus/types.js";
import { ManualBuffer, MemoryStore } from "../../mvcc/memory-storage.js";
import { WatchHub } from "../../mvcc/watch/hub.js";
import type { AnswerQuestion } from "../../replication/leader-questions.js";
import type { GroupStatus, Proposer } from "../../replication/proposer.js";
import { RpcServer } from "../../rpc/server.js";
import { createLessor } from "../../state/lease-time.js";
import { ReplicatedState } from "../../state/replicated-state.js";
import { type ApiContext, defaultLimits } from "../context.js";
import { etcdServices } from "../services.js";
import { leaderStatus, member } from "./fakes.js";

export interface SingleNode {
  /** "127.0.0.1:port" */
  readonly address: string;
  readonly state: ReplicatedState;
  readonly watches: WatchHub;
  /** What ApiContext.unexpected was told. */
  readonly surprises: readonly unknown[];
  stop(): Promise<void>;
}

const membership: Membership = {
  voters: [101],
  outgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/**
 * @param cacheBytes of recent rows; next to nothing makes most reads go to the disk, asynchronously.
 * @param overrides of the context, getters included
 */
export async function startSingleNode(
  cacheBytes = 1 << 20,
  overrides: Partial<ApiContext> = {},
): Promise<SingleNode> {
  const surprises: unknown[] = [];
  const store = new MemoryStore();
  let buffer: ManualBuffer | undefined;
  const state = await ReplicatedState.open({
    store,
    group: 0,
    createBuffer: (index) => (buffer = new ManualBuffer(store, index)),
    bootstrap: { membership, members: [member(101)] },
    cacheBytes,
    onFatal: (error) => surprises.push(error),
  });
  const watches = new WatchHub({ source: state, onFatal: (error) => surprises.push(error) });
  const role: RoleChange = { role: "leader", leader: 101, epoch: 2 };
  const log = new ImmediateLog(state, role.epoch, () => buffer?.writeSome(1));
  const lessor = createLessor({
    state,
    group: () => log,
    now: () => performance.now(),
    defer: (run) => void setImmediate(run),
    electionTimeoutMs: 1000,
  });
  log.onQuestion = (question, reply) => lessor.answer(question, reply);
  // The entry with which a leader begins.
  state.endEntry({ index: state.applied.id.index + 1, epoch: role.epoch });
  const ticks = setInterval(() => lessor.tick(), 100);
  const context: ApiContext = {
    clusterId: 0xcdf8_1818_1e33_1a7bn,
    memberId: 101n,
    clusterName: "single",
    proposer: log,
    reader: state,
    leases: lessor,
    watches,
    role,
    members: () => state.members(),
    storageSizes: () => ({ sizeBytes: 0, sizeInUseBytes: 0, quotaBytes: 0 }),
    hash: () => state.hash(),
    limits: defaultLimits,
    randomId: () => randomBytes(8).readBigUInt64BE() >> 1n,
    now: () => 1_800_000_000_000,
    unexpected: (_path, error) => surprises.push(error),
  };
  Object.defineProperties(context, Object.getOwnPropertyDescriptors(overrides));
  const server = new RpcServer({
    methods: etcdServices(context),
    // As etcd has it: half a mebibyte above the largest request, so that our own check is reached.
    limits: { receiveMessageBytes: defaultLimits.maxRequestBytes + (512 << 10) },
    onHandlerError: (error) => surprises.push(error),
  });
  const { host, port } = await server.listen("127.0.0.1", 0);
  return {
    address: `${host}:${port}`,
    state,
    watches,
    surprises,
    stop: async () => {
      clearInterval(ticks);
      server.close();
      await watches.close();
      await state.close();
    },
  };
}

/** Every proposal is an entry of its own, committed the moment it is made and written at once. */
class ImmediateLog implements Proposer {
  private applying: Promise<void> | undefined;

  constructor(
    private readonly state: ReplicatedState,
    readonly epoch: number,
    private readonly write: () => void,
  ) {}

  readonly leader = 101;
  readonly leads = true;
  onQuestion: AnswerQuestion = (_question, reply) => reply(undefined);
  readonly questions = {
    ask: (question: Uint8Array, done: (answer: Uint8Array) => void): void =>
      this.onQuestion(question, (answer) => {
        if (answer !== undefined) done(answer);
        else setImmediate(() => this.questions.ask(question, done));
      }),
  };

  get status(): GroupStatus {
    const { index } = this.state.applied.id;
    return leaderStatus({
      epoch: this.epoch,
      commit: index,
      applied: index,
      appliedIndex: index,
      lastIndex: index,
    });
  }

  propose(command: Uint8Array, request: unknown, done: (result: unknown) => void): void {
    // The state must not change between prepare and apply, so proposals take turns.
    if (this.applying !== undefined) {
      void this.applying.then(() => this.propose(command, request, done));
      return;
    }
    const ready = this.state.prepare(command);
    if (ready === undefined) this.apply(command, request, done);
    else {
      this.applying = ready.then(() => {
        this.applying = undefined;
        this.apply(command, request, done);
      });
    }
  }

  private apply(command: Uint8Array, request: unknown, done: (result: unknown) => void): void {
    const id: EntryId = { index: this.state.applied.id.index + 1, epoch: this.epoch };
    const result = this.state.apply(command, id, true, request);
    this.state.endEntry(id);
    this.write();
    done(result);
  }

  readBarrier(done: (failure: undefined) => void): void {
    done(undefined);
  }

  changeMembership(): never {
    throw new Error("membership is tested on fakes");
  }

  transferLeadership(): never {
    throw new Error("transfers are tested on fakes");
  }
}
