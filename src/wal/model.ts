// The plain version of the log, for tests: what every group must find after a restart, given the
// batches in order, and a maker of random batches that are valid for it.
import { strict as assert } from "node:assert";
import type { LogBatch } from "./group-state.js";
import type { RecoveredGroup, WalEntry, WalHardState } from "./types.js";

export type Random = () => number;

/** mulberry32: small, seeded, good enough to draw test cases. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export const below = (random: Random, limit: number): number => Math.floor(random() * limit);

export class Model {
  constructor(readonly groups: ReadonlyMap<number, RecoveredGroup> = new Map()) {}

  /** The model after one more batch; this one stays as it is. */
  with(batch: LogBatch): Model {
    const before = this.groups.get(batch.group);
    let after = before?.after ?? { index: 0, epoch: 0 };
    let entries: readonly WalEntry[] = before?.entries ?? [];
    if (batch.restartAfter !== undefined) {
      after = batch.restartAfter;
      entries = [];
    }
    const { truncateAfter, compactTo } = batch;
    if (truncateAfter !== undefined) entries = entries.filter((entry) => entry.index <= truncateAfter);
    entries = [...entries, ...batch.entries];
    if (compactTo !== undefined && compactTo.index > after.index) {
      after = compactTo;
      entries = entries.filter((entry) => entry.index > compactTo.index);
    }
    const group: RecoveredGroup = {
      group: batch.group,
      hardState: batch.hardState ?? before?.hardState,
      after,
      entries,
    };
    return new Model(new Map(this.groups).set(batch.group, group));
  }

  lastOf(group: number): number {
    const found = this.groups.get(group);
    return found === undefined ? 0 : found.after.index + found.entries.length;
  }

  /** One line for each group, to compare and to print. */
  describe(): string {
    return describe(this.groups);
  }
}

const ballot = (value: WalHardState["promised"]): string => `${value.round}.${value.node}`;

export function describe(groups: ReadonlyMap<number, RecoveredGroup>): string {
  return [...groups.values()]
    .sort((a, b) => a.group - b.group)
    .map(({ group, hardState: hard, after, entries }) => {
      const state =
        hard === undefined ? "-" : `${ballot(hard.promised)}/${ballot(hard.accepted)}/${hard.commit}`;
      const list = entries.map(
        (entry) =>
          `${entry.index}@${entry.epoch}:${entry.kind}:${Buffer.from(entry.payload).toString("base64")}`,
      );
      return `${group} ${state} after ${after.index}@${after.epoch} [${list.join(" ")}]`;
    })
    .join("\n");
}

/** A batch that may follow the model. Sizes vary around those of the tiny segments tests use. */
export function randomBatch(random: Random, model: Model, groupCount: number, epoch: number): LogBatch {
  const group = below(random, groupCount);
  const known = model.groups.get(group);
  const last = model.lastOf(group);
  const first = known?.after.index ?? 0;
  const choice = random();
  const restart =
    choice < 0.03 ? { restartAfter: { index: last + below(random, 5), epoch } } : ({} as Partial<LogBatch>);
  const truncate =
    restart.restartAfter === undefined && choice < 0.2
      ? { truncateAfter: first + below(random, last - first + 1) }
      : ({} as Partial<LogBatch>);
  let index = restart.restartAfter?.index ?? truncate.truncateAfter ?? last;
  const entries: WalEntry[] = [];
  const count = choice > 0.9 ? 0 : below(random, 5);
  for (let at = 0; at < count; at++) {
    const size = random() < 0.05 ? below(random, 3000) : below(random, 120);
    const payload = Uint8Array.from({ length: size }, () => below(random, 256));
    entries.push({ index: ++index, epoch, kind: below(random, 3), payload });
  }
  const hard =
    random() < 0.3
      ? {
          hardState: {
            promised: { round: epoch, node: below(random, 5) },
            accepted: { round: below(random, 2 ** 20) * 2 ** 30, node: below(random, 5) },
            commit: below(random, index + 1),
          },
        }
      : {};
  return { group, entries, mustSync: random() < 0.8, ...restart, ...truncate, ...hard };
}

/** A point to which a group with entries may be compacted; undefined when there is none. */
export function randomCompaction(random: Random, model: Model): LogBatch | undefined {
  const groups = [...model.groups.values()].filter((group) => group.entries.length > 0);
  const group = groups[below(random, groups.length)];
  if (group === undefined) return undefined;
  const entry = group.entries[below(random, group.entries.length)];
  assert(entry !== undefined, "the group has entries");
  return {
    group: group.group,
    entries: [],
    mustSync: false,
    compactTo: { index: entry.index, epoch: entry.epoch },
  };
}
