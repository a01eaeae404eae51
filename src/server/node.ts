// A node: builds every layer from a configuration, in the order they depend on each other, and takes
// them down in the reverse. Nothing here decides anything about consensus, storage or the API.

import { randomInt } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import type { ApiContext } from "../api/context.js";
import { apiVersion } from "../api/etcd/version.js";
import { etcdServices } from "../api/services.js";
import type { RoleChange } from "../consensus/engine.js";
import { MemberSchema } from "../gen/etcdserverpb/rpc_pb.js";
import type { Logger } from "../logging/logger.js";
import { Group } from "../replication/group.js";
import { type Hello, protocolVersion } from "../replication/peers/exchange-codec.js";
import { PeerNetwork } from "../replication/peers/peer-network.js";
import { peerMethods } from "../replication/peers/peer-service.js";
import type { Scheduler } from "../replication/ports.js";
import { RpcChannel } from "../rpc/client.js";
import { HealthService, ServingStatus } from "../rpc/health.js";
import { RpcServer } from "../rpc/server.js";
import { TurnFlusher } from "../rpc/turn-flusher.js";
import { CommandKind, encodeCommand } from "../state/commands.js";
import { type Address, AddressBook } from "./address-book.js";
import type { ServerConfig } from "./config.js";
import { createHttpServer } from "./http.js";
import { listen } from "./listen.js";
import { NodeMetrics } from "./metrics.js";
import { type NodeStorage, openStorage } from "./node-storage.js";
import { type Protocol, protocolOf } from "./protocols.js";

/** Log and messages under way, in payload bytes. */
const bounds = {
  maxInflightMessages: 256,
  maxInflightBytes: 16 << 20,
  maxAppendBytes: 1 << 20,
  maxUncommittedBytes: 128 << 20,
  retainedLogBytes: 32 << 20,
};
/** Largest message between nodes: an append of one entry above the usual bound, or a forwarded turn. */
const peerMessageBytes = 64 << 20;
/** Milliseconds that requests under way get when the node stops. */
const drainMs = 3000;

/** Starts a node. Rejects with a StartError (or a ConfigError) that says in one line why it cannot. */
export async function startNode(config: ServerConfig, log: Logger): Promise<Node> {
  const flusher = new TurnFlusher();
  const open = (address: Address): RpcChannel =>
    new RpcChannel({
      host: address.host,
      port: address.port,
      flusher,
      limits: { receiveMessageBytes: peerMessageBytes },
    });
  let fatal: (error: Error) => void = () => {};
  const storage = await openStorage(config, log, open, (error) => fatal(error));
  const node = new Node(config, log, storage, open, flusher);
  fatal = (error) => node.fail(error);
  try {
    await node.start();
  } catch (error) {
    await node.abandon();
    throw error;
  }
  return node;
}

export class Node {
  private readonly self: Hello;
  private readonly protocol: Protocol<unknown>;
  private readonly group: Group<unknown>;
  private readonly network: PeerNetwork<unknown>;
  private readonly metrics: NodeMetrics;
  private readonly addresses: AddressBook;
  private readonly health = new HealthService();
  private readonly servers: RpcServer[] = [];
  private readonly timers: NodeJS.Timeout[] = [];
  private role: RoleChange;
  private publishing = false;
  private ending: Promise<void> | undefined;
  private resolveStopped: (error: Error | undefined) => void = () => {};
  /** Resolves when the node has stopped, with what made it stop unless it was asked to. */
  readonly stopped = new Promise<Error | undefined>((resolve) => {
    this.resolveStopped = resolve;
  });
  /** Where clients and peers can connect, as bound. */
  readonly clientAddresses: Address[] = [];
  readonly peerAddresses: Address[] = [];

