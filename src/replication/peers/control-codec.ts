// The rare operations between nodes, encoded with the generated schemas: membership changes run on
// the leader, and the discovery of a cluster.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MembershipChange, MembershipStep } from "../../consensus/types.js";
import {
  ControlRequestSchema,
  ControlResponseSchema,
  HelloSchema,
  MembershipStep_Operation,
} from "../../gen/quorate/consensus/v1/peer_pb.js";
import type { GroupFailure } from "../proposer.js";
import { decodeHello, encodeHello, type Hello } from "./exchange-codec.js";

const operations = {
  addVoter: MembershipStep_Operation.ADD_VOTER,
  addLearner: MembershipStep_Operation.ADD_LEARNER,
  remove: MembershipStep_Operation.REMOVE,
} as const;

export interface ControlRequest {
  readonly group: number;
  readonly sender: Hello;
  readonly change: MembershipChange;
}

export function encodeControlRequest({ group, sender, change }: ControlRequest): Uint8Array {
  return toBinary(
    ControlRequestSchema,
    create(ControlRequestSchema, {
      group,
      sender: fromBinary(HelloSchema, encodeHello(sender)),
      operation: {
        case: "membershipChange",
        value: {
          steps: change.steps.map((step) => ({ operation: operations[step.op], node: BigInt(step.node) })),
          joint: change.joint ?? false,
          context: change.context,
        },
      },
    }),
  );
}

/** Throws an Error that says what is wrong with the request. */
export function decodeControlRequest(bytes: Uint8Array): ControlRequest {
  const request = fromBinary(ControlRequestSchema, bytes);
  if (request.sender === undefined) throw new Error("control request without a sender");
  if (request.operation.case !== "membershipChange") throw new Error("unknown control operation");
  const { steps, joint, context } = request.operation.value;
  return {
    group: request.group,
    sender: decodeHello(toBinary(HelloSchema, request.sender)),
    change: {
      steps: steps.map((step): MembershipStep => {
        const node = Number(step.node);
        if (!Number.isSafeInteger(node) || node <= 0) throw new Error(`invalid node ${step.node}`);
        if (step.operation === MembershipStep_Operation.ADD_VOTER) return { op: "addVoter", node };
        if (step.operation === MembershipStep_Operation.ADD_LEARNER) return { op: "addLearner", node };
        if (step.operation === MembershipStep_Operation.REMOVE) return { op: "remove", node };
        throw new Error(`unknown membership operation ${step.operation}`);
      }),
      joint,
      context,
    },
  };
}

export function encodeControlResponse(outcome: GroupFailure | undefined): Uint8Array {
  return toBinary(
    ControlResponseSchema,
    create(ControlResponseSchema, {
      error: outcome?.reason ?? "",
      unknown: outcome?.outcome === "unknown",
      detail: outcome?.detail ?? "",
    }),
  );
}

const reasons = new Set<string>([
  "noLeader",
  "leaderChanged",
  "timeout",
  "tooManyRequests",
  "stopped",
  "notLeader",
  "changePending",
  "invalidChange",
  "badTransferee",
  "learnerNotReady",
  "unhealthy",
  "peerUrlExists",
  "tooManyLearners",
] satisfies GroupFailure["reason"][]);

export function decodeControlResponse(bytes: Uint8Array): GroupFailure | undefined {
  const { error, unknown, detail } = fromBinary(ControlResponseSchema, bytes);
  if (error === "") return undefined;
  const reason = (reasons.has(error) ? error : "timeout") as GroupFailure["reason"];
  return { kind: "failed", reason, outcome: unknown ? "unknown" : "refused", detail };
}
