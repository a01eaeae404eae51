// etcdserverpb.Maintenance, as far as it is built: Status, Hash, MoveLeader, and the question for
// alarms, which "etcdctl endpoint health" asks. There are no alarms yet, so the answer is none.

import {
  AlarmRequest_AlarmAction as AlarmAction,
  AlarmRequestSchema,
  AlarmResponseSchema,
  HashRequestSchema,
  HashResponseSchema,
  MoveLeaderRequestSchema,
  MoveLeaderResponseSchema,
  StatusRequestSchema,
  StatusResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import type { RawMethod } from "../../rpc/call.js";
import type { ApiContext } from "../context.js";
import { errorOfFailure, errors, rpcError } from "../errors.js";
import { fullHeader } from "./header.js";
import { typedMethod } from "./typed-method.js";
import { apiVersion, storageVersion } from "./version.js";

export function maintenanceMethods(context: ApiContext): readonly RawMethod[] {
  return [
    typedMethod(context, {
      path: "/etcdserverpb.Maintenance/Status",
      request: StatusRequestSchema,
      response: StatusResponseSchema,
      learnersToo: true,
      handle: async () => {
        const status = context.proposer.status;
        const sizes = context.storageSizes();
        return {
          header: fullHeader(context),
          version: apiVersion,
          dbSize: BigInt(sizes.sizeBytes),
          leader: BigInt(status.leader),
          raftIndex: BigInt(status.commit),
          raftTerm: BigInt(status.epoch),
          raftAppliedIndex: BigInt(status.appliedIndex),
          errors: status.leader === 0 ? [errors.noLeader.text] : [],
          dbSizeInUse: BigInt(sizes.sizeInUseBytes),
          isLearner: status.role === "learner",
          storageVersion,
          dbSizeQuota: BigInt(sizes.quotaBytes),
          downgradeInfo: {},
        };
      },
    }),
    typedMethod(context, {
      path: "/etcdserverpb.Maintenance/Hash",
      request: HashRequestSchema,
      response: HashResponseSchema,
      handle: async () => ({ hash: await context.hash(), header: fullHeader(context) }),
    }),
    typedMethod(context, {
      path: "/etcdserverpb.Maintenance/MoveLeader",
      request: MoveLeaderRequestSchema,
      response: MoveLeaderResponseSchema,
      handle: async ({ targetID }) => {
        await moveLeader(context, targetID);
        return {};
      },
    }),
    typedMethod(context, {
      path: "/etcdserverpb.Maintenance/Alarm",
      request: AlarmRequestSchema,
      response: AlarmResponseSchema,
      handle: async ({ action }) => {
        if (action !== AlarmAction.GET) throw rpcError(errors.notImplemented);
        return { header: fullHeader(context), alarms: [] };
      },
    }),
  ];
}

/** Resolves when the target leads. */
async function moveLeader(context: ApiContext, targetId: bigint): Promise<void> {
  if (context.role.role !== "leader") throw rpcError(errors.notLeader);
  const target = context.members().find((member) => BigInt(member.id) === targetId);
  if (target === undefined || target.isLearner) throw rpcError(errors.badLeaderTransferee);
  if (target.id === context.role.leader) return;
  const failure = await context.proposer.transferLeadership(target.id);
  if (failure === undefined) return;
  throw rpcError(failure.reason === "timeout" ? errors.transferTimeout : errorOfFailure(failure));
}
