// The replicated state of a group: applies the commands of the log to the store of keys, keeps the
// table of members, and writes both behind, always together with the id of the entry that made them.
// After a restart it stands at some entry it had applied, and the log is replayed from there.

import type { EntryId, Membership, SnapshotMeta } from "../consensus/types.js";
import type { LeaseObserver, LeaseStore } from "../lease/lease-store.js";
import { decodeCompaction, decodeDeleteRange, decodePut, decodeTxn } from "../mvcc/codec.js";
import { invariant } from "../mvcc/invariant.js";
import type {
  AppliedEvent,
  CompactionRequest,
  DeleteRangeRequest,
  KvReader,
  PutRequest,
  RangeRequest,
  RangeResult,
  Refused,
  TxnRequest,
  TxnResult,
} from "../mvcc/messages.js";
import type { MvccStore } from "../mvcc/store.js";
import type { Past } from "../mvcc/watch/past.js";
import { WireWriter } from "../protobuf/wire.js";
import type { CommandResult, SnapshotSink, StateMachine } from "../replication/state-machine.js";
import type { WriteBehind } from "../storage/types.js";
import { CommandKind } from "./commands.js";
import { type Content, type ContentOptions, createContent, loadContent } from "./content.js";
import { hashState, type StateHash } from "./hash.js";
import { findGeneration, Generation, pointerRow } from "./layout.js";
import { applyLeaseCommand, decodeLeaseCommand } from "./lease-commands.js";
import { changedMembers, type MemberInfo, withAttributes } from "./members.js";
import { SnapshotReceiver } from "./snapshot-receiver.js";
import { sendSnapshot } from "./snapshot-sender.js";
import { decodeState, encodeConfiguration, encodeState, noMembership, type StateRow } from "./state-row.js";

export interface StateOptions extends ContentOptions {
  readonly group: number;
  /** Makes the write-behind buffer of this group, which holds everything up to that index already. */
  readonly createBuffer: (initialIndex: number) => WriteBehind;
  /** On a store without state: the first members of a new cluster. Otherwise a snapshot is awaited. */
  readonly bootstrap?: { readonly membership: Membership; readonly members: readonly MemberInfo[] };
}

/** Where bootstrap puts the state of a new cluster, so that every later member needs a snapshot. */
export const bootstrapId: EntryId = { index: 1, epoch: 1 };

const freshState: StateRow = {
  id: { index: 0, epoch: 0 },
  membership: noMembership,
  membershipIndex: 0,
  revision: 1,
  compactedRevision: -1,
  members: [],
};

export class ReplicatedState implements StateMachine, KvReader {
  private readonly writer = new WireWriter(64 * 1024);
  private meta: SnapshotMeta;
  private memberList: readonly MemberInfo[];
  private configuration: Uint8Array;
  private entryOpen = false;
  /** Told after the first entry of an epoch was applied. */
  onEpoch: (() => void) | undefined;
  /** Everything up to here was durable when the state was opened or installed. */
  private durableFloor: number;
  /** The last command decoded by prepare(), for apply(). */
  private decodedCommand: Uint8Array | undefined;
  private decodedRequest: unknown;
  private readonly clearing = new Set<Promise<void>>();

  private constructor(
    private readonly options: StateOptions,
    private readonly buffer: WriteBehind,
    private generation: Generation,
    private highestGeneration: number,
    private content: Content,
    state: StateRow,
  ) {
    this.meta = { id: state.id, membership: state.membership, membershipIndex: state.membershipIndex };
    this.memberList = state.members;
    this.configuration = this.encodeConfiguration();
    this.durableFloor = state.id.index;
  }

