// Serves what other nodes call: Exchange, Snapshot, Control and Discover. A caller of another cluster
// or engine is refused before anything it says is looked at.

import { create, toBinary } from "@bufbuild/protobuf";
import type { NodeId } from "../../consensus/types.js";
import { type Member, MemberSchema } from "../../gen/etcdserverpb/rpc_pb.js";
import { DiscoverResponseSchema } from "../../gen/quorate/consensus/v1/peer_pb.js";
import { WireWriter } from "../../protobuf/wire.js";
import { type RawMethod, RpcError, Status, type StreamCall, type UnaryCall } from "../../rpc/call.js";
import { decodeCommands, decodeOrigin } from "../batch.js";
import type { Group } from "../group.js";
import type { StateMachine } from "../state-machine.js";
import { decodeControlRequest, encodeControlResponse } from "./control-codec.js";
import {
  decodeExchange,
  type Exchanged,
  encodeHello,
  type Hello,
  type MessageCodec,
  protocolVersion,
} from "./exchange-codec.js";
import { exchangePath, removedStatus } from "./peer-link.js";
import { controlPath } from "./peer-network.js";
import { SnapshotReceiver, snapshotPath } from "./snapshot-transfer.js";

export const discoverPath = "/quorate.consensus.v1.PeerService/Discover";

