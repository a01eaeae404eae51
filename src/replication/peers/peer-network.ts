// The Transport of a node's groups over gRPC: one link to every other member, opened and closed as
// the membership changes. Serves the other side of those links with peer-service.ts.

import type { Outbound } from "../../consensus/engine.js";
import { members } from "../../consensus/membership/change.js";
import type { Index, Membership, MembershipChange, NodeId, Term } from "../../consensus/types.js";
import { type Channel, type MeasuredChannel, Status } from "../../rpc/call.js";
import type { Transport } from "../ports.js";
import type { GroupFailure } from "../proposer.js";
import type { StateMachine } from "../state-machine.js";
import { decodeControlResponse, encodeControlRequest } from "./control-codec.js";
import { type Exchanged, encodeExchange, type Hello, type MessageCodec } from "./exchange-codec.js";
import { PeerLink } from "./peer-link.js";
import { sendSnapshot } from "./snapshot-transfer.js";

export const controlPath = "/quorate.consensus.v1.PeerService/Control";

export interface PeerNetworkOptions<M> {
  readonly group: number;
  readonly self: Hello;
  readonly codec: MessageCodec<M>;
  /** Opens (without connecting) a channel to wherever the node is now; undefined when nobody knows. */
  readonly open: (node: NodeId) => MeasuredChannel | undefined;
  /** What a membership entry says about addresses. */
  readonly learnAddress: (context: Uint8Array) => void;
  /** As in Hello, at this moment. */
  readonly memberAsOf: () => Index;
  /** A peer says that this node was removed from the cluster. */
  readonly removed: () => void;
  readonly observer: PeerObserver;
  /** Hands to the sockets what was written to channels. */
  readonly flush: () => void;
  /** Milliseconds for a control request. */
  readonly controlTimeoutMs: number;
  /** Milliseconds of silence after which a link is broken: about an election timeout. */
  readonly silenceMs: number;
}

/** Told about links, for metrics and logs. */
export interface PeerObserver {
  up(peer: NodeId): void;
  down(peer: NodeId, reason: string): void;
  sent(peer: NodeId, bytes: number): void;
  sendFailed(peer: NodeId): void;
  roundTrip(peer: NodeId, milliseconds: number): void;
}

/** Multiples of `silenceMs` for which a link to a node that is no member is kept: its last words matter. */
const strangerPatience = 5;

export class PeerNetwork<M> implements Transport<M> {
  private readonly links = new Map<NodeId, PeerLink>();
  private wanted = new Set<NodeId>();
  /** Links to nodes that are no members (any more, or yet) end by themselves. */
  private readonly strangers = new Map<NodeId, NodeJS.Timeout>();
  /** Channels of snapshots and control requests under way. */
  private readonly sideChannels = new Set<Channel>();
  private unreachable: (peer: NodeId) => void = () => {};
  private closed = false;

  constructor(private readonly options: PeerNetworkOptions<M>) {}

  /** Who wants to know that a link broke (the group, which exists only after its transport). */
  onUnreachable(listener: (peer: NodeId) => void): void {
    this.unreachable = listener;
  }

  /** Nodes to which a link is up. */
  connected(): NodeId[] {
    return [...this.links].filter(([, link]) => link.isUp).map(([node]) => node);
  }

  close(): void {
    this.closed = true;
    for (const timer of this.strangers.values()) clearTimeout(timer);
    for (const link of this.links.values()) link.close();
    this.links.clear();
    for (const channel of this.sideChannels) channel.close();
  }

  membershipChanged(membership: Membership): void {
    this.wanted = new Set<NodeId>(members(membership));
    for (const node of this.wanted) {
      clearTimeout(this.strangers.get(node));
      this.strangers.delete(node);
      this.link(node);
    }
    // Who was removed is still told so: the engine speaks to it a little longer.
    for (const node of this.links.keys()) if (!this.wanted.has(node)) this.endLater(node);
  }

  private endLater(node: NodeId): void {
    if (this.strangers.has(node)) return;
    const end = (): void => {
      this.strangers.delete(node);
      this.links.get(node)?.close();
      this.links.delete(node);
    };
    this.strangers.set(node, setTimeout(end, strangerPatience * this.options.silenceMs).unref());
  }

  membershipAppended(context: Uint8Array): void {
    this.options.learnAddress(context);
  }