  static async open(options: StateOptions): Promise<ReplicatedState> {
    const { store, group } = options;
    const { present, highest } = await findGeneration(store, group);
    const generation = new Generation(group, present);
    const [row, swept] = await store.getMany([generation.stateKey, generation.sweptKey]);
    let state = row === undefined ? freshState : decodeState(row);
    if (row === undefined && options.bootstrap !== undefined) {
      const { membership, members } = options.bootstrap;
      state = { ...freshState, id: bootstrapId, membership, membershipIndex: bootstrapId.index, members };
    }
    // Synced even when nothing is new: what a killed process left in the page cache is durable then.
    const operations = [{ type: "put" as const, ...pointerRow(generation) }];
    if (state !== freshState)
      operations.push({ type: "put", key: generation.stateKey, value: encodeRow(state) });
    await store.write(operations, { sync: true });
    const buffer = options.createBuffer(state.id.index);
    const holder: { opened?: ReplicatedState } = {};
    const content = createContent(options, buffer, generation, state, swept, () =>
      holder.opened?.commitIdle(),
    );
    await loadContent(store, generation, content);
    const opened = new ReplicatedState(options, buffer, generation, highest, content, state);
    holder.opened = opened;
    opened.clearLeftovers(present, highest);
    opened.startResume();
    return opened;
  }

  private startResume(): void {
    this.kv.resume().catch((error: unknown) => this.options.onFatal(error as Error));
  }

  private get kv(): MvccStore {
    return this.content.kv;
  }

  // What readers see.

  get applied(): SnapshotMeta {
    return this.meta;
  }
  get durableIndex(): number {
    return Math.max(this.durableFloor, this.buffer.durableIndex);
  }
  get overloaded(): boolean {
    return this.buffer.overloaded;
  }
  get currentRevision(): number {
    return this.kv.currentRevision;
  }
  get compactedRevision(): number {
    return this.kv.compactedRevision;
  }
  members(): readonly MemberInfo[] {
    return this.memberList;
  }
  range(request: RangeRequest): RangeResult | Refused | Promise<RangeResult | Refused> {
    return this.kv.range(request);
  }
  readTxn(request: TxnRequest): TxnResult | Refused | Promise<TxnResult | Refused> {
    return this.kv.readTxn(request);
  }

  /**
   * Told the changes of every revision right after it was applied, in revision order. Nothing is told
   * of what an installed snapshot changed.
   */
  set onRevision(listener: ((revision: number, events: readonly AppliedEvent[]) => void) | undefined) {
    this.kv.onRevision = listener;
  }

  /** The leases; another object after a snapshot was installed. */
  get leases(): LeaseStore {
    return this.content.leases;
  }

  /** Told about changes of leases, but not of what an installed snapshot changed. */
  set leaseObserver(observer: LeaseObserver | undefined) {
    this.content.leases.observer = observer;
  }

  /** Told after an installed snapshot took the place of the state. */
  onInstalled: (() => void) | undefined = undefined;

  /** The changes of revisions gone by; another object after a snapshot was installed. */
  get past(): Past {
    return this.kv.past;
  }

  /** Bytes of the store on disk and in its memory, and how many of them are live, as estimated. */
  sizes(): { readonly totalBytes: number; readonly inUseBytes: number } {
    const { store } = this.options;
    const read = (name: string): number => Number(store.property(`rocksdb.${name}`)) || 0;
    const pending = read("cur-size-all-mem-tables") + this.buffer.bufferedBytes;
    const totalBytes = read("total-sst-files-size") + pending;
    return { totalBytes, inUseBytes: Math.min(totalBytes, read("estimate-live-data-size") + pending) };
  }

  // Applying.

  /** @param wantResult false when apply() will be told so: then less may be needed. */
  prepare(command: Uint8Array, wantResult = true): Promise<void> | undefined {
    switch (command[0] as CommandKind) {
      case CommandKind.put:
        if (!putLooksBack(command)) return undefined;
        return this.kv.preparePut(this.decoded(command, decodePut), wantResult);
      case CommandKind.deleteRange:
        return this.kv.prepareDeleteRange(this.decoded(command, decodeDeleteRange), wantResult);
      case CommandKind.txn:
        return this.kv.prepareTxn(this.decoded(command, decodeTxn), wantResult);
      default:
        return undefined;
    }
  }

