// A reader of one watch for tests: takes what the hub hands over, checks what must hold of every single
// batch, and keeps the events in plain form.

import assert from "node:assert/strict";
import { fromBinary } from "@bufbuild/protobuf";
import { WatchResponseSchema } from "../../gen/etcdserverpb/rpc_pb.js";
import { Event_EventType, type KeyValue as WireKeyValue } from "../../gen/mvccpb/kv_pb.js";
import type { KeyValue } from "../../mvcc/messages.js";
import type { NaiveStore } from "../../mvcc/naive-store.js";
import { rangeEnd } from "../../mvcc/range.js";
import { bytes } from "../../mvcc/request-generators.js";
import type { WatchEvent } from "../../mvcc/watch/event.js";
import { Watcher, type WatchOutput } from "../../mvcc/watch/watcher.js";

export interface WatchSpec {
  readonly key: string;
  readonly end: string;
  readonly puts: boolean;
  readonly deletes: boolean;
  readonly withPrevious: boolean;
}

export const everyEvent: WatchSpec = {
  key: "\0",
  end: "\0",
  puts: true,
  deletes: true,
  withPrevious: false,
};

export interface Seen {
  readonly revision: number;
  readonly text: string;
  /** Value before; undefined when none was sent. */
  readonly previous: string | undefined;
}

const latin1 = (value: Uint8Array): string => Buffer.from(value).toString("latin1");

function textOf(kind: string, kv: KeyValue | WireKeyValue): string {
  const { key, createRevision, modRevision, version, value, lease } = kv;
  return [kind, latin1(key), createRevision, modRevision, version, latin1(value), lease].join(" ");
}

export class WatchReader implements WatchOutput {
  ready = true;
  isStopped = false;
  readonly seen: Seen[] = [];
  /** Revisions of headers. */
  readonly headers: number[] = [];
  compactedAt: number | undefined;
  readonly watcher: Watcher;
  /** Batches after which it takes nothing for now. */
  patience = Number.POSITIVE_INFINITY;

  constructor(
    readonly spec: WatchSpec,
    /** The first revision it must be told of. */
    readonly start: number,
  ) {
    const { key, end, ...options } = spec;
    this.watcher = new Watcher(this, { ...options, key: bytes(key), end: rangeEnd(bytes(end)) });
  }

  events(watcher: Watcher, revision: number, events: readonly WatchEvent[]): void {
    assert.ok(this.ready, "nothing is handed to a reader that is not ready");
    assert.equal(this.compactedAt, undefined, "nothing follows the end");
    assert.ok(events.length > 0, "no batch is empty");
    const encoded = events.map((event) => (watcher.withPrevious ? event.withPrevious : event.bytes));
    const first = events[0]!.revision;
    const before = this.seen.at(-1)?.revision ?? 0;
    assert.ok(first > before, `revision ${first} is not split and comes after ${before}`);
    for (const { type, kv, prevKv } of fromBinary(WatchResponseSchema, Buffer.concat(encoded)).events) {
      const kind = type === Event_EventType.PUT ? "put" : "delete";
      this.seen.push({
        revision: Number(kv!.modRevision),
        text: textOf(kind, kv!),
        previous: prevKv === undefined ? undefined : textOf("put", prevKv),
      });
    }
    assert.ok(revision >= this.seen.at(-1)!.revision, "the header is not older than the events");
    this.headers.push(revision);
    if (--this.patience <= 0) this.ready = false;
  }

  compacted(_watcher: Watcher, compactedRevision: number): void {
    this.compactedAt = compactedRevision;
  }

  stopped(): void {
    this.isStopped = true;
  }

  /** What must be seen of the revisions up to this one, without previous values. */
  expected(model: NaiveStore, through: number): string[] {
    const { key, end, puts, deletes } = this.spec;
    const texts: string[] = [];
    for (let revision = Math.max(2, this.start); revision <= through; revision++) {
      for (const { type, kv } of model.events[revision]!) {
        const name = latin1(kv.key);
        const inside = end === "" ? name === key : name >= key && (end === "\0" || name < end);
        if (inside && (type === "put" ? puts : deletes)) texts.push(textOf(type, kv));
      }
    }
    return texts;
  }

  /** Previous values must be those of the revision before, and may lack only where that is compacted. */
  checkPrevious(model: NaiveStore): void {
    for (const { revision, text, previous } of this.seen) {
      const [, name = ""] = text.split(" ");
      const before = model.states[revision - 1]!.get(Buffer.from(name, "latin1").toString("hex"));
      const isCreation = text.startsWith("put") && text.split(" ")[2] === text.split(" ")[3];
      const expected = isCreation || before === undefined ? undefined : textOf("put", before);
      if (!this.spec.withPrevious) assert.equal(previous, undefined);
      else if (previous !== undefined || model.compacted <= revision - 1) assert.equal(previous, expected);
    }
  }
}
