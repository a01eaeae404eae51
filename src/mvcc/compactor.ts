// The physical half of a compaction: walks the index a few leaves at a time beside traffic, drops what
// can no longer be read and deletes its rows. A restart begins an unfinished walk again; doing it
// twice is harmless.

import type { WriteBehind } from "../storage/types.js";
import type { KeyIndex } from "./index/key-index.js";
import { invariant } from "./invariant.js";
import type { Pins } from "./pins.js";
import type { RowStore } from "./row-store.js";

/** Leaves looked at before traffic gets its turn. */
const leavesPerTurn = 32;

export interface CompactorOptions {
  readonly index: KeyIndex;
  readonly rows: RowStore;
  readonly buffer: WriteBehind;
  readonly pins: Pins;
  /** Notes in the buffer that everything up to here was removed. */
  readonly noteSwept: (revision: number) => void;
  /** Commits what was put into the buffer, unless an entry is being applied: its end will. */
  readonly commit: () => void;
  /** Lets other work run. */
  readonly pause: () => Promise<void>;
  readonly onFatal: (error: Error) => void;
  /** Rows deleted before traffic gets its turn. */
  readonly rowsPerTurn: number;
  /** Removal is finished up to this revision. */
  readonly swept: number;
}

/** Revisions dropped from the index whose rows are still to be deleted: a chain, then its newest. */
interface Dropped {
  chain: number;
  readonly lastMain: number;
  readonly lastSub: number;
}

export class Compactor {
  private swept: number;
  private target: number;
  private running = false;
  private closed = false;
  private readonly waiting: { readonly revision: number; readonly done: () => void }[] = [];

  constructor(private readonly options: CompactorOptions) {
    this.swept = options.swept;
    this.target = options.swept;
  }

  /** Resolves when everything that a compaction at `revision` drops is gone from this node. */
  schedule(revision: number): Promise<void> {
    this.target = Math.max(this.target, revision);
    const finished = new Promise<void>((done) => {
      if (this.swept >= revision) done();
      else this.waiting.push({ revision, done });
    });
    if (!this.running && this.target > this.swept) {
      this.running = true;
      this.run().catch((error: unknown) => this.options.onFatal(error as Error));
    }
    return finished;
  }

  /** Stops at the next turn. What waits for the end of the removal waits on. */
  close(): void {
    this.closed = true;
  }

  /** Stops because all rows are going away, which finishes every removal. */
  retire(): void {
    this.closed = true;
    for (const { done } of this.waiting.splice(0)) done();
  }

  private async run(): Promise<void> {
    const { pause, pins, buffer, noteSwept, commit } = this.options;
    await pause();
    while (this.target > this.swept && !this.closed) {
      const revision = this.target;
      await pins.noneBelow(revision);
      await this.sweep(revision);
      if (this.closed) return;
      this.swept = revision;
      noteSwept(revision);
      commit();
      await buffer.flush();
      for (let at = this.waiting.length - 1; at >= 0; at--)
        if (this.waiting[at]!.revision <= revision) this.waiting.splice(at, 1)[0]!.done();
    }
    this.running = false;
  }

  private async sweep(revision: number): Promise<void> {
    const { index, buffer, commit, pause, rowsPerTurn } = this.options;
    const garbage: Dropped[] = [];
    let cursor: Uint8Array | undefined;
    let more = true;
    while ((more || garbage.length > 0) && !this.closed) {
      for (let leaf = 0; more && leaf < leavesPerTurn && garbage.length < rowsPerTurn; leaf++) {
        cursor = index.sweepLeaf(cursor, revision, (chain, lastMain, lastSub) => {
          garbage.push({ chain, lastMain, lastSub });
        });
        more = cursor !== undefined;
      }
      if (garbage.length > 0) {
        this.removeRows(garbage);
        commit();
      }
      if (buffer.overloaded) await buffer.flush();
      else await pause();
    }
  }

  /**
   * Deletes the rows of dropped revisions, the newest of a key last: were it gone first, an older one
   * would take its place after a crash.
   */
  private removeRows(garbage: Dropped[]): void {
    const { rows, index } = this.options;
    const { history } = index;
    let budget = this.options.rowsPerTurn;
    while (budget > 0) {
      const dropped = garbage[garbage.length - 1];
      if (dropped === undefined) return;
      while (dropped.chain !== 0 && budget > 0) {
        const node = dropped.chain;
        rows.remove(history.main(node), history.sub(node));
        dropped.chain = history.next(node);
        history.release(node);
        budget--;
      }
      if (dropped.chain !== 0) return;
      if (dropped.lastMain !== 0) {
        rows.remove(dropped.lastMain, dropped.lastSub);
        budget--;
      }
      invariant(garbage.pop() === dropped, "garbage is removed from its end");
    }
  }
}