  constructor(
    private readonly config: ServerConfig,
    private readonly log: Logger,
    private readonly storage: NodeStorage,
    open: (address: Address) => RpcChannel,
    private readonly flusher: TurnFlusher,
  ) {
    const { identity, state, restored } = storage;
    const incarnation = randomInt(1, 2 ** 47);
    this.protocol = protocolOf(config.consensus);
    this.self = {
      clusterId: Number.parseInt(identity.clusterId, 16),
      node: Number.parseInt(identity.memberId, 16),
      engine: config.consensus,
      protocolVersion,
      incarnation,
    };
    this.addresses = new AddressBook(
      (node) => state.members().find((member) => member.id === node)?.peerUrls,
    );
    for (const member of storage.membersAtBirth) this.addresses.announce(member.id, member.peerUrls);
    this.metrics = new NodeMetrics(this.figures(), apiVersion);
    storage.observe(this.metrics);
    const peerObserver = this.metrics.peerObserver();
    this.network = new PeerNetwork<unknown>({
      group: 0,
      self: this.self,
      codec: this.protocol.codec,
      open: (node) => {
        const address = this.addresses.find(node);
        return address === undefined ? undefined : open(address);
      },
      learnAddress: (context) => this.addresses.learn(context),
      flush: () => flusher.flush(),
      controlTimeoutMs: requestTimeoutMs(config),
      observer: {
        up: (peer) => log.info("link to peer is up", { peer: peer.toString(16) }),
        down: (peer, reason) => log.debug("link to peer is down", { peer: peer.toString(16), reason }),
        sent: peerObserver.sent,
        sendFailed: peerObserver.sendFailed,
      },
    });
    const electionTicks = Math.max(2, Math.round(config.electionTimeoutMs / config.heartbeatIntervalMs));
    const engine = this.protocol.createEngine({
      id: this.self.node,
      electionTicks,
      heartbeatTicks: 1,
      random: () => randomInt(0, 2 ** 32),
      maxInflightMessages: bounds.maxInflightMessages,
      maxInflightBytes: bounds.maxInflightBytes,
      maxAppendBytes: bounds.maxAppendBytes,
      maxUncommittedBytes: bounds.maxUncommittedBytes,
      restored: restored.state,
    });
    const status = engine.status();
    this.role = { role: status.role, leader: status.leader, epoch: status.epoch };
    const scheduler: Scheduler = { defer: (run) => void setImmediate(run), now: () => performance.now() };
    const observer = this.metrics.groupObserver();
    this.group = new Group<unknown>({
      group: 0,
      node: this.self.node,
      incarnation,
      engine,
      wal: storage.wal,
      stateMachine: state,
      transport: this.network,
      scheduler,
      observer: {
        ...observer,
        roleChanged: (change) => {
          observer.roleChanged?.(change);
          this.roleChanged(change);
        },
        warn: (message, fields) => log.warn(message, fields),
      },
      requestTimeoutMs: requestTimeoutMs(config),
      electionTimeoutMs: config.electionTimeoutMs,
      retainedLogBytes: bounds.retainedLogBytes,
      restoredEntries: restored.state.entries,
      strictReconfiguration: config.strictReconfigCheck,
      fatal: (error) => this.fail(error),
    });
    this.network.onUnreachable((peer) => this.group.peerUnreachable(peer));
    this.network.membershipChanged(status.membership);
  }

  async start(): Promise<void> {
    const { config, log } = this;
    const peerObserver = this.metrics.peerObserver();
    const peers = peerMethods<unknown>({
      self: this.self,
      codec: this.protocol.codec,
      group: (group) => (group === 0 ? this.group : undefined),
      stateMachine: () => this.storage.state,
      members: () => {
        const members = this.storage.state.members();
        return members.length > 0 ? members : this.storage.membersAtBirth;
      },
      received: peerObserver.received,
      warn: (message, fields) => log.warn(message, fields),
    });
    for (const url of config.listenPeerUrls) {
      const server = new RpcServer({
        methods: peers,
        flusher: this.flusher,
        limits: { receiveMessageBytes: peerMessageBytes },
      });
      this.servers.push(server);
      this.peerAddresses.push(await listen(server, url, "peer"));
    }
    this.every(config.heartbeatIntervalMs, () => this.group.tick());
    this.every(500, () => this.publish());
    const methods = [...etcdServices(this.apiContext()), ...this.health.methods()];
    const http1 = createHttpServer({
      registry: this.metrics.registry,
      version: apiVersion,
      hasLeader: () => this.group.leader !== 0,
      readBarrier: (done) => this.group.readBarrier(done),
    });
    for (const url of config.listenClientUrls) {
      const server = new RpcServer({
        methods,
        http1,
        flusher: this.flusher,
        observer: this.metrics.rpcObserver(),
        limits: {
          receiveMessageBytes: config.maxRequestBytes + (512 << 10),
          concurrentStreams: config.maxConcurrentStreams,
        },
        onHandlerError: (error, path) => log.error("a handler threw", { path, error }),
        onConnectionError: (_code, peer, reason) => log.warn("connection refused", { peer, reason }),
      });
      this.servers.push(server);
      this.clientAddresses.push(await listen(server, url, "client"));
    }
    log.info("serving", {
      member: this.self.node.toString(16),
      cluster: this.self.clusterId.toString(16),
      clients: this.clientAddresses.map(({ host, port }) => `${host}:${port}`).join(","),
      peers: this.peerAddresses.map(({ host, port }) => `${host}:${port}`).join(","),
      applied: this.storage.state.applied.id.index,
    });
  }

  /** Finishes what is under way, hands leadership over, closes the files. */
  stop(): Promise<void> {
    this.ending ??= this.shutDown(undefined);
    return this.ending;
  }

