// The cases of gRPC's interoperability tests that move payloads, on our client: they run plain and
// compressed, against different servers.

import assert from "node:assert/strict";
import type { TestService } from "../../gen/grpc/testing/test_pb.js";
import type { CallOptions } from "../call.js";
import type { TypedClient } from "../typed.js";

type Case = (client: TypedClient<typeof TestService>, options: CallOptions) => Promise<void>;

const requestSizes = [27_182, 8, 1828, 45_904];
const responseSizes = [31_415, 9, 2653, 58_979];

const payload = (size: number) => ({ body: new Uint8Array(size) });

const largeUnary: Case = async (client, options) => {
  const request = { responseSize: 314_159, payload: payload(271_828) };
  const response = await client.unaryCall(request, options);
  assert.equal(response.payload?.body.length, 314_159);
};

const clientStreaming: Case = async (client, options) => {
  async function* requests() {
    for (const size of requestSizes) yield { payload: payload(size) };
  }
  const response = await client.streamingInputCall(requests(), options);
  assert.equal(response.aggregatedPayloadSize, 74_922);
};

const serverStreaming: Case = async (client, options) => {
  const responseParameters = responseSizes.map((size) => ({ size }));
  const sizes: (number | undefined)[] = [];
  for await (const response of client.streamingOutputCall({ responseParameters }, options)) {
    sizes.push(response.payload?.body.length);
  }
  assert.deepEqual(sizes, responseSizes);
};

const pingPong: Case = async (client, options) => {
  let proceed: () => void = () => {};
  async function* requests() {
    for (const [index, size] of requestSizes.entries()) {
      const answered = new Promise<void>((resolve) => {
        proceed = resolve;
      });
      yield { responseParameters: [{ size: responseSizes[index]! }], payload: payload(size) };
      await answered;
    }
  }
  const sizes: (number | undefined)[] = [];
  for await (const response of client.fullDuplexCall(requests(), options)) {
    sizes.push(response.payload?.body.length);
    proceed();
  }
  assert.deepEqual(sizes, responseSizes);
};

export const payloadCases: readonly (readonly [name: string, run: Case])[] = [
  ["large_unary", largeUnary],
  ["client_streaming", clientStreaming],
  ["server_streaming", serverStreaming],
  ["ping_pong", pingPong],
];
