// etcdserverpb.Lease. Grants and revocations go into the log; what concerns time is asked of the leader
// (lease/lessor.ts). The keys of a lease and the list of leases are this node's own knowledge.

import { toBinary } from "@bufbuild/protobuf";
import {
  LeaseGrantRequestSchema,
  LeaseGrantResponseSchema,
  LeaseLeasesRequestSchema,
  LeaseLeasesResponseSchema,
  LeaseRevokeRequestSchema,
  LeaseRevokeResponseSchema,
  LeaseTimeToLiveRequestSchema,
  LeaseTimeToLiveResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import type { RemainingAnswer } from "../../lease/messages.js";
import type { Refused } from "../../mvcc/messages.js";
import { WireWriter } from "../../protobuf/wire.js";
import type { GroupFailure } from "../../replication/proposer.js";
import type { RawMethod } from "../../rpc/call.js";
import { CommandKind, encodeCommand } from "../../state/commands.js";
import type { LeaseGranted, LeaseRevoked } from "../../state/lease-commands.js";
import type { ApiContext } from "../context.js";
import { errorOfFailure, errorOfRefusal, errors, rpcError } from "../errors.js";
import { readBarrier } from "./barrier.js";
import { clusterHeader, fullHeader } from "./header.js";
import { keepAliveMethod } from "./keep-alive.js";
import { typedMethod } from "./typed-method.js";

/** Seconds; etcd's limit. */
const maxTtl = 9_000_000_000n;

export function leaseMethods(context: ApiContext): readonly RawMethod[] {
  return [
    typedMethod(context, {
      path: "/etcdserverpb.Lease/LeaseGrant",
      request: LeaseGrantRequestSchema,
      response: LeaseGrantResponseSchema,
      handle: async ({ TTL, ID }) => {
        if (context.spaceExceeded === true) throw rpcError(errors.noSpace);
        if (TTL > maxTtl) throw rpcError(errors.leaseTtlTooLarge);
        const ttl = Math.max(context.limits.minLeaseTtl, Number(TTL));
        const { id, revision } = await grant(context, ttl, ID);
        const header = { ...clusterHeader(context), revision: BigInt(revision) };
        return { header, ID: id, TTL: BigInt(ttl) };
      },
    }),
    typedMethod(context, {
      path: "/etcdserverpb.Lease/LeaseRevoke",
      request: LeaseRevokeRequestSchema,
      response: LeaseRevokeResponseSchema,
      handle: async (request) => {
        const command = encodeCommand(CommandKind.leaseRevoke, toBinary(LeaseRevokeRequestSchema, request));
        const { revision } = accepted(await propose<LeaseRevoked>(context, command));
        return { header: { ...clusterHeader(context), revision: BigInt(revision) } };
      },
    }),
    keepAliveMethod(context),
    typedMethod(context, {
      path: "/etcdserverpb.Lease/LeaseTimeToLive",
      request: LeaseTimeToLiveRequestSchema,
      response: LeaseTimeToLiveResponseSchema,
      handle: async ({ ID, keys }) => {
        await readBarrier(context);
        const { found, remainingMs, ttl } = await timeToLive(context, ID);
        const header = fullHeader(context);
        if (!found) return { header, ID, TTL: -1n };
        return {
          header,
          ID,
          TTL: BigInt(Math.floor(remainingMs / 1000)),
          grantedTTL: BigInt(ttl),
          keys: keys ? context.leases.keys(ID) : [],
        };
      },
    }),
    typedMethod(context, {
      path: "/etcdserverpb.Lease/LeaseLeases",
      request: LeaseLeasesRequestSchema,
      response: LeaseLeasesResponseSchema,
      handle: async () => ({
        header: fullHeader(context),
        leases: context.leases.list().map((ID) => ({ ID })),
      }),
    }),
  ];
}

/** @param wanted 0n: any. One that we chose ourselves and that is taken is replaced by another. */
async function grant(
  context: ApiContext,
  ttl: number,
  wanted: bigint,
): Promise<{ readonly id: bigint; readonly revision: number }> {
  for (;;) {
    const id = wanted === 0n ? context.randomId() : wanted;
    const request = new WireWriter(32).uint(1, ttl).int64(2, id).finish();
    const outcome = await propose<LeaseGranted>(context, encodeCommand(CommandKind.leaseGrant, request));
    if (wanted === 0n && outcome.kind === "refused" && outcome.reason === "leaseExists") continue;
    return { id, revision: accepted(outcome).revision };
  }
}

function propose<T extends { readonly kind: string }>(
  context: ApiContext,
  command: Uint8Array,
): Promise<T | Refused | GroupFailure> {
  return new Promise((resolve) => {
    context.proposer.propose(command, undefined, (outcome) => resolve(outcome as T | Refused | GroupFailure));
  });
}

/** Throws RpcError unless the command took effect. */
function accepted<T extends { readonly kind: string }>(outcome: T | Refused | GroupFailure): T {
  if (outcome.kind === "refused") throw rpcError(errorOfRefusal((outcome as Refused).reason));
  if (outcome.kind === "failed") throw rpcError(errorOfFailure(outcome as GroupFailure));
  return outcome as T;
}

function timeToLive(context: ApiContext, id: bigint): Promise<RemainingAnswer> {
  return new Promise((resolve, reject) => {
    context.leases.timeToLive(id, (outcome) => {
      if (!("kind" in outcome)) resolve(outcome);
      // A question changes nothing, whatever became of it.
      else reject(rpcError(errorOfFailure({ ...outcome, outcome: "refused" })));
    });
  });
}