export interface MemberInfo {
  readonly id: number;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface PeerServiceOptions<M> {
  readonly self: Hello;
  readonly codec: MessageCodec<M>;
  /** The group of that number; undefined when this node has none. */
  readonly group: (group: number) => Group<M> | undefined;
  readonly stateMachine: (group: number) => StateMachine;
  readonly members: () => readonly MemberInfo[];
  /** Whether this node knows that a member as of that index is none any more. */
  readonly isRemoved: (node: number, memberAsOf: number) => boolean;
  readonly received: (from: number, bytes: number) => void;
  readonly warn: (message: string, fields: Record<string, unknown>) => void;
}

/** Throws FAILED_PRECONDITION unless the caller belongs here. */
function admit(hello: Hello, self: Hello): void {
  if (hello.clusterId !== self.clusterId) {
    throw new RpcError(
      Status.FAILED_PRECONDITION,
      `cluster ID mismatch: this node is of cluster ${self.clusterId.toString(16)}, the caller of ${hello.clusterId.toString(16)}`,
    );
  }
  if (hello.engine !== self.engine) {
    throw new RpcError(
      Status.FAILED_PRECONDITION,
      `this cluster runs ${self.engine}, the caller ${hello.engine}`,
    );
  }
  if (hello.protocolVersion < protocolVersion) {
    throw new RpcError(
      Status.FAILED_PRECONDITION,
      `this node needs peer protocol ${protocolVersion} at least, the caller speaks ${hello.protocolVersion}`,
    );
  }
  if (hello.node === 0) throw new RpcError(Status.INVALID_ARGUMENT, "a Hello names its node");
  if (hello.node === self.node) {
    throw new RpcError(Status.FAILED_PRECONDITION, "a node must not call itself");
  }
}

/** A status to end a call with, for whatever was thrown. */
function endWith(call: StreamCall | UnaryCall, error: unknown): void {
  if (error instanceof RpcError) return call.end(error.code, error.message);
  call.end(Status.INVALID_ARGUMENT, error instanceof Error ? error.message : String(error));
}

export function peerMethods<M>(options: PeerServiceOptions<M>): RawMethod[] {
  return [
    { kind: "stream", path: exchangePath, handle: (call) => serveExchange(call, options) },
    {
      kind: "stream",
      path: snapshotPath,
      handle: (call) => {
        new SnapshotReceiver(
          call,
          (header) => {
            admit(header.sender, options.self);
            if (options.group(header.group) === undefined) {
              throw new RpcError(Status.NOT_FOUND, `no group ${header.group} on this node`);
            }
            return options.stateMachine(header.group);
          },
          (header, sink) =>
            options.group(header.group)!.receiveSnapshot(header.sender.node, header.epoch, header.meta, sink),
        );
      },
    },
    { kind: "unary", path: controlPath, handle: (message, call) => serveControl(message, call, options) },
    { kind: "unary", path: discoverPath, handle: (_message, call) => call.respond(describe(options)) },
  ];
}

function serveExchange<M>(call: StreamCall, options: PeerServiceOptions<M>): void {
  let from = 0;
  let memberAsOf = 0;
  const { self, codec, isRemoved } = options;
  const refuseRemoved = (): void => {
    if (!isRemoved(from, memberAsOf)) return;
    throw new RpcError(removedStatus, "the member has been permanently removed from the cluster");
  };
  call.onMessage((message) => {
    try {
      // Entries are kept: the bytes must be ours.
      const exchanged = decodeExchange(Uint8Array.prototype.slice.call(message), codec);
      if (exchanged === undefined) return;
      if (from !== 0) {
        refuseRemoved();
        options.received(from, message.length);
        return dispatch(from, exchanged, options);
      }
      if (exchanged.kind !== "hello")
        throw new RpcError(Status.INVALID_ARGUMENT, "the first message must be a Hello");
      admit(exchanged.hello, self);
      from = exchanged.hello.node;
      memberAsOf = exchanged.hello.memberAsOf;
      refuseRemoved();
      const hello = encodeHello(self);
      call.write(new WireWriter(hello.length + 8).bytes(1, hello).finish());
    } catch (error) {
      options.warn("peer stream refused", { from, error: String(error) });
      endWith(call, error);
    }
  });
  call.onHalfClose(() => call.end(Status.OK));
}

function dispatch<M>(from: number, exchanged: Exchanged<M>, options: PeerServiceOptions<M>): void {
  if (exchanged.kind === "hello") throw new RpcError(Status.INVALID_ARGUMENT, "second Hello");
  const group = options.group(exchanged.group);
  if (group === undefined) return;
  switch (exchanged.kind) {
    case "consensus":
      return group.receive(from, exchanged.message);
    case "forwarded": {
      const stateMachine = options.stateMachine(exchanged.group);
      const sequences = exchanged.batches.map((batch) => examine(batch, from, stateMachine));
      return group.receiveForwarded(from, exchanged.epoch, exchanged.batches, sequences);
    }
    case "readBarrier":
      return group.receiveReadBarrier(from, exchanged.id);
    case "readIndex":
      return group.receiveReadIndex(exchanged.id, exchanged.index);
    case "question":
      return group.questions.receive(from, exchanged.id, exchanged.question);
    case "answer":
      return group.questions.answered(from, exchanged.id, exchanged.answer);
    case "refused":
      return group.receiveRefusal(exchanged.epoch, exchanged.sequences);
    default:
      throw new Error(`unknown message ${String(exchanged satisfies never)}`);
  }
}

/**
 * The sequence number of a batch that another node hands over. Once in the log it is applied everywhere,
 * at every restart: what nobody could apply must not get there, nor what passes for another node's.
 */
function examine(batch: Uint8Array, from: NodeId, stateMachine: StateMachine): number {
  const { node, sequence } = decodeOrigin(batch);
  if (node !== from) throw new RpcError(Status.INVALID_ARGUMENT, "a forwarded batch is not its sender's own");
  for (const command of decodeCommands(batch)) {
    if (stateMachine.understands?.(command) === false)
      throw new RpcError(Status.INVALID_ARGUMENT, "a forwarded command is not understood");
  }
  return sequence;
}

function serveControl<M>(message: Uint8Array, call: UnaryCall, options: PeerServiceOptions<M>): void {
  try {
    const request = decodeControlRequest(message);
    admit(request.sender, options.self);
    const group = options.group(request.group);
    if (group === undefined) throw new RpcError(Status.NOT_FOUND, `no group ${request.group} on this node`);
    group.receiveControl(request.change).then(
      (outcome) => call.respond(encodeControlResponse(outcome)),
      (error: unknown) => endWith(call, error),
    );
  } catch (error) {
    endWith(call, error);
  }
}

function describe<M>(options: PeerServiceOptions<M>): Uint8Array {
  const members: Member[] = options.members().map((member) =>
    create(MemberSchema, {
      ID: BigInt(member.id),
      name: member.name,
      peerURLs: [...member.peerUrls],
      clientURLs: [...member.clientUrls],
      isLearner: member.isLearner,
    }),
  );
  return toBinary(
    DiscoverResponseSchema,
    create(DiscoverResponseSchema, {
      clusterId: BigInt(options.self.clusterId),
      engine: options.self.engine,
      members,
    }),
  );
}
