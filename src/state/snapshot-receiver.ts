// Receives a snapshot into a generation of its own, beside the present state.

import type { SnapshotMeta } from "../consensus/types.js";
import { Table } from "../mvcc/rows.js";
import type { SnapshotSink } from "../replication/state-machine.js";
import type { KeyValueStore, StoreOperation } from "../storage/types.js";
import type { Generation } from "./layout.js";
import { ChunkReader, CorruptSnapshot } from "./snapshot-format.js";
import { decodeState } from "./state-row.js";

export class SnapshotReceiver implements SnapshotSink {
  private readonly reader = new ChunkReader();
  private readonly prefix: Uint8Array;
  private stateRow: Uint8Array | undefined;
  private progress: "receiving" | "finished" | "installed" | "aborted" = "receiving";

  constructor(
    private readonly store: KeyValueStore,
    private readonly generation: Generation,
    private readonly meta: SnapshotMeta,
    private readonly replace: () => Promise<void>,
  ) {
    this.prefix = generation.start;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.expect("receiving");
    const rows = this.reader.read(chunk);
    const operations: StoreOperation[] = [];
    for (const [suffix, value] of rows) {
      if (suffix[0] === Table.state) this.checkState(value);
      else if (suffix[0] !== Table.revisions && suffix[0] !== Table.leases)
        throw new CorruptSnapshot(`a row of table ${suffix[0]} does not belong in a snapshot`);
      operations.push({ type: "put", key: Buffer.concat([this.prefix, suffix]), value });
    }
    if (operations.length > 0) await this.store.write(operations);
  }

  private checkState(row: Uint8Array): void {
    const { id, membershipIndex } = decodeState(row);
    const { meta } = this;
    if (id.index !== meta.id.index || id.epoch !== meta.id.epoch || membershipIndex !== meta.membershipIndex)
      throw new CorruptSnapshot(
        `the snapshot stands for entry ${id.index} of epoch ${id.epoch}, not ${meta.id.index} of ${meta.id.epoch}`,
      );
    this.stateRow = row;
  }

  async finish(): Promise<void> {
    this.expect("receiving");
    if (!this.reader.finished) throw new CorruptSnapshot("the snapshot ends too early");
    if (this.stateRow === undefined) throw new CorruptSnapshot("the snapshot has no state row");
    await this.store.write([{ type: "put", key: this.generation.stateKey, value: this.stateRow }], {
      sync: true,
    });
    this.progress = "finished";
  }

  async install(): Promise<void> {
    this.expect("finished");
    await this.replace();
    this.progress = "installed";
  }

  async abort(): Promise<void> {
    if (this.progress === "installed" || this.progress === "aborted") return;
    this.progress = "aborted";
    await this.store.clearRange(this.generation.start, this.generation.end);
  }

  private expect(progress: string): void {
    if (this.progress !== progress)
      throw new TypeError(`the snapshot is ${this.progress} where it should be ${progress}`);
  }
}
