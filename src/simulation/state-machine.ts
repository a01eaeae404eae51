// The simulated state machine: a handful of registers, each holding the serial of the last put, and a
// hash over everything ever applied. Small enough to be copied for every snapshot.

import { decodeMembership } from "../consensus/membership/codec.js";
import { type Entry, EntryKind, type Membership, type SnapshotMeta } from "../consensus/types.js";
import { violated } from "./invariants/invariant.js";

export interface MachineState {
  readonly meta: SnapshotMeta;
  /** Serial of the last put by key; 0 for none. */
  readonly values: readonly number[];
  /** Over kind, epoch and payload of every entry applied, in order. */
  readonly hash: number;
}

export interface Put {
  readonly key: number;
  readonly serial: number;
}

export const keyCount = 4;
const headBytes = 5;

/** A put as payload: key, serial, and `padding` bytes that only take room. */
export function encodePut({ key, serial }: Put, padding: number): Uint8Array {
  const payload = new Uint8Array(headBytes + padding);
  new DataView(payload.buffer).setUint32(1, serial);
  payload[0] = key;
  return payload;
}

export function decodePut(payload: Uint8Array): Put {
  const serial = new DataView(payload.buffer, payload.byteOffset, payload.length).getUint32(1);
  return { key: payload[0]!, serial };
}

export function initialMachine(membership: Membership): MachineState {
  return {
    meta: { id: { index: 0, epoch: 0 }, membership, membershipIndex: 0 },
    values: new Array<number>(keyCount).fill(0),
    hash: 0,
  };
}

/** Folds one entry into the hash of everything before it. */
export function hashAfter(hash: number, entry: Entry): number {
  let folded = Math.imul(hash ^ entry.kind, 0x01000193);
  folded = Math.imul(folded ^ entry.epoch, 0x01000193);
  for (const byte of entry.payload) folded = Math.imul(folded ^ byte, 0x01000193);
  return folded >>> 0;
}

export class SimulatedMachine {
  constructor(private current: MachineState) {}

  /** A picture of now; what is applied later does not change it. */
  get state(): MachineState {
    return this.current;
  }

  get applied(): number {
    return this.current.meta.id.index;
  }

  apply(entry: Entry): void {
    const { meta, values, hash } = this.current;
    if (entry.index !== meta.id.index + 1) {
      broken(`entry ${meta.id.index + 1} to be applied next`, `entry ${entry.index}`);
    }
    const id = { index: entry.index, epoch: entry.epoch };
    switch (entry.kind) {
      case EntryKind.noop:
        this.current = { meta: { ...meta, id }, values, hash: hashAfter(hash, entry) };
        break;
      case EntryKind.command: {
        const { key, serial } = decodePut(entry.payload);
        const next = values.slice();
        next[key] = serial;
        this.current = { meta: { ...meta, id }, values: next, hash: hashAfter(hash, entry) };
        break;
      }
      case EntryKind.membership: {
        const { membership } = decodeMembership(entry.payload);
        this.current = {
          meta: { id, membership, membershipIndex: entry.index },
          values,
          hash: hashAfter(hash, entry),
        };
        break;
      }
      default:
        entry.kind satisfies never;
    }
  }

  install(state: MachineState): void {
    this.current = state;
  }
}

function broken(expected: string, found: string): never {
  violated(expected, found, "rules of Ready");
}
