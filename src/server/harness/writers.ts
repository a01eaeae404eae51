// A workload for durability tests: some writers, one request of each under way, each moving on to the
// next node when its own fails; and readers that stay with their node and insist that a linearizable
// read shows what was acknowledged before it began. Bounded in count and time.

import { setTimeout as delay } from "node:timers/promises";
import {
  HashRequestSchema,
  HashResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  type ResponseHeader,
  StatusRequestSchema,
  StatusResponseSchema,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import type { KeyValue } from "../../gen/mvccpb/kv_pb.js";
import { RpcError } from "../../rpc/call.js";
import { ClusterClient, method } from "./cluster-client.js";
import { eventually } from "./process-cluster.js";
import {
  contentOf,
  keyOf,
  latestOf,
  prefix,
  type Row,
  type Snapshot,
  type Write,
  WriteHistory,
} from "./write-history.js";

const put = method("KV/Put", PutRequestSchema, PutResponseSchema);
const txn = method("KV/Txn", TxnRequestSchema, TxnResponseSchema);
const range = method("KV/Range", RangeRequestSchema, RangeResponseSchema);
const hash = method("Maintenance/Hash", HashRequestSchema, HashResponseSchema);
const status = method("Maintenance/Status", StatusRequestSchema, StatusResponseSchema);

export interface WorkloadOptions {
  /** "host:port" of every node. */
  readonly endpoints: readonly string[];
  readonly writers: number;
  /** Writes begun per second by all writers together, at most. */
  readonly ratePerSecond: number;
  /** Writes begun in all, at most. */
  readonly maxWrites: number;
  /** Every write is a transaction that also puts its k under w/<i>/latest. */
  readonly latest: boolean;
  /** Linearizable readers, one a node; needs `latest`. */
  readonly readers?: boolean;
  /** After this long a writer takes the outcome for unknown and goes on. */
  readonly timeoutMs?: number;
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
/** Rows of one page of a read. */
const pageRows = 5000;
/** Time a writer (or reader) rests when no node lets it in. */
const restMs = 20;

interface Waiter {
  readonly begunAfter: number;
  readonly resolve: (at: number) => void;
}

export class Workload {
  readonly history: WriteHistory;
  readonly client: ClusterClient;
  /** Linearizable reads answered so far, by node. */
  readonly readsAnswered: number[];
  /** How often requests failed, by status message. */
  readonly failures = new Map<string, number>();
  private readonly running: Promise<void>[] = [];
  private readonly waiters = new Set<Waiter>();
  private stopping = false;
  private begun = 0;
  private nextSlotAt = performance.now();

  constructor(private readonly options: WorkloadOptions) {
    this.history = new WriteHistory(options.writers, options.latest);
    this.client = new ClusterClient(options.endpoints);
    this.readsAnswered = options.endpoints.map(() => 0);
  }

  start(): void {
    for (let writer = 0; writer < this.options.writers; writer++) this.running.push(this.write(writer));
    if (this.options.readers !== true) return;
    for (let node = 0; node < this.client.size; node++) this.running.push(this.read(node));
  }

  /** Lets requests under way end, begins no more. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.running);
  }

  close(): void {
    this.client.close();
  }

  /** Resolves with the time of the first acknowledgement of a write that began after `moment`. */
  acknowledgedAfter(moment: number, timeoutMs = 60_000): Promise<number> {
    return new Promise((resolve, reject) => {
      const waiter = { begunAfter: moment, resolve };
      this.waiters.add(waiter);
      setTimeout(() => {
        if (this.waiters.delete(waiter))
          reject(new Error(`no new write was acknowledged within ${timeoutMs} ms`));
      }, timeoutMs).unref();
    });
  }

  private async write(writer: number): Promise<void> {
    let node = writer % this.client.size;
    while (!this.stopping && this.begun < this.options.maxWrites) {
      await this.slot();
      if (this.stopping) return;
      const connected = await this.client.connect(node).then(
        () => true,
        () => false,
      );
      if (!connected) {
        node = (node + 1) % this.client.size;
        await delay(restMs);
        continue;
      }
      if (this.stopping || this.begun++ >= this.options.maxWrites) return;
      const write = this.history.begin(writer, performance.now());
      try {
        const revision = await this.send(node, write);
        const now = performance.now();
        this.history.acknowledge(write, revision, now);
        this.tell(write, now);
      } catch (error) {
        // Whatever the status: the outcome stays unknown and this k is not used again.
        this.failed(error);
        node = (node + 1) % this.client.size;
        await delay(restMs);
      }
    }
  }

  private async send(node: number, { writer, k }: Write): Promise<number> {
    const timeoutMs = this.options.timeoutMs ?? 10_000;
    const own = { key: bytes(keyOf(writer, k)), value: bytes(contentOf(writer, k)) };
    if (!this.options.latest) {
      return revisionOf(await this.client.send(node, put, own, timeoutMs));
    }
    const latest = { key: bytes(latestOf(writer)), value: bytes(String(k)) };
    const success = [own, latest].map((value) => ({ request: { case: "requestPut" as const, value } }));
    return revisionOf(await this.client.send(node, txn, { success }, timeoutMs));
  }

  private failed(error: unknown): void {
    if (!(error instanceof RpcError)) return this.history.problem(String(error));
    this.failures.set(error.message, (this.failures.get(error.message) ?? 0) + 1);
  }

  private tell(write: Write, now: number): void {
    for (const waiter of this.waiters) {
      if (write.begunAt < waiter.begunAfter) continue;
      this.waiters.delete(waiter);
      waiter.resolve(now);
    }
  }

  /** Waits for this writer's place in the pace of all. Time lost to a standstill is not caught up. */
  private async slot(): Promise<void> {
    const now = performance.now();
    const at = Math.max(this.nextSlotAt, now - 1000 / this.options.ratePerSecond - 50);
    this.nextSlotAt = at + 1000 / this.options.ratePerSecond;
    if (at > now + 1) await delay(at - now);
  }

  private async read(node: number): Promise<void> {
    for (let turn = 0; !this.stopping; turn++) {
      const writer = turn % this.options.writers;
      const floor = this.history.floor;
      const ownFloor = this.history.floors[writer]!;
      try {
        const answer = await this.client.call(node, range, { key: bytes(latestOf(writer)) }, 5000);
        this.readsAnswered[node] = this.readsAnswered[node]! + 1;
        const modified = Number(answer.kvs[0]?.modRevision ?? 0n);
        if (modified < ownFloor || revisionOf(answer) < floor) {
          this.history.problem(
            `stale read through node ${node}: latest of writer ${writer} at revision ${modified} of ${revisionOf(answer)}, ` +
              `although ${ownFloor} of ${floor} had been acknowledged`,
          );
        }
        await delay(2);
      } catch (error) {
        // A node that is down, paused or without a leader answers nothing; that is not a stale answer.
        this.failed(error);
        await delay(restMs);
      }
    }
  }

  /** Reads everything linearizably through each of `nodes` and compares, writers running or not. */
  async verify(nodes: readonly number[]): Promise<void> {
    for (const node of nodes) {
      const snapshot = await eventually(`a full read through node ${node}`, 30_000, () =>
        this.snapshot(node, false),
      );
      this.history.compare(snapshot, `node ${node}`);
    }
    this.history.assertSound();
  }

  /**
   * For when the writers have stopped: everything through each node, linearizably and then from the
   * node's own state, and the same hash everywhere.
   */
  async verifyConverged(): Promise<void> {
    const nodes = Array.from({ length: this.client.size }, (_, node) => node);
    await this.verify(nodes);
    await eventually("all nodes at the same entry", 30_000, async () => {
      const all = await Promise.all(nodes.map((node) => this.client.call(node, status, {})));
      const { raftAppliedIndex, raftTerm } = all[0]!;
      const same = all.every((one) => one.raftAppliedIndex === raftAppliedIndex && one.raftTerm === raftTerm);
      return same ? true : undefined;
    });
    for (const node of nodes) {
      this.history.compare(await this.snapshot(node, true), `node ${node}, serializable`);
    }
    this.history.assertSound();
    const hashes = await Promise.all(nodes.map((node) => this.client.call(node, hash, {})));
    const seen = hashes.map((one) => `${one.hash} at revision ${one.header?.revision}`);
    if (new Set(seen).size !== 1) throw new Error(`the nodes differ: ${seen.join(", ")}`);
  }

  /** Every row below the prefix, in pages of one revision. */
  private async snapshot(node: number, serializable: boolean): Promise<Snapshot> {
    const begunAt = performance.now();
    const rows: Row[] = [];
    const rangeEnd = bytes("w0");
    let key = bytes(prefix);
    let revision = 0;
    for (;;) {
      // Pages behind the first are of its revision, which this node has by then.
      const request = { key, rangeEnd, limit: BigInt(pageRows), serializable: serializable || revision > 0 };
      const answer = await this.client.call(node, range, { ...request, revision: BigInt(revision) }, 10_000);
      if (revision === 0) revision = revisionOf(answer);
      for (const kv of answer.kvs) rows.push(rowOf(kv));
      if (!answer.more) return { rows, revision, begunAt, endedAt: performance.now() };
      key = Buffer.concat([answer.kvs.at(-1)!.key, Buffer.of(0)]);
    }
  }
}

function revisionOf(answer: { readonly header?: ResponseHeader | undefined }): number {
  const revision = Number(answer.header?.revision ?? 0n);
  if (revision <= 0) throw new Error("an answer without a revision");
  return revision;
}

function rowOf(kv: KeyValue): Row {
  return {
    key: Buffer.from(kv.key).toString(),
    value: Buffer.from(kv.value).toString(),
    created: Number(kv.createRevision),
    modified: Number(kv.modRevision),
    version: Number(kv.version),
  };
}
