// Handlers typed from generated service descriptors, turned into raw methods. Messages are decoded and
// encoded by @bufbuild/protobuf; streams are async iterables with back-pressure both ways.

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
import { type Metadata, type RawMethod, RpcError, type ServerCall, Status, type StreamCall } from "./call.js";
import { MessageQueue } from "./message-queue.js";

export { type TypedClient, typedClient } from "./typed-client.js";

/** What a typed handler knows of its call besides the message. */
export interface CallContext {
  readonly call: ServerCall;
  readonly metadata: Metadata;
  /** Aborted when the call ends before the handler does: cancelled, timed out, connection lost. */
  readonly signal: AbortSignal;
  /** Sent behind the last message of a stream that ends with OK. Errors carry their own trailers. */
  trailers: Metadata;
}

type MaybePromise<T> = T | Promise<T>;

/** The handler a method of a descriptor asks for. */
export type Handler<M> = M extends {
  readonly methodKind: infer Kind;
  readonly input: infer I extends DescMessage;
  readonly output: infer O extends DescMessage;
}
  ? Kind extends "unary"
    ? (request: MessageShape<I>, context: CallContext) => MaybePromise<MessageInitShape<O>>
    : Kind extends "server_streaming"
      ? (request: MessageShape<I>, context: CallContext) => AsyncIterable<MessageInitShape<O>>
      : Kind extends "client_streaming"
        ? (
            requests: AsyncIterable<MessageShape<I>>,
            context: CallContext,
          ) => MaybePromise<MessageInitShape<O>>
        : (
            requests: AsyncIterable<MessageShape<I>>,
            context: CallContext,
          ) => AsyncIterable<MessageInitShape<O>>
  : never;

export type Handlers<S extends DescService> = { readonly [K in keyof S["method"]]?: Handler<S["method"][K]> };

export interface ServiceOptions {
  /** A handler threw something that is not an RpcError; the caller got UNKNOWN with its message. */
  readonly onError?: (error: unknown, path: string) => void;
}

type AnyHandler = (request: unknown, context: CallContext) => unknown;

class Context implements CallContext {
  trailers: Metadata = [];
  private controller: AbortController | undefined;

  constructor(readonly call: ServerCall) {}

  get metadata(): Metadata {
    return this.call.metadata;
  }

  get signal(): AbortSignal {
    if (this.controller === undefined) {
      const controller = new AbortController();
      this.controller = controller;
      this.call.onCancel(() => controller.abort(new RpcError(Status.CANCELLED, "the call was cancelled")));
    }
    return this.controller.signal;
  }
}

/** Raw methods for every method of the service; those without a handler answer UNIMPLEMENTED. */
export function serviceMethods<S extends DescService>(
  service: S,
  handlers: Handlers<S>,
  options: ServiceOptions = {},
): RawMethod[] {
  return service.methods.map((method) => {
    const path = methodPath(method);
    const handler = (handlers as Record<string, AnyHandler | undefined>)[method.localName];
    if (handler === undefined) return unimplemented(path, method);
    const bound = handler.bind(handlers);
    return method.methodKind === "unary"
      ? unaryMethod(path, method, bound, options)
      : streamMethod(path, method, bound, options);
  });
}

export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function unimplemented(path: string, method: DescMethod): RawMethod {
  const message = `unknown method ${method.name} for service ${method.parent.typeName}`;
  return method.methodKind === "unary"
    ? { kind: "unary", path, handle: (_, call) => call.end(Status.UNIMPLEMENTED, message) }
    : { kind: "stream", path, handle: (call) => call.end(Status.UNIMPLEMENTED, message) };
}

function decode(schema: DescMessage, bytes: Uint8Array): unknown {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new RpcError(Status.INTERNAL, `grpc: error unmarshalling request: ${detail}`);
  }
}

function encode(schema: DescMessage, init: unknown): Uint8Array {
  return toBinary(schema, create(schema, init as MessageInitShape<DescMessage>));
}

function fail(error: unknown, call: ServerCall, options: ServiceOptions): void {
  let defect = error;
  if (error instanceof RpcError) {
    try {
      call.end(error.code, error.message, error.trailers);
      return;
    } catch (invalidTrailers) {
      defect = invalidTrailers;
    }
  }
  options.onError?.(defect, call.path);
  call.end(Status.UNKNOWN, defect instanceof Error ? defect.message : String(defect));
}

function unaryMethod(
  path: string,
  method: DescMethod,
  handler: AnyHandler,
  options: ServiceOptions,
): RawMethod {
  return {
    kind: "unary",
    path,
    handle: (message, call) => {
      const context = new Context(call);
      const answer = (response: unknown): void => {
        if (context.trailers.length > 0) throw new Error(`${path}: a unary success carries no trailers`);
        call.respond(encode(method.output, response));
      };
      try {
        const result = handler(decode(method.input, message), context);
        if (!(result instanceof Promise)) answer(result);
        else result.then(answer).catch((error) => fail(error, call, options));
      } catch (error) {
        fail(error, call, options);
      }
    },
  };
}

function streamMethod(
  path: string,
  method: DescMethod,
  handler: AnyHandler,
  options: ServiceOptions,
): RawMethod {
  return {
    kind: "stream",
    path,
    handle: (call) => {
      const context = new Context(call);
      const requests = requestQueue(method, call);
      runStream(method, handler, requests, context, call).catch((error) => fail(error, call, options));
    },
  };
}

function requestQueue(method: DescMethod, call: StreamCall): MessageQueue<unknown> {
  const queue = new MessageQueue<unknown>((paused) => call.pause(paused));
  call.onMessage((bytes) => {
    try {
      queue.push(decode(method.input, bytes));
    } catch (error) {
      queue.finish(error);
      throw error;
    }
  });
  call.onHalfClose(() => queue.finish());
  return queue;
}

async function runStream(
  method: DescMethod,
  handler: AnyHandler,
  requests: MessageQueue<unknown>,
  context: Context,
  call: StreamCall,
): Promise<void> {
  let drained: (() => void) | undefined;
  call.onDrain(() => drained?.());
  const { signal } = context;
  signal.addEventListener("abort", () => {
    requests.finish(signal.reason);
    drained?.();
  });
  const single = method.methodKind === "server_streaming";
  const result = handler(single ? await onlyRequest(requests) : requests, context);
  if (method.methodKind === "client_streaming") {
    call.write(encode(method.output, await result));
  } else {
    for await (const response of result as AsyncIterable<unknown>) {
      if (call.ended) break;
      if (call.write(encode(method.output, response)) || call.ended) continue;
      await new Promise<void>((resolve) => {
        drained = resolve;
      });
      drained = undefined;
    }
  }
  call.end(Status.OK, "", context.trailers);
}

async function onlyRequest(requests: AsyncIterable<unknown>): Promise<unknown> {
  let only: { readonly request: unknown } | undefined;
  for await (const request of requests) {
    if (only !== undefined)
      throw new RpcError(Status.INTERNAL, "grpc: more than one message in a unary request");
    only = { request };
  }
  if (only === undefined) throw new RpcError(Status.INTERNAL, "grpc: unary request without a message");
  return only.request;
}
