// Methods of a generated service descriptor as functions on a channel.

import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type CallEnd, type CallOptions, type Channel, type ClientStream, RpcError, Status } from "./call.js";
import { MessageQueue } from "./message-queue.js";

export interface TypedCallOptions extends CallOptions {
  /** Cancels the call. */
  readonly signal?: AbortSignal;
}

type Init<I extends DescMessage> = MessageInitShape<I>;

/** The function a method of a descriptor becomes. Calls that fail throw RpcError. */
export type ClientMethod<M> = M extends {
  readonly methodKind: infer Kind;
  readonly input: infer I extends DescMessage;
  readonly output: infer O extends DescMessage;
}
  ? Kind extends "unary"
    ? (request: Init<I>, options?: TypedCallOptions) => Promise<MessageShape<O>>
    : Kind extends "server_streaming"
      ? (request: Init<I>, options?: TypedCallOptions) => AsyncIterable<MessageShape<O>>
      : Kind extends "client_streaming"
        ? (requests: AsyncIterable<Init<I>>, options?: TypedCallOptions) => Promise<MessageShape<O>>
        : (requests: AsyncIterable<Init<I>>, options?: TypedCallOptions) => AsyncIterable<MessageShape<O>>
  : never;

export type TypedClient<S extends DescService> = {
  readonly [K in keyof S["method"]]: ClientMethod<S["method"][K]>;
};

export function typedClient<S extends DescService>(channel: Channel, service: S): TypedClient<S> {
  const client: Record<string, unknown> = {};
  for (const method of service.methods) client[method.localName] = clientMethod(channel, method);
  return client as TypedClient<S>;
}

type Requests = AsyncIterable<MessageInitShape<DescMessage>>;

function clientMethod(channel: Channel, method: DescMethod): unknown {
  const kind = method.methodKind;
  switch (kind) {
    case "unary":
      return async (request: MessageInitShape<DescMessage>, options: TypedCallOptions = {}) =>
        options.signal === undefined
          ? unary(channel, method, request, options)
          : single(stream(channel, method, one(request), options));
    case "server_streaming":
      return (request: MessageInitShape<DescMessage>, options: TypedCallOptions = {}) =>
        stream(channel, method, one(request), options);
    case "client_streaming":
      return (requests: Requests, options: TypedCallOptions = {}) =>
        single(stream(channel, method, requests, options));
    case "bidi_streaming":
      return (requests: Requests, options: TypedCallOptions = {}) =>
        stream(channel, method, requests, options);
    default:
      return kind satisfies never;
  }
}

function path(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encode(method: DescMethod, init: MessageInitShape<DescMessage>): Uint8Array {
  return toBinary(method.input, create(method.input, init));
}

function decode(method: DescMethod, bytes: Uint8Array): unknown {
  try {
    return fromBinary(method.output, bytes);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new RpcError(Status.INTERNAL, `grpc: failed to unmarshal the received message: ${detail}`);
  }
}

function failure(end: CallEnd): RpcError {
  return new RpcError(end.code, end.message, end.trailers);
}

function unary(
  channel: Channel,
  method: DescMethod,
  request: MessageInitShape<DescMessage>,
  options: CallOptions,
): Promise<unknown> {
  const bytes = encode(method, request);
  return new Promise((resolve, reject) => {
    channel.unary(path(method), bytes, options, (end, message) => {
      if (end.code !== Status.OK || message === undefined) {
        reject(failure(end));
        return;
      }
      try {
        resolve(decode(method, message));
      } catch (error) {
        reject(error);
      }
    });
  });
}

async function* one(
  request: MessageInitShape<DescMessage>,
): AsyncGenerator<MessageInitShape<DescMessage>, void, void> {
  yield request;
}

async function single(responses: AsyncIterable<unknown>): Promise<unknown> {
  let only: { readonly response: unknown } | undefined;
  for await (const response of responses) {
    if (only !== undefined) throw new RpcError(Status.INTERNAL, "more than one message in a unary response");
    only = { response };
  }
  if (only === undefined) throw new RpcError(Status.INTERNAL, "no message in a unary response");
  return only.response;
}

/** Opens the call at once; the iterable is read once. Leaving it early cancels the call. */
function stream(
  channel: Channel,
  method: DescMethod,
  requests: Requests,
  options: TypedCallOptions,
): AsyncIterable<unknown> {
  let over = false;
  let drained: (() => void) | undefined;
  const responses = new MessageQueue<unknown>(
    (paused) => call.pause(paused),
    () => call.cancel(),
  );
  const call: ClientStream = channel.stream(path(method), options, {
    message: (bytes) => {
      try {
        responses.push(decode(method, bytes));
      } catch (error) {
        responses.finish(error);
        call.cancel();
      }
    },
    end: (end) => {
      over = true;
      drained?.();
      responses.finish(end.code === Status.OK ? undefined : failure(end));
    },
  });
  const abort = (): void => call.cancel();
  if (options.signal?.aborted === true) abort();
  else options.signal?.addEventListener("abort", abort, { once: true });

  const send = async (): Promise<void> => {
    for await (const request of requests) {
      if (over) return;
      if (call.write(encode(method, request)) || over) continue;
      await new Promise<void>((resolve) => {
        drained = resolve;
        call.onDrain(resolve);
      });
    }
    call.halfClose();
  };
  send().catch((error) => {
    // The caller's own iterable failed: that, not the cancellation, is what they must see.
    responses.finish(error);
    call.cancel();
  });
  return responses;
}
