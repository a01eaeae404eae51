// The replicated state as tests drive it: on storage in memory that loses what the test wants lost, with
// random steps and the naive store to compare with.

import fc from "fast-check";
import { encodeCompaction, encodeDeleteRange, encodePut, encodeTxn } from "../../mvcc/codec.js";
import { ManualBuffer, MemoryStore } from "../../mvcc/memory-storage.js";
import type { DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest } from "../../mvcc/messages.js";
import type { NaiveStore } from "../../mvcc/naive-store.js";
import { deletes, puts, rangeOf, ranges, txns } from "../../mvcc/request-generators.js";
import { CommandKind, encodeCommand } from "../commands.js";
import { ReplicatedState, type StateOptions } from "../replicated-state.js";

export const membership = {
  voters: [1, 2, 3],
  outgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
export const members = membership.voters.map((id) => ({
  id,
  name: `n${id}`,
  peerUrls: [`http://127.0.0.1:${id}`],
  clientUrls: [],
  isLearner: false,
}));

export interface Node {
  readonly state: ReplicatedState;
  readonly store: MemoryStore;
  readonly buffer: ManualBuffer;
}

type Overrides = { [Name in keyof StateOptions]?: StateOptions[Name] | undefined };

export async function openNode(store = new MemoryStore(), options: Overrides = {}): Promise<Node> {
  let buffer: ManualBuffer | undefined;
  const state = await ReplicatedState.open({
    store,
    group: 7,
    createBuffer: (index) => (buffer = new ManualBuffer(store, index)),
    bootstrap: { membership, members },
    cacheBytes: 1,
    onFatal: (error) => {
      throw error;
    },
    ...options,
  } as StateOptions);
  return { state, store, buffer: buffer! };
}

export type Step =
  | { readonly op: "put"; readonly request: PutRequest }
  | { readonly op: "deleteRange"; readonly request: DeleteRangeRequest }
  | { readonly op: "txn"; readonly request: TxnRequest }
  | { readonly op: "compaction"; readonly request: { readonly revision: number; readonly physical: boolean } }
  | { readonly op: "range"; readonly request: RangeRequest }
  | { readonly op: "write"; readonly count: number }
  | { readonly op: "kill" };

export const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: puts.map((request): Step => ({ op: "put", request })) },
  { weight: 3, arbitrary: deletes.map((request): Step => ({ op: "deleteRange", request })) },
  { weight: 6, arbitrary: txns.map((request): Step => ({ op: "txn", request })) },
  { weight: 4, arbitrary: ranges.map((request): Step => ({ op: "range", request })) },
  {
    weight: 1,
    arbitrary: fc
      .record({ revision: fc.integer({ min: -1, max: 30 }), physical: fc.boolean() })
      .map((request): Step => ({ op: "compaction", request })),
  },
  { weight: 2, arbitrary: fc.nat(6).map((count): Step => ({ op: "write", count })) },
  { weight: 1, arbitrary: fc.constant<Step>({ op: "kill" }) },
);

export function commandOf(step: Step): Uint8Array | undefined {
  switch (step.op) {
    case "put":
      return encodeCommand(CommandKind.put, encodePut(step.request));
    case "deleteRange":
      return encodeCommand(CommandKind.deleteRange, encodeDeleteRange(step.request));
    case "txn":
      return encodeCommand(CommandKind.txn, encodeTxn(step.request));
    case "compaction":
      return encodeCommand(CommandKind.compaction, encodeCompaction(step.request));
    default:
      return undefined;
  }
}

export async function applyNext(
  state: ReplicatedState,
  command: Uint8Array,
  wantResult = true,
): Promise<unknown> {
  const id = { index: state.applied.id.index + 1, epoch: 1 };
  await state.prepare(command, wantResult);
  const result = state.apply(command, id, wantResult, undefined);
  state.endEntry(id);
  return result;
}

export function expected(model: NaiveStore, step: Step): unknown {
  switch (step.op) {
    case "put":
      return model.put(step.request);
    case "deleteRange":
      return model.deleteRange(step.request);
    case "txn":
      return model.txn(step.request);
    case "range":
      return model.range(step.request);
    case "compaction":
      return model.compact(step.request.revision) ?? { kind: "compaction", revision: model.current };
    default:
      return undefined;
  }
}

/** Makes results comparable: bytes of any class as text, and no promise. */
export function plain(result: unknown): unknown {
  if (result instanceof Uint8Array) return Buffer.from(result).toString("latin1");
  if (Array.isArray(result)) return result.map(plain);
  if (typeof result !== "object" || result === null || result instanceof Promise) return result;
  const fields = Object.entries(result).filter(([name]) => name !== "finished");
  return Object.fromEntries(fields.map(([name, value]) => [name, plain(value)]));
}

export const everything = rangeOf("\0", "\0");

export const commands = fc.array(
  steps.map(commandOf).filter((command): command is Uint8Array => command !== undefined),
  { maxLength: 60 },
);

export async function hashOf(state: ReplicatedState): Promise<number> {
  return await state.hash();
}
