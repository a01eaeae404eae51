// Serves a method that is called rarely on @bufbuild/protobuf's messages and a promise: the cluster's
// and the maintenance services. Hot methods do without (kv.ts).

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type RawMethod, RpcError, type ServerCall, type UnaryCall } from "../../rpc/call.js";
import type { ApiContext } from "../context.js";
import { errors, fail, malformed } from "../errors.js";
import { admit } from "./admission.js";

export interface TypedMethod<I extends DescMessage, O extends DescMessage> {
  readonly path: string;
  readonly request: I;
  readonly response: O;
  /** Answered by learners too. */
  readonly learnersToo?: boolean;
  /** Throws RpcError to refuse. */
  readonly handle: (request: MessageShape<I>, call: ServerCall) => Promise<MessageInitShape<O>>;
}

export function typedMethod<I extends DescMessage, O extends DescMessage>(
  context: ApiContext,
  method: TypedMethod<I, O>,
): RawMethod {
  const answer = async (request: MessageShape<I>, call: UnaryCall): Promise<void> => {
    const response = await method.handle(request, call);
    call.respond(toBinary(method.response, create(method.response, response)));
  };
  return {
    kind: "unary",
    path: method.path,
    handle: (message, call) => {
      let request: MessageShape<I>;
      try {
        // The message is valid during this call only, and bytes fields are views into it.
        request = fromBinary(method.request, Uint8Array.from(message));
      } catch (error) {
        malformed(call, error instanceof Error ? error.message : String(error));
        return;
      }
      if (!admit(context, call, method.learnersToo === true)) return;
      answer(request, call).catch((error: unknown) => {
        if (error instanceof RpcError) call.end(error.code, error.message, error.trailers);
        else {
          fail(call, errors.internal);
          context.unexpected(call.path, error);
        }
      });
    },
  };
}
