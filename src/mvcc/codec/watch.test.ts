import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  type WatchRequest as PlainRequest,
  WatchRequestSchema,
  WatchResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import { WireError, WireWriter } from "../../protobuf/wire.js";
import { encodeKeyValue } from "../codec.js";
import { WatchEvent } from "../watch/event.js";
import { keyValues, revisions, unknownFields } from "./generators.js";
import {
  decodeWatchRequest,
  encodeWatchRequest,
  type WatchRequest,
  WatchResponseEncoder,
  watchId,
} from "./watch.js";

const int64s = fc.oneof(
  fc.constantFrom(0n, 1n, -1n, 300n),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
);
const plainRequests: fc.Arbitrary<PlainRequest> = fc
  .oneof(
    fc
      .record({
        key: fc.uint8Array({ maxLength: 12 }),
        rangeEnd: fc.uint8Array({ maxLength: 12 }),
        startRevision: int64s,
        progressNotify: fc.boolean(),
        filters: fc.array(fc.oneof(fc.nat(2), fc.integer()), { maxLength: 4 }),
        prevKv: fc.boolean(),
        watchId: int64s,
        fragment: fc.boolean(),
      })
      .map((value) => ({ case: "createRequest" as const, value })),
    int64s.map((id) => ({ case: "cancelRequest" as const, value: { watchId: id } })),
    fc.constant({ case: "progressRequest" as const, value: {} }),
    fc.constant({ case: undefined }),
  )
  .map((requestUnion) => create(WatchRequestSchema, { requestUnion }));

const safe = BigInt(Number.MAX_SAFE_INTEGER);
const clamp = (value: bigint): number => Number(value > safe ? safe : value < -safe ? -safe : value);

function expected({ requestUnion: { case: kind, value } }: PlainRequest): WatchRequest {
  switch (kind) {
    case "createRequest": {
      const { key, rangeEnd, progressNotify, filters, prevKv, fragment } = value;
      const startRevision = clamp(value.startRevision);
      return {
        kind: "create",
        key,
        rangeEnd,
        startRevision,
        progressNotify,
        filters,
        prevKv,
        watchId: value.watchId,
        fragment,
      };
    }
    case "cancelRequest":
      return { kind: "cancel", watchId: value.watchId };
    case "progressRequest":
      return { kind: "progress" };
    case undefined:
      return { kind: "none" };
    default:
      return kind satisfies never;
  }
}

function bare(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(bare);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, bare(field)]));
}
const assertSame = (found: unknown, wanted: unknown): void => assert.deepEqual(bare(found), bare(wanted));

test("watch requests are decoded as @bufbuild/protobuf decodes them, also one after another", () => {
  fc.assert(
    fc.property(plainRequests, plainRequests, unknownFields, (first, second, unknown) => {
      assertSame(
        decodeWatchRequest(Buffer.concat([unknown, toBinary(WatchRequestSchema, first)])),
        expected(first),
      );
      const both = Buffer.concat([toBinary(WatchRequestSchema, first), toBinary(WatchRequestSchema, second)]);
      assertSame(decodeWatchRequest(both), expected(fromBinary(WatchRequestSchema, both)));
    }),
  );
});

test("what we encode of a watch request, @bufbuild/protobuf decodes to the same", () => {
  fc.assert(
    fc.property(plainRequests, (plain) => {
      const request = expected(plain);
      assertSame(expected(fromBinary(WatchRequestSchema, encodeWatchRequest(request))), request);
      assertSame(decodeWatchRequest(encodeWatchRequest(request)), request);
    }),
  );
});

test("damaged watch requests throw WireError or mean something", () => {
  const damaged = fc
    .tuple(plainRequests, fc.nat(), fc.nat({ max: 255 }), fc.nat())
    .map(([plain, at, byte, cut]) => {
      const bytes = Buffer.from(toBinary(WatchRequestSchema, plain));
      if (bytes.length > 0) bytes[at % bytes.length] = byte;
      return bytes.subarray(0, cut % (bytes.length + 1));
    });
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 30 })), (bytes) => {
      try {
        assert.ok(typeof decodeWatchRequest(bytes).kind === "string");
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }),
  );
});

test("watch responses are byte for byte what @bufbuild/protobuf makes of them", () => {
  const clusterId = 0xcdf8_1818_1e33_1a7bn;
  const encoder = new WatchResponseEncoder(clusterId, 7n);
  const notices = fc.record({
    created: fc.boolean(),
    canceled: fc.boolean(),
    compactRevision: fc.nat(),
    cancelReason: fc.string({ maxLength: 20 }),
  });
  const terms = fc.integer({ min: 1, max: 1000 });
  fc.assert(
    fc.property(
      revisions,
      terms,
      int64s,
      notices,
      fc.array(keyValues, { maxLength: 4 }),
      fc.boolean(),
      (revision, term, id, notice, kvs, fragment) => {
        const header = { clusterId, memberId: 7n, revision: BigInt(revision), raftTerm: BigInt(term) };
        const plain = { header, watchId: id };
        const encodedId = watchId(id);
        assert.deepEqual(
          Buffer.from(encoder.notice(revision, term, encodedId, notice)),
          Buffer.from(
            toBinary(
              WatchResponseSchema,
              create(WatchResponseSchema, {
                ...plain,
                ...notice,
                compactRevision: BigInt(notice.compactRevision),
              }),
            ),
          ),
        );
        const writer = new WireWriter();
        const kept = kvs.filter(({ key }) => key.length > 0);
        const events = kept.map((kv, at) => {
          const event = new WatchEvent(kv.modRevision, encodeKeyValue(kv), writer);
          const previous = kept[at - 1];
          if (!event.complete)
            event.complement(previous === undefined ? undefined : encodeKeyValue(previous));
          assert.deepEqual(Buffer.from(event.key), Buffer.from(kv.key));
          return event;
        });
        for (const withPrevious of [false, true]) {
          const wire = events.map((event) => (withPrevious ? event.withPrevious : event.bytes));
          const bytes = encoder.events(revision, term, encodedId, wire, fragment);
          const wireKv = (kv: (typeof kvs)[number]) => ({
            key: kv.key,
            createRevision: BigInt(kv.createRevision),
            modRevision: BigInt(kv.modRevision),
            version: BigInt(kv.version),
            value: kv.value,
            lease: kv.lease,
          });
          const message = create(WatchResponseSchema, {
            ...plain,
            fragment,
            events: kept.map((kv, at) => {
              const created = kv.version !== 0 && kv.createRevision === kv.modRevision;
              const previous = withPrevious && !created ? kept[at - 1] : undefined;
              return {
                type: kv.version === 0 ? 1 : 0,
                kv: wireKv(kv),
                ...(previous === undefined ? {} : { prevKv: wireKv(previous) }),
              };
            }),
          });
          assert.deepEqual(Buffer.from(bytes), Buffer.from(toBinary(WatchResponseSchema, message)));
          const base = encoder.baseBytes(revision, term, encodedId, fragment);
          assert.equal(
            bytes.length,
            wire.reduce((sum, { length }) => sum + length, base),
          );
        }
      },
    ),
  );
});
