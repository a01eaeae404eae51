// A client of the etcd API for tests of watches: @grpc/grpc-js and @bufbuild/protobuf, none of our own
// code, so that the same scenario can be played to any server. Everything that arrives is kept.

import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, Metadata } from "@grpc/grpc-js";
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  PutRequestSchema,
  type RequestOpSchema,
  TxnRequestSchema,
  type WatchCreateRequestSchema,
  WatchRequestSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";

/** Milliseconds without any response after which a test has failed. */
const patienceMs = 15_000;

const same = (bytes: Buffer): Buffer => bytes;
const latin1 = (text: string): Uint8Array => Buffer.from(text, "latin1");

export type CreateFields = Omit<
  MessageInitShape<typeof WatchCreateRequestSchema>,
  "key" | "rangeEnd" | "$typeName"
> & {
  readonly key?: string;
  readonly rangeEnd?: string;
};

export class WatchClient {
  private readonly client: Client;

  constructor(readonly address: string) {
    this.client = new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
    });
  }

  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.client.waitForReady(Date.now() + 30_000, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    this.client.close();
  }

  private unary(method: string, schema: DescMessage, message: Record<string, unknown>): Promise<void> {
    const bytes = Buffer.from(toBinary(schema, create(schema, message)));
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(`/etcdserverpb.KV/${method}`, same, same, bytes, (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  }

  put(key: string, value = ""): Promise<void> {
    return this.unary("Put", PutRequestSchema, { key: latin1(key), value: latin1(value) });
  }

  del(key: string, rangeEnd = ""): Promise<void> {
    return this.unary("DeleteRange", DeleteRangeRequestSchema, {
      key: latin1(key),
      rangeEnd: latin1(rangeEnd),
    });
  }

  /** Operations as "put key value" and "del key end". */
  txn(...operations: readonly string[]): Promise<void> {
    const success = operations.map((operation): MessageInitShape<typeof RequestOpSchema> => {
      const [verb, key = "", other = ""] = operation.split(" ");
      return verb === "put"
        ? { request: { case: "requestPut", value: { key: latin1(key), value: latin1(other) } } }
        : { request: { case: "requestDeleteRange", value: { key: latin1(key), rangeEnd: latin1(other) } } };
    });
    return this.unary("Txn", TxnRequestSchema, { success });
  }

  compact(revision: number): Promise<void> {
    return this.unary("Compact", CompactionRequestSchema, { revision: BigInt(revision), physical: true });
  }

  watch(metadata: Readonly<Record<string, string>> = {}): WatchSession {
    const headers = new Metadata();
    for (const [name, value] of Object.entries(metadata)) headers.set(name, value);
    return new WatchSession(
      this.client.makeBidiStreamRequest("/etcdserverpb.Watch/Watch", same, same, headers),
    );
  }
}

/** One Watch stream. */
export class WatchSession {
  private readonly arrived: WatchResponse[] = [];
  private taken = 0;
  /** Sizes of the responses in bytes, in order. */
  readonly sizes: number[] = [];
  private wake: (() => void) | undefined;
  private end: string | undefined;

  constructor(private readonly call: ClientDuplexStream<Buffer, Buffer>) {
    call.on("data", (bytes: Buffer) => {
      this.arrived.push(fromBinary(WatchResponseSchema, bytes));
      this.sizes.push(bytes.length);
      this.wake?.();
    });
    call.on("error", () => {});
    call.on("status", ({ code, details }) => {
      this.end = `${code} ${details}`;
      this.wake?.();
    });
  }

  send(request: MessageInitShape<typeof WatchRequestSchema>["requestUnion"]): void {
    const message = create(WatchRequestSchema, request === undefined ? {} : { requestUnion: request });
    this.sendBytes(toBinary(WatchRequestSchema, message));
  }

  sendBytes(bytes: Uint8Array): void {
    this.call.write(Buffer.from(bytes));
  }

  create({ key = "", rangeEnd = "", ...fields }: CreateFields): void {
    const value = { ...fields, key: latin1(key), rangeEnd: latin1(rangeEnd) };
    this.send({ case: "createRequest", value });
  }

  cancel(watchId: bigint): void {
    this.send({ case: "cancelRequest", value: { watchId } });
  }

  progress(): void {
    this.send({ case: "progressRequest", value: {} });
  }

  halfClose(): void {
    this.call.end();
  }

  abort(): void {
    this.call.cancel();
  }

  /** Stops (true) or resumes reading: the server is made to wait. */
  pause(paused: boolean): void {
    if (paused) this.call.pause();
    else this.call.resume();
  }

  /** The next response. */
  async next(): Promise<WatchResponse> {
    while (this.taken === this.arrived.length) {
      if (this.end !== undefined) throw new Error(`the stream ended: ${this.end}`);
      await this.change();
    }
    return this.arrived[this.taken++]!;
  }

  /** Responses up to the first for which this holds, that one included. */
  async until(holds: (response: WatchResponse) => boolean): Promise<WatchResponse[]> {
    const responses: WatchResponse[] = [];
    for (;;) {
      const response = await this.next();
      responses.push(response);
      if (holds(response)) return responses;
    }
  }

  /** "code details" once the stream has ended. */
  async ended(): Promise<string> {
    while (this.end === undefined) await this.change();
    return this.end;
  }

  private async change(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error(`nothing came for ${patienceMs} ms, after ${this.arrived.length} responses`));
      }, patienceMs);
      this.wake = () => {
        clearTimeout(late);
        resolve();
      };
    });
    this.wake = undefined;
  }
}