  understands(command: Uint8Array): boolean {
    const request = command.subarray(1);
    const kind = command[0] as CommandKind;
    try {
      switch (kind) {
        case CommandKind.put:
          decodePut(request);
          return true;
        case CommandKind.deleteRange:
          decodeDeleteRange(request);
          return true;
        case CommandKind.txn:
          decodeTxn(request);
          return true;
        case CommandKind.compaction:
          decodeCompaction(request);
          return true;
        case CommandKind.leaseGrant:
        case CommandKind.leaseRevoke:
        case CommandKind.leaseExpiry:
        case CommandKind.leaseCheckpoint:
        case CommandKind.leaseRenewal:
          decodeLeaseCommand(kind, command);
          return true;
        case CommandKind.memberAttributes:
          withAttributes(this.memberList, request);
          return true;
        default:
          kind satisfies never;
          return false;
      }
    } catch {
      // Whatever a decoder throws, it would throw at everybody who applies this.
      return false;
    }
  }

  private decoded<T>(command: Uint8Array, decode: (bytes: Uint8Array) => T): T {
    if (this.decodedCommand !== command) {
      this.decodedRequest = decode(command.subarray(1));
      this.decodedCommand = command;
    }
    return this.decodedRequest as T;
  }

  apply(command: Uint8Array, id: EntryId, wantResult: boolean, request: unknown): CommandResult {
    this.entryOpen = true;
    const kind = command[0] as CommandKind;
    switch (kind) {
      case CommandKind.put:
        return this.kv.put(
          (request as PutRequest | undefined) ?? this.decoded(command, decodePut),
          wantResult,
        );
      case CommandKind.deleteRange:
        return this.kv.deleteRange(
          (request as DeleteRangeRequest | undefined) ?? this.decoded(command, decodeDeleteRange),
          wantResult,
        );
      case CommandKind.txn:
        return this.kv.txn(
          (request as TxnRequest | undefined) ?? this.decoded(command, decodeTxn),
          wantResult,
        );
      case CommandKind.compaction:
        return this.kv.compact(
          (request as CompactionRequest | undefined) ?? this.decoded(command, decodeCompaction),
        );
      case CommandKind.leaseGrant:
      case CommandKind.leaseRevoke:
      case CommandKind.leaseExpiry:
      case CommandKind.leaseCheckpoint:
      case CommandKind.leaseRenewal:
        return applyLeaseCommand(kind, command, id, this.content);
      case CommandKind.memberAttributes:
        this.setMembers(withAttributes(this.memberList, command.subarray(1)));
        return { kind: "memberAttributes" };
      default:
        kind satisfies never;
        throw new TypeError(`command kind ${String(kind)} is not known to this version`);
    }
  }

  applyMembership(membership: Membership, context: Uint8Array, id: EntryId): void {
    this.entryOpen = true;
    this.meta = { id: this.meta.id, membership, membershipIndex: id.index };
    this.setMembers(changedMembers(this.memberList, membership, context));
  }

  private setMembers(members: readonly MemberInfo[]): void {
    this.memberList = members;
    this.configuration = this.encodeConfiguration();
  }

  private encodeConfiguration(): Uint8Array {
    return encodeConfiguration(this.meta.membership, this.meta.membershipIndex, this.memberList);
  }

  endEntry(id: EntryId): void {
    invariant(
      id.index === this.meta.id.index + 1,
      () => `entry ${id.index} was applied after entry ${this.meta.id.index}`,
    );
    const { membership, membershipIndex } = this.meta;
    const newEpoch = id.epoch !== this.meta.id.epoch;
    this.meta = { id: { index: id.index, epoch: id.epoch }, membership, membershipIndex };
    this.entryOpen = false;
    this.decodedCommand = undefined;
    this.decodedRequest = undefined;
    this.commit();
    if (newEpoch) this.onEpoch?.();
  }

  private commit(): void {
    const { id } = this.meta;
    const state = encodeState(
      this.writer,
      id.index,
      id.epoch,
      this.kv.currentRevision,
      this.kv.compactedRevision,
      this.configuration,
    );
    this.buffer.commit(id.index, this.generation.stateKey, state);
  }

  /** Background work put something into the buffer; within an entry its end commits it. */
  private commitIdle(): void {
    if (!this.entryOpen) this.commit();
  }

  // Durability, snapshots, hash.

  async flush(): Promise<void> {
    await this.buffer.flush({ sync: true });
  }

