// Stands in for the node and the rpc layer in tests of the API: a call that records how it was
// answered, a proposer and a reader that do what the test says and remember what they were asked.

import type { RoleChange } from "../../consensus/engine.js";
import type { Membership, MembershipChange, NodeId } from "../../consensus/types.js";
import { idOf } from "../../lease/lease-id.js";
import type { RemainingAnswer } from "../../lease/messages.js";
import type {
  KvReader,
  RangeRequest,
  RangeResult,
  Refused,
  TxnRequest,
  TxnResult,
} from "../../mvcc/messages.js";
import { WatchHub } from "../../mvcc/watch/hub.js";
import type { GroupFailure, GroupStatus, Proposer } from "../../replication/proposer.js";
import type { Metadata, RawMethod, Status, UnaryCall } from "../../rpc/call.js";
import { type ApiContext, type ClusterMember, defaultLimits, type LeaseTime } from "../context.js";

export interface Answer {
  readonly code: Status;
  readonly message: string;
  readonly trailers: Metadata;
  /** The response, when the code is 0. */
  readonly response: Uint8Array | undefined;
}

/** Calls unary methods as the rpc layer does, the request being overwritten after the handler returned. */
export class FakeCaller {
  private readonly methods = new Map<string, RawMethod>();

  constructor(methods: readonly RawMethod[]) {
    for (const method of methods) if (method.kind === "unary") this.methods.set(method.path, method);
  }

  get paths(): readonly string[] {
    return [...this.methods.keys()];
  }

  /** Resolves when the call was answered. */
  unary(path: string, message: Uint8Array, metadata: Metadata = []): Promise<Answer> {
    return new Promise((resolve) => this.begin(path, message, metadata, resolve));
  }

  /** @returns the call, to be cancelled by the test. */
  begin(path: string, message: Uint8Array, metadata: Metadata, answered: (answer: Answer) => void): FakeCall {
    const method = this.methods.get(path);
    if (method?.kind !== "unary") throw new Error(`${path} is not served as a unary method`);
    const call = new FakeCall(path, metadata, answered);
    const view = Buffer.from(message);
    method.handle(view, call);
    view.fill(0xee);
    return call;
  }
}

export class FakeCall implements UnaryCall {
  congested = false;
  readonly peer = "127.0.0.1:1";
  readonly deadlineAt = undefined;
  ended = false;
  private readonly cancelListeners: (() => void)[] = [];

  constructor(
    readonly path: string,
    readonly metadata: Metadata,
    private readonly answered: (answer: Answer) => void,
  ) {}

  onCancel(listener: () => void): void {
    this.cancelListeners.push(listener);
  }

  sendMetadata(): void {}

  end(code: Status, message = "", trailers: Metadata = []): void {
    if (this.ended) return;
    this.ended = true;
    this.answered({ code, message, trailers, response: undefined });
  }

  respond(response: Uint8Array): void {
    if (this.ended) return;
    this.ended = true;
    this.answered({ code: 0, message: "", trailers: [], response });
  }

  cancel(): void {
    this.ended = true;
    for (const listener of this.cancelListeners) listener();
  }
}

/** Keeps proposals and barriers until the test settles them, unless told what to answer at once. */
export class FakeProposer implements Proposer {
  status: GroupStatus;
  readonly proposals: { command: Uint8Array; request: unknown; done: (result: unknown) => void }[] = [];
  readonly changes: MembershipChange[] = [];
  readonly transfers: NodeId[] = [];
  barriers = 0;
  onPropose: ((command: Uint8Array, request: unknown) => unknown) | undefined;
  /** undefined: the barrier is passed at once. "wait": kept in `waiting`. */
  onBarrier: () => GroupFailure | undefined | "wait" = () => undefined;
  onChange: (change: MembershipChange) => GroupFailure | undefined = () => undefined;
  onTransfer: (to: NodeId) => GroupFailure | undefined = () => undefined;
  readonly waiting: ((failure: GroupFailure | undefined) => void)[] = [];

  constructor(status: GroupStatus) {
    this.status = status;
  }

  get epoch(): number {
    return this.status.epoch;
  }
  get leader(): NodeId {
    return this.status.leader;
  }

  propose(command: Uint8Array, request: unknown, done: (result: unknown) => void): void {
    this.proposals.push({ command, request, done });
    if (this.onPropose !== undefined) done(this.onPropose(command, request));
  }

  readBarrier(done: (failure: GroupFailure | undefined) => void): void {
    this.barriers++;
    const outcome = this.onBarrier();
    if (outcome === "wait") this.waiting.push(done);
    else done(outcome);
  }