  private link(peer: NodeId): PeerLink | undefined {
    const { self, observer } = this.options;
    if (peer === self.node || this.closed) return undefined;
    const existing = this.links.get(peer);
    if (existing !== undefined) return existing;
    const link = new PeerLink({
      peer,
      introduction: () => {
        const hello = { ...self, memberAsOf: this.options.memberAsOf() };
        return encodeExchange({ kind: "hello", hello }, this.options.codec);
      },
      removed: this.options.removed,
      open: () => this.options.open(peer),
      check: (hello) => this.check(peer, hello),
      up: () => observer.up(peer),
      down: (reason) => {
        observer.down(peer, reason);
        this.unreachable(peer);
      },
      sent: (bytes) => observer.sent(peer, bytes),
      silenceMs: this.options.silenceMs,
      roundTrip: (milliseconds) => observer.roundTrip(peer, milliseconds),
    });
    this.links.set(peer, link);
    if (!this.wanted.has(peer)) this.endLater(peer);
    return link;
  }

  private check(peer: NodeId, hello: Hello): void {
    const { self } = this.options;
    if (hello.clusterId !== self.clusterId) {
      throw new Error(
        `the node at this address belongs to cluster ${hello.clusterId.toString(16)}, not ${self.clusterId.toString(16)}`,
      );
    }
    if (hello.node !== peer) {
      throw new Error(`member ${hello.node.toString(16)} answers where ${peer.toString(16)} was expected`);
    }
  }

  private post(to: NodeId, exchanged: Exchanged<M>, urgent: boolean): boolean {
    const link = this.link(to);
    if (link === undefined || !link.isUp) return false;
    const sent = link.send(encodeExchange(exchanged, this.options.codec), urgent);
    if (!sent) this.options.observer.sendFailed(to);
    return sent;
  }

  send({ to, message, urgent }: Outbound<M>): void {
    this.post(to, { kind: "consensus", group: this.options.group, message }, urgent);
  }

  forward(to: NodeId, epoch: Term, batches: readonly Uint8Array[]): boolean {
    return this.post(to, { kind: "forwarded", group: this.options.group, epoch, batches }, false);
  }

  refuse(to: NodeId, epoch: Term, sequences: readonly number[], reason: string): void {
    this.post(to, { kind: "refused", group: this.options.group, epoch, sequences, reason }, true);
  }

  flush(): void {
    this.options.flush();
  }

  askReadIndex(to: NodeId, id: number): boolean {
    return this.post(to, { kind: "readBarrier", group: this.options.group, id }, true);
  }

  answerReadIndex(to: NodeId, id: number, index: Index | undefined): void {
    this.post(to, { kind: "readIndex", group: this.options.group, id, index }, true);
  }

  askLeader(to: NodeId, id: number, question: Uint8Array): boolean {
    return this.post(to, { kind: "question", group: this.options.group, id, question }, false);
  }

  answerQuestion(to: NodeId, id: number, answer: Uint8Array | undefined): void {
    this.post(to, { kind: "answer", group: this.options.group, id, answer }, false);
  }

  async control(to: NodeId, change: MembershipChange): Promise<GroupFailure | undefined> {
    const channel = this.openAside(to);
    if (channel === undefined) return { kind: "failed", reason: "noLeader", outcome: "refused" };
    try {
      await channel.connect();
    } catch (error) {
      this.closeAside(channel);
      return { kind: "failed", reason: "noLeader", outcome: "refused", detail: String(error) };
    }
    const { group, self, controlTimeoutMs } = this.options;
    const request = encodeControlRequest({ group, sender: self, change });
    return new Promise((resolve) => {
      channel.unary(controlPath, request, { timeoutMs: controlTimeoutMs }, (end, message) => {
        this.closeAside(channel);
        if (end.code === Status.OK && message !== undefined) return resolve(decodeControlResponse(message));
        resolve({ kind: "failed", reason: "timeout", outcome: "unknown", detail: end.message });
      });
    });
  }

  sendSnapshot(to: NodeId, epoch: Term, stateMachine: StateMachine): Promise<Index> {
    const channel = this.openAside(to);
    if (channel === undefined)
      return Promise.reject(new Error(`address of member ${to.toString(16)} not known`));
    const { group, self } = this.options;
    return sendSnapshot({ channel, group, sender: self, epoch, stateMachine }).finally(() =>
      this.closeAside(channel),
    );
  }

  private openAside(to: NodeId): Channel | undefined {
    const channel = this.closed ? undefined : this.options.open(to);
    if (channel !== undefined) this.sideChannels.add(channel);
    return channel;
  }

  private closeAside(channel: Channel): void {
    this.sideChannels.delete(channel);
    channel.close();
  }
}