  async snapshot(): Promise<{ readonly meta: SnapshotMeta; readonly chunks: AsyncIterable<Uint8Array> }> {
    await this.buffer.flush();
    return sendSnapshot(this.options.store, this.generation);
  }

  async receiveSnapshot(meta: SnapshotMeta): Promise<SnapshotSink> {
    const generation = new Generation(this.options.group, ++this.highestGeneration);
    return new SnapshotReceiver(this.options.store, generation, meta, () => this.install(generation));
  }

  /** Replaces the present state by the one received into this generation. */
  private async install(generation: Generation): Promise<void> {
    const { store } = this.options;
    invariant(!this.entryOpen, "a snapshot is installed between entries");
    const old = { generation: this.generation, kv: this.kv, leases: this.leases };
    await this.buffer.flush();
    const [row] = await store.getMany([generation.stateKey]);
    invariant(row !== undefined, "a received snapshot has a state row");
    const state = decodeState(row);
    const content = createContent(this.options, this.buffer, generation, state, undefined, () =>
      this.commitIdle(),
    );
    await loadContent(store, generation, content);
    await store.write([{ type: "put", ...pointerRow(generation) }], { sync: true });
    content.kv.onRevision = old.kv.onRevision;
    content.leases.observer = old.leases.observer;
    old.kv.retire();
    this.generation = generation;
    this.content = content;
    this.meta = { id: state.id, membership: state.membership, membershipIndex: state.membershipIndex };
    this.setMembers(state.members);
    this.durableFloor = state.id.index;
    this.startResume();
    this.onInstalled?.();
    // Reads that began on the old state may still need its rows.
    this.inBackground(
      old.kv.pins.noneBelow(Number.POSITIVE_INFINITY).then(() => {
        return store.clearRange(old.generation.start, old.generation.end);
      }),
    );
  }

  /** Removes generations that a snapshot left behind: abandoned ones and those it replaced. */
  private clearLeftovers(present: number, highest: number): void {
    const { store, group } = this.options;
    const at = (number: number): Uint8Array => new Generation(group, number).start;
    this.inBackground(store.clearRange(at(1), at(present)));
    if (highest > present) this.inBackground(store.clearRange(at(present + 1), at(highest + 1)));
  }

  private inBackground(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.options.onFatal(error as Error))
      .finally(() => this.clearing.delete(tracked));
    this.clearing.add(tracked);
  }

  /** Checksum of the state at some applied entry: equal on every member that holds the same state. */
  async hashState(): Promise<StateHash> {
    const { kv } = this;
    const pinned = kv.compactedRevision;
    kv.pins.take(pinned);
    try {
      await this.buffer.flush();
      return await hashState(this.options.store, this.generation, kv.index);
    } finally {
      kv.pins.release(pinned);
    }
  }

  async hash(): Promise<number> {
    return (await this.hashState()).hash;
  }

  /** Resolves when no background removal is under way. */
  async settled(): Promise<void> {
    await this.kv.resume();
    await Promise.all(this.clearing);
  }

  /** Stops background work and hands nothing more to the store, as if the process had been killed. */
  abandon(): void {
    this.kv.close();
    this.buffer.abandon();
  }

  async close(): Promise<void> {
    this.kv.close();
    await Promise.all(this.clearing);
    await this.buffer.close();
  }
}

function encodeRow(state: StateRow): Uint8Array {
  const configuration = encodeConfiguration(state.membership, state.membershipIndex, state.members);
  const { id, revision, compactedRevision } = state;
  return encodeState(new WireWriter(256), id.index, id.epoch, revision, compactedRevision, configuration);
}

/** Whether a put command may need the present value of its key: true also for anything unusual. */
function putLooksBack(command: Uint8Array): boolean {
  let at = 1;
  while (at < command.length) {
    const tag = command[at++]!;
    if (tag === 0x0a || tag === 0x12) {
      let length = 0;
      let scale = 1;
      let byte: number;
      do {
        byte = command[at++] ?? 0;
        length += (byte & 127) * scale;
        scale *= 128;
      } while (byte >= 128);
      at += length;
    } else if (tag === 0x18) {
      while ((command[at++] ?? 0) >= 128);
    } else return true;
  }
  return false;
}
