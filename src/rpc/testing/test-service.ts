// grpc.testing.TestService as gRPC's interoperability tests describe it. On raw methods, since the
// tests look at single messages (whether each is compressed) and want trailers behind unary answers.

import { setTimeout as delay } from "node:timers/promises";
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import {
  type BoolValue,
  type EchoStatus,
  SimpleRequestSchema,
  SimpleResponseSchema,
  StreamingInputCallRequestSchema,
  StreamingInputCallResponseSchema,
  type StreamingOutputCallRequest,
  StreamingOutputCallRequestSchema,
  StreamingOutputCallResponseSchema,
  TestService,
} from "../../gen/grpc/testing/test_pb.js";
import { type Metadata, type RawMethod, RpcError, Status, type StreamCall } from "../call.js";
import { MessageQueue } from "../message-queue.js";
import { serviceMethods } from "../typed.js";

const initialName = "x-grpc-test-echo-initial";
const trailingName = "x-grpc-test-echo-trailing-bin";

interface Received<I extends DescMessage> {
  readonly request: MessageShape<I>;
  readonly compressed: boolean;
}

type Requests<I extends DescMessage> = AsyncIterable<Received<I>>;

/** All of TestService; UnimplementedCall answers UNIMPLEMENTED. */
export function testServiceMethods(): RawMethod[] {
  const raw = [
    method("UnaryCall", SimpleRequestSchema, unaryCall),
    method("StreamingInputCall", StreamingInputCallRequestSchema, streamingInputCall),
    method("StreamingOutputCall", StreamingOutputCallRequestSchema, fullDuplexCall),
    method("FullDuplexCall", StreamingOutputCallRequestSchema, fullDuplexCall),
    method("HalfDuplexCall", StreamingOutputCallRequestSchema, halfDuplexCall),
  ];
  const own = new Set(raw.map(({ path }) => path));
  const typed = serviceMethods(TestService, { emptyCall: () => ({}) });
  return [...raw, ...typed.filter(({ path }) => !own.has(path))];
}

function method<I extends DescMessage>(
  name: string,
  input: I,
  handle: (requests: Requests<I>, call: StreamCall) => Promise<void>,
): RawMethod {
  return {
    kind: "stream",
    path: `/${TestService.typeName}/${name}`,
    handle: (call) => {
      const requests = new MessageQueue<Received<I>>((paused) => call.pause(paused));
      call.onMessage((message) => {
        const compressed = call.compression?.messageCompressed === true;
        requests.push({ request: fromBinary(input, message), compressed });
      });
      call.onHalfClose(() => requests.finish());
      call.onCancel(() => requests.finish(new RpcError(Status.CANCELLED, "cancelled")));
      const initial = metadataNamed(call, initialName);
      if (initial.length > 0) call.sendMetadata(initial);
      handle(requests, call).then(
        () => call.end(Status.OK, "", metadataNamed(call, trailingName)),
        (error: unknown) => fail(call, error),
      );
    },
  };
}

function fail(call: StreamCall, error: unknown): void {
  const trailers = metadataNamed(call, trailingName);
  if (error instanceof RpcError) call.end(error.code, error.message, trailers);
  else call.end(Status.UNKNOWN, String(error), trailers);
}

function metadataNamed(call: StreamCall, wanted: string): Metadata {
  return call.metadata.filter(([name]) => name === wanted);
}

async function unaryCall(requests: Requests<typeof SimpleRequestSchema>, call: StreamCall): Promise<void> {
  for await (const { request, compressed } of requests) {
    checkCompressed(request.expectCompressed, compressed);
    failAsAsked(request.responseStatus);
    if (request.responseCompressed !== undefined)
      call.compression?.compress(request.responseCompressed.value);
    const payload = { body: new Uint8Array(request.responseSize) };
    call.write(toBinary(SimpleResponseSchema, create(SimpleResponseSchema, { payload })));
  }
}

async function streamingInputCall(
  requests: Requests<typeof StreamingInputCallRequestSchema>,
  call: StreamCall,
): Promise<void> {
  let aggregatedPayloadSize = 0;
  for await (const { request, compressed } of requests) {
    checkCompressed(request.expectCompressed, compressed);
    aggregatedPayloadSize += request.payload?.body.length ?? 0;
  }
  const response = create(StreamingInputCallResponseSchema, { aggregatedPayloadSize });
  call.write(toBinary(StreamingInputCallResponseSchema, response));
}

async function fullDuplexCall(
  requests: Requests<typeof StreamingOutputCallRequestSchema>,
  call: StreamCall,
): Promise<void> {
  let first = metadataNamed(call, initialName).length === 0;
  for await (const { request } of requests) {
    await answer(request, call, first);
    first = false;
  }
}

async function halfDuplexCall(
  requests: Requests<typeof StreamingOutputCallRequestSchema>,
  call: StreamCall,
): Promise<void> {
  const all: StreamingOutputCallRequest[] = [];
  for await (const { request } of requests) all.push(request);
  for (const [index, request] of all.entries()) await answer(request, call, index === 0);
}

async function answer(request: StreamingOutputCallRequest, call: StreamCall, first: boolean): Promise<void> {
  failAsAsked(request.responseStatus);
  // The headers, which leave before the first response, announce whether any may be compressed.
  if (first && request.responseParameters.some(({ compressed }) => compressed?.value === true)) {
    call.compression?.compress(true);
    call.sendMetadata([]);
  }
  for (const { size, intervalUs, compressed } of request.responseParameters) {
    if (intervalUs > 0) await delay(intervalUs / 1000);
    if (compressed !== undefined) call.compression?.compress(compressed.value);
    const response = create(StreamingOutputCallResponseSchema, { payload: { body: new Uint8Array(size) } });
    call.write(toBinary(StreamingOutputCallResponseSchema, response));
  }
}

function failAsAsked(status: EchoStatus | undefined): void {
  if (status !== undefined && status.code !== 0) throw new RpcError(status.code as Status, status.message);
}

function checkCompressed(expected: BoolValue | undefined, compressed: boolean): void {
  if (expected === undefined || expected.value === compressed) return;
  const text = `the message is ${compressed ? "" : "not "}compressed`;
  throw new RpcError(Status.INVALID_ARGUMENT, text);
}
