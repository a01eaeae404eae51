// What clients may rely on, judged from outside: every put has a serial of its own, and the order in
// which puts were committed is the order in which they took effect. An acknowledged put is never lost or
// reordered, a refused one never takes effect, a linearizable read sees every put acknowledged and every
// value read before it began. What happened to the rest is unknown and stays so.

import { type Entry, EntryKind, type Index } from "../consensus/types.js";
import { violated } from "./invariants/invariant.js";
import { decodePut, keyCount } from "./state-machine.js";

interface PutRecord {
  /** Everything at or below this index was known to clients when the put began. */
  readonly knownBefore: Index;
  refused: boolean;
}

export class Oracle {
  private readonly puts = new Map<number, PutRecord>();
  /** Index at which a put was committed, by serial. */
  private readonly positions = new Map<number, Index>();
  /** Indices of the committed puts on each key, ascending. */
  private readonly histories: Index[][] = Array.from({ length: keyCount }, () => []);
  /** Highest index of an effect that some client has seen. */
  private known: Index = 0;

  beginPut(serial: number): void {
    this.puts.set(serial, { knownBefore: this.known, refused: false });
  }

  /** An entry was committed for the first time anywhere. */
  committed(entry: Entry): void {
    if (entry.kind !== EntryKind.command) return;
    const { key, serial } = decodePut(entry.payload);
    const put = this.puts.get(serial);
    if (put === undefined) broken("only what clients asked for", `serial ${serial} at ${entry.index}`);
    const position = this.positions.get(serial);
    if (position !== undefined) broken(`put ${serial} once, at ${position}`, `again at ${entry.index}`);
    if (put.refused) broken(`refused put ${serial} without effect`, `it committed at ${entry.index}`);
    if (entry.index <= put.knownBefore) {
      broken(`put ${serial} after ${put.knownBefore}, acknowledged before it began`, `it at ${entry.index}`);
    }
    this.positions.set(serial, entry.index);
    this.histories[key]!.push(entry.index);
  }

  acknowledged(serial: number): void {
    const position = this.positions.get(serial);
    if (position === undefined) broken(`acknowledged put ${serial} committed`, "it nowhere");
    this.known = Math.max(this.known, position);
  }

  /** The put was refused for certain. */
  refused(serial: number): void {
    const position = this.positions.get(serial);
    if (position !== undefined) broken(`refused put ${serial} without effect`, `it committed at ${position}`);
    this.puts.get(serial)!.refused = true;
  }

  /** Index of the oldest put whose value a read of the key that begins now may return; 0 for none. */
  beginRead(key: number): Index {
    const history = this.histories[key]!;
    let at = history.length;
    while (at > 0 && history[at - 1]! > this.known) at--;
    return at === 0 ? 0 : history[at - 1]!;
  }

  answered(key: number, floor: Index, serial: number): void {
    const position = serial === 0 ? 0 : this.positions.get(serial);
    if (position === undefined) broken("only committed values to be read", `serial ${serial}`);
    if (position < floor) {
      broken(
        `a read of key ${key} to see the put at ${floor}, known before it began`,
        `the value written at ${position}`,
      );
    }
    this.known = Math.max(this.known, position);
  }
}

function broken(expected: string, found: string): never {
  violated(expected, found, "client oracle");
}