  async changeMembership(change: MembershipChange): Promise<GroupFailure | undefined> {
    this.changes.push(change);
    return this.onChange(change);
  }

  async transferLeadership(to: NodeId): Promise<GroupFailure | undefined> {
    this.transfers.push(to);
    return this.onTransfer(to);
  }
}

type Soon<T> = T | Promise<T>;

export class FakeReader implements KvReader {
  currentRevision = 42;
  compactedRevision = -1;
  readonly asked: (RangeRequest | TxnRequest)[] = [];
  onRange: (request: RangeRequest) => Soon<RangeResult | Refused> = () => ({
    kind: "range",
    revision: this.currentRevision,
    kvs: [],
    more: false,
    count: 0,
  });
  onTxn: (request: TxnRequest) => Soon<TxnResult | Refused> = () => ({
    kind: "txn",
    revision: this.currentRevision,
    succeeded: true,
    responses: [],
  });

  range(request: RangeRequest): Soon<RangeResult | Refused> {
    this.asked.push(request);
    return this.onRange(request);
  }

  readTxn(request: TxnRequest): Soon<TxnResult | Refused> {
    this.asked.push(request);
    return this.onTxn(request);
  }
}

/** Leases that the test makes, with as much time as it says; nothing is ever renewed at once. */
export class FakeLeases implements LeaseTime {
  readonly remaining = new Map<bigint, number>();
  onKeepAlive: (id: bigint) => number | GroupFailure = (id) => this.remaining.get(id) ?? 0;

  renewNow(): number {
    return -1;
  }
  keepAlive(high: number, low: number, done: (outcome: number | GroupFailure) => void): void {
    done(this.onKeepAlive(idOf(high, low)));
  }
  timeToLive(id: bigint, done: (outcome: RemainingAnswer | GroupFailure) => void): void {
    const ttl = this.remaining.get(id);
    done({ found: ttl !== undefined, remainingMs: (ttl ?? 0) * 1000, ttl: ttl ?? 0 });
  }
  list(): bigint[] {
    return [...this.remaining.keys()];
  }
  keys(): Uint8Array[] {
    return [];
  }
}

export class FakeContext implements ApiContext {
  readonly clusterId = 0xcdf8_1818_1e33_1a7bn;
  readonly memberId = 101n;
  readonly clusterName = "test-cluster";
  readonly proposer = new FakeProposer(leaderStatus());
  readonly reader = new FakeReader();
  readonly leases = new FakeLeases();
  private lastId = 0n;
  readonly watches = new WatchHub({
    source: {
      currentRevision: 42,
      compactedRevision: -1,
      get past(): never {
        throw new Error("watches are tested on a single node");
      },
      onRevision: undefined,
      onInstalled: undefined,
    },
    onFatal: (error) => this.surprises.push(error),
  });
  role: RoleChange = { role: "leader", leader: 101, epoch: 7 };
  list: ClusterMember[] = [member(101), member(102), member(103)];
  readonly limits = defaultLimits;
  spaceExceeded = false;
  strictReconfiguration = true;
  readonly surprises: unknown[] = [];
  private clock = 1_800_000_000_000;
  hashValue: () => Promise<number> = async () => 0x1234_5678;

  members(): readonly ClusterMember[] {
    return this.list;
  }
  storageSizes(): { sizeBytes: number; sizeInUseBytes: number; quotaBytes: number } {
    return { sizeBytes: 4096, sizeInUseBytes: 1024, quotaBytes: 2_147_483_648 };
  }
  hash(): Promise<number> {
    return this.hashValue();
  }
  randomId(): bigint {
    return ++this.lastId;
  }
  now(): number {
    return this.clock++;
  }
  unexpected(_path: string, error: unknown): void {
    this.surprises.push(error);
  }
}

/** A started voter unless told otherwise. */
export function member(id: NodeId, overrides: Partial<ClusterMember> = {}): ClusterMember {
  return {
    id,
    name: `node-${id}`,
    peerUrls: [`http://10.0.0.${id - 100}:2380`],
    clientUrls: [`http://10.0.0.${id - 100}:2379`],
    isLearner: false,
    ...overrides,
  };
}

const membership: Membership = {
  voters: [101, 102, 103],
  outgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export function leaderStatus(overrides: Partial<GroupStatus> = {}): GroupStatus {
  return {
    id: 101,
    role: "leader",
    leader: 101,
    epoch: 7,
    vote: 101,
    commit: 1000,
    applied: 999,
    appliedIndex: 999,
    firstIndex: 1,
    lastIndex: 1001,
    lastEpoch: 7,
    membership,
    membershipIndex: 1,
    transferTarget: 0,
    progress: [],
    ...overrides,
  };
}
