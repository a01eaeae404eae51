// etcdserverpb.Cluster: who belongs to the cluster. Changes are checked against what this node has
// applied up to a barrier, then proposed; the group has the last word on quorum and on who leads.

import { create, toBinary } from "@bufbuild/protobuf";
import type { MembershipStep, NodeId } from "../../consensus/types.js";
import {
  MemberAddRequestSchema,
  MemberAddResponseSchema,
  MemberListRequestSchema,
  MemberListResponseSchema,
  MemberPromoteRequestSchema,
  MemberPromoteResponseSchema,
  MemberRemoveRequestSchema,
  MemberRemoveResponseSchema,
  MemberSchema,
  MemberUpdateRequestSchema,
  MemberUpdateResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import type { RawMethod } from "../../rpc/call.js";
import type { ApiContext, ClusterMember } from "../context.js";
import { errorOfFailure, errors, rpcError } from "../errors.js";
import { readBarrier } from "./barrier.js";
import { clusterHeader } from "./header.js";
import { memberIdOf } from "./member-id.js";
import { parsePeerUrls } from "./peer-urls.js";
import { typedMethod } from "./typed-method.js";

/** Share of the leader's log a learner must hold before it may vote. */
const promotionThreshold = 0.9;

export function clusterMethods(context: ApiContext): readonly RawMethod[] {
  const service = new ClusterService(context);
  const header = (): ReturnType<typeof clusterHeader> => clusterHeader(context);
  return [
    typedMethod(context, {
      path: "/etcdserverpb.Cluster/MemberAdd",
      request: MemberAddRequestSchema,
      response: MemberAddResponseSchema,
      handle: async ({ peerURLs, isLearner }) => {
        const member = await service.add(peerURLs, isLearner);
        return { header: header(), member: memberInit(member), members: service.list() };
      },
    }),
    typedMethod(context, {
      path: "/etcdserverpb.Cluster/MemberRemove",
      request: MemberRemoveRequestSchema,
      response: MemberRemoveResponseSchema,
      handle: async ({ ID }) => {
        await service.remove(ID);
        return { header: header(), members: service.list() };
      },
    }),
    typedMethod(context, {
      path: "/etcdserverpb.Cluster/MemberUpdate",
      request: MemberUpdateRequestSchema,
      response: MemberUpdateResponseSchema,
      handle: async ({ ID, peerURLs }) => {
        await service.update(ID, peerURLs);
        return { header: header(), members: service.list() };
      },
    }),
    typedMethod(context, {
      path: "/etcdserverpb.Cluster/MemberPromote",
      request: MemberPromoteRequestSchema,
      response: MemberPromoteResponseSchema,
      handle: async ({ ID }) => {
        await service.promote(ID);
        return { header: header(), members: service.list() };
      },
    }),
    typedMethod(context, {
      path: "/etcdserverpb.Cluster/MemberList",
      request: MemberListRequestSchema,
      response: MemberListResponseSchema,
      handle: async ({ linearizable }) => {
        if (linearizable) await readBarrier(context);
        return { header: header(), members: service.list() };
      },
    }),
  ];
}

interface MemberInit {
  readonly ID: bigint;
  readonly name: string;
  readonly peerURLs: string[];
  readonly clientURLs: string[];
  readonly isLearner: boolean;
}

function memberInit(member: ClusterMember): MemberInit {
  return {
    ID: BigInt(member.id),
    name: member.name,
    peerURLs: [...member.peerUrls],
    clientURLs: [...member.clientUrls],
    isLearner: member.isLearner,
  };
}

const isStarted = (member: ClusterMember): boolean => member.name !== "";

function requireUnused(peerUrls: readonly string[], members: readonly ClusterMember[]): void {
  const taken = new Set(members.flatMap((other) => other.peerUrls));
  if (peerUrls.some((url) => taken.has(url))) throw rpcError(errors.peerUrlExists);
}

class ClusterService {
  /** Changes asked of this node take turns, so that each is checked against the one before. */
  private lastChange: Promise<void> = Promise.resolve();

  constructor(private readonly context: ApiContext) {}

  list(): MemberInit[] {
    return [...this.context.members()].sort((a, b) => a.id - b.id).map(memberInit);
  }

  async add(urls: readonly string[], isLearner: boolean): Promise<ClusterMember> {
    const peerUrls = parsePeerUrls(urls);
    if (peerUrls === undefined) throw rpcError(errors.memberBadUrls);
    const id = memberIdOf(peerUrls, this.context.clusterName, this.context.now());
    const member = { id, name: "", peerUrls, clientUrls: [], isLearner };
    await this.change(() => {
      const members = this.context.members();
      const voters = members.filter((other) => !other.isLearner);
      if (!isLearner) this.requireReadyToAdd(voters);
      if (members.some((other) => other.id === id)) throw rpcError(errors.memberExists);
      requireUnused(peerUrls, members);
      const learners = members.length - voters.length;
      if (isLearner && learners >= this.context.limits.maxLearners) throw rpcError(errors.tooManyLearners);
      return { step: { op: isLearner ? "addLearner" : "addVoter", node: id }, member };
    });
    return member;
  }

  async remove(wireId: bigint): Promise<void> {
    await this.change(() => {
      const member = this.find(wireId);
      if (!member.isLearner) {
        const rest = this.voters().filter((other) => other.id !== member.id);
        this.requireStartedMajority(rest.length, rest.filter(isStarted).length);
      }
      return { step: { op: "remove", node: member.id }, member };
    });
  }

  /** Asks for the role the member has already, so that only its URLs change. */
  async update(wireId: bigint, urls: readonly string[]): Promise<void> {
    const peerUrls = parsePeerUrls(urls);
    if (peerUrls === undefined) throw rpcError(errors.memberBadUrls);
    await this.change(() => {
      const member = this.find(wireId);
      requireUnused(
        peerUrls,
        this.context.members().filter((other) => other.id !== member.id),
      );
      const op = member.isLearner ? "addLearner" : "addVoter";
      return { step: { op, node: member.id }, member: { ...member, peerUrls } };
    });
  }

  async promote(wireId: bigint): Promise<void> {
    await this.change(() => {
      const member = this.find(wireId);
      if (!member.isLearner) throw rpcError(errors.memberNotLearner);
      this.requireInSync(member.id);
      const voters = this.voters();
      // The learner counts as a voter, and as a started one.
      this.requireStartedMajority(voters.length + 1, voters.filter(isStarted).length + 1);
      return { step: { op: "addVoter", node: member.id }, member: { ...member, isLearner: false } };
    });
  }

  private voters(): readonly ClusterMember[] {
    return this.context.members().filter((member) => !member.isLearner);
  }

  private find(wireId: bigint): ClusterMember {
    const member = this.context.members().find((candidate) => BigInt(candidate.id) === wireId);
    if (member === undefined) throw rpcError(errors.memberNotFound);
    return member;
  }

  /** A change may leave no fewer started voters than a majority of the voters it leaves. */
  private requireStartedMajority(voters: number, started: number): void {
    if (this.context.strictReconfiguration === false) return;
    if (started < Math.floor(voters / 2) + 1) throw rpcError(errors.memberNotEnoughStarted);
  }

  private requireReadyToAdd(voters: readonly ClusterMember[]): void {
    const started = voters.filter(isStarted).length;
    // Growing from one to two must be possible: the second is never started before it is added.
    if (started === 1 && voters.length === 1) return;
    this.requireStartedMajority(voters.length + 1, started);
  }

  /** Known on the leader only; when another member leads, it checks this itself. */
  private requireInSync(node: NodeId): void {
    if (this.context.role.role !== "leader") return;
    const { progress, lastIndex } = this.context.proposer.status;
    const match = progress.find((peer) => peer.node === node)?.match ?? 0;
    if (match < lastIndex * promotionThreshold) throw rpcError(errors.learnerNotReady);
  }

  /**
   * Waits for its turn, brings this node up to date, lets `plan` check the change, and has the group
   * make it.
   */
  private async change(plan: () => { step: MembershipStep; member: ClusterMember }): Promise<void> {
    const turn = this.lastChange.then(async () => {
      await readBarrier(this.context);
      const { step, member } = plan();
      const context = toBinary(MemberSchema, create(MemberSchema, memberInit(member)));
      const failure = await this.context.proposer.changeMembership({ steps: [step], context });
      if (failure !== undefined) throw rpcError(errorOfFailure(failure));
      // For the list in the answer. The change is made even if this fails, as it does on a node that
      // removed itself.
      await new Promise<void>((resolve) => this.context.proposer.readBarrier(() => resolve()));
    });
    // A failed change is its caller's to hear of, not that of the next in line.
    this.lastChange = turn.then(
      () => undefined,
      () => undefined,
    );
    await turn;
  }
}
