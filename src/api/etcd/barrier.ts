// Waiting for the group in handlers that are asynchronous anyway.

import type { ApiContext } from "../context.js";
import { errorOfFailure, rpcError } from "../errors.js";

/** Resolves once this node has applied all that was acknowledged before; throws RpcError if it cannot. */
export function readBarrier(context: ApiContext): Promise<void> {
  return new Promise((resolve, reject) => {
    context.proposer.readBarrier((failure) => {
      if (failure === undefined) resolve();
      else reject(rpcError(errorOfFailure(failure)));
    });
  });
}
