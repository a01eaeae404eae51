// What every request must pass before it is looked at: a learner answers next to nothing, and a
// caller that asks for a leader (metadata "hasleader: true") is refused while there is none.

import type { ServerCall } from "../../rpc/call.js";
import type { ApiContext } from "../context.js";
import { errors, fail } from "../errors.js";

const requireLeaderKey = "hasleader";

/**
 * False when the call was refused and has ended.
 * @param learnersToo the request is one that learners answer.
 */
export function admit(context: ApiContext, call: ServerCall, learnersToo: boolean): boolean {
  const { role, leader } = context.role;
  if (role === "learner" && !learnersToo) {
    fail(call, errors.notSupportedForLearner);
    return false;
  }
  if (leader === 0 && requiresLeader(call)) {
    fail(call, errors.noLeader);
    return false;
  }
  return true;
}

/** Whether the caller wants to be told rather than wait when there is no leader. */
export function requiresLeader(call: ServerCall): boolean {
  for (const [name, value] of call.metadata) if (name === requireLeaderKey && value === "true") return true;
  return false;
}