  /** Something broke that the node must not survive: nothing more is written or answered. */
  fail(error: Error): void {
    if (this.ending !== undefined) return;
    this.log.error("the node stops", { error });
    this.ending = this.shutDown(error);
  }

  /** Start failed half-way. */
  async abandon(): Promise<void> {
    this.ending ??= this.shutDown(undefined);
    await this.ending;
  }

  private async shutDown(failure: Error | undefined): Promise<void> {
    if (failure === undefined && this.group.leads) await this.handOver();
    const clients = this.servers.slice(this.config.listenPeerUrls.length);
    if (failure === undefined) await Promise.all(clients.map((server) => server.drain(drainMs)));
    for (const timer of this.timers) clearInterval(timer);
    this.group.stop();
    this.network.close();
    for (const server of this.servers) server.close();
    let closing: Error | undefined;
    await this.storage.close(failure !== undefined).catch((error: unknown) => {
      closing = error instanceof Error ? error : new Error(String(error));
    });
    this.resolveStopped(failure ?? closing);
  }

  /** Lets the member with the longest log lead; a second at most. */
  private async handOver(): Promise<void> {
    const { progress, membership } = this.group.status;
    const heir = progress
      .filter((peer) => peer.active && membership.voters.includes(peer.node))
      .sort((a, b) => b.match - a.match)[0];
    if (heir === undefined) return;
    const late = new Promise<void>((resolve) => setTimeout(resolve, 1000).unref());
    await Promise.race([this.group.transferLeadership(heir.node), late]);
  }

  private every(milliseconds: number, run: () => void): void {
    this.timers.push(setInterval(run, milliseconds));
  }

  private roleChanged(change: RoleChange): void {
    this.role = change;
    this.health.set("", change.leader === 0 ? ServingStatus.NOT_SERVING : ServingStatus.SERVING);
    this.log.info("role changed", {
      role: change.role,
      leader: change.leader.toString(16),
      term: change.epoch,
    });
  }

  /** Tells the cluster this node's name and client URLs, until the cluster knows them. */
  private publish(): void {
    if (this.publishing || this.group.leader === 0) return;
    const { name, advertiseClientUrls } = this.config;
    const own = this.storage.state.members().find((member) => member.id === this.self.node);
    if (own === undefined) return;
    if (own.name === name && own.clientUrls.join() === advertiseClientUrls.join()) return;
    this.publishing = true;
    const member = create(MemberSchema, {
      ID: BigInt(this.self.node),
      name,
      clientURLs: [...advertiseClientUrls],
    });
    const command = encodeCommand(CommandKind.memberAttributes, toBinary(MemberSchema, member));
    this.group.propose(command, undefined, () => {
      this.publishing = false;
    });
  }

  private figures(): ConstructorParameters<typeof NodeMetrics>[0] {
    const { state } = this.storage;
    return {
      hasLeader: () => this.group.leader !== 0,
      isLeader: () => this.group.leads,
      isLearner: () => this.role.role === "learner",
      appliedIndex: () => state.applied.id.index,
      commitIndex: () => this.group.status.commit,
      pendingProposals: () => this.group.pendingCommands,
      databaseBytes: () => state.sizes().totalBytes,
      databaseBytesInUse: () => state.sizes().inUseBytes,
      quotaBytes: () => this.config.quotaBackendBytes ?? 0,
      keys: () => 0,
      revision: () => state.currentRevision,
      compactedRevision: () => state.compactedRevision,
    };
  }

  private apiContext(): ApiContext {
    const { config, storage, log } = this;
    const node = this;
    return {
      clusterId: BigInt(this.self.clusterId),
      memberId: BigInt(this.self.node),
      clusterName: config.initialClusterToken,
      proposer: this.group,
      reader: storage.state,
      get role() {
        return node.role;
      },
      members: () => storage.state.members(),
      storageSizes: () => {
        const { totalBytes, inUseBytes } = storage.state.sizes();
        return {
          sizeBytes: totalBytes,
          sizeInUseBytes: inUseBytes,
          quotaBytes: config.quotaBackendBytes ?? 0,
        };
      },
      hash: () => storage.state.hash(),
      limits: { maxRequestBytes: config.maxRequestBytes, maxTxnOps: config.maxTxnOps, maxLearners: 1 },
      strictReconfiguration: config.strictReconfigCheck,
      now: () => Date.now(),
      unexpected: (path, error) => log.error("a request failed unexpectedly", { path, error }),
    };
  }
}

/** etcd: five seconds for the work itself, and two elections in its way. */
function requestTimeoutMs(config: ServerConfig): number {
  return 5000 + 2 * config.electionTimeoutMs;
}
