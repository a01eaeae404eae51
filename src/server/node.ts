// A node: builds every layer from a configuration, in the order they depend on each other, and takes
// them down in the reverse. Nothing here decides anything about consensus, storage or the API.

import { randomBytes, randomInt } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import type { ApiContext } from "../api/context.js";
import { apiVersion } from "../api/etcd/version.js";
import { etcdServices } from "../api/services.js";
import type { RoleChange } from "../consensus/engine.js";
import { members } from "../consensus/membership/change.js";
import { file_etcdserverpb_rpc, MemberSchema } from "../gen/etcdserverpb/rpc_pb.js";
import { file_grpc_health_v1_health } from "../gen/grpc/health/v1/health_pb.js";
import type { Lessor } from "../lease/lessor.js";
import type { Logger } from "../logging/logger.js";
import { WatchHub } from "../mvcc/watch/hub.js";
import { Group } from "../replication/group.js";
import { type Hello, protocolVersion } from "../replication/peers/exchange-codec.js";
import { PeerNetwork } from "../replication/peers/peer-network.js";
import { peerMethods } from "../replication/peers/peer-service.js";
import type { Scheduler } from "../replication/ports.js";
import type { GroupFailure } from "../replication/proposer.js";
import { RpcChannel } from "../rpc/client.js";
import { HealthService, ServingStatus } from "../rpc/health.js";
import { reflectionMethods } from "../rpc/reflection.js";
import { RpcServer } from "../rpc/server.js";
import { TurnFlusher } from "../rpc/turn-flusher.js";
import { CommandKind, encodeCommand } from "../state/commands.js";
import { createLessor } from "../state/lease-time.js";
import { type Address, AddressBook } from "./address-book.js";
import type { ServerConfig } from "./config.js";
import { createHttpServer } from "./http.js";
import { listen } from "./listen.js";
import { objectionTo } from "./membership-rules.js";
import { NodeMetrics } from "./metrics.js";
import { markRemoved, type NodeStorage, openStorage, removedError } from "./node-storage.js";
import { connectionsWithin, openFilesLimit, peerConnectionsWithin } from "./open-files.js";
import { type Protocol, protocolOf } from "./protocols.js";

/** Log and messages under way, in payload bytes. */
const bounds = {
  maxInflightMessages: 256,
  maxInflightBytes: 16 << 20,
  maxAppendBytes: 1 << 20,
  maxUncommittedBytes: 128 << 20,
  retainedLogBytes: 32 << 20,
};
/** Links between nodes: few, trusted with much, and busy with large messages. */
const peerLimits = {
  receiveMessageBytes: 64 << 20,
  frameBytes: 1 << 20,
  streamWindowBytes: 16 << 20,
  connectionWindowBytes: 32 << 20,
};
/** Learners a cluster may have at a time, as in etcd. */
const maxLearners = 1;
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
      limits: {
        ...peerLimits,
        // Snapshots and questions must not wait for ever on a dead connection.
        keepaliveIntervalMs: config.electionTimeoutMs,
        keepaliveTimeoutMs: config.electionTimeoutMs,
      },
    });
  let node: Node | undefined;
  let broken: Error | undefined;
  const storage = await new Promise<NodeStorage>((resolve, reject) => {
    const fatal = (error: Error): void => {
      broken ??= error;
      node?.fail(error);
      // What failed may never call back: opening must not wait for it.
      reject(error);
    };
    openStorage(config, log, open, fatal).then(resolve, reject);
  });
  node = new Node(config, log, storage, open, flusher);
  if (broken !== undefined) node.fail(broken);
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
  private readonly watches: WatchHub;
  private readonly metrics: NodeMetrics;
  private readonly addresses: AddressBook;
  private readonly lessor: Lessor<GroupFailure>;
  private readonly health = new HealthService();
  private readonly servers: RpcServer[] = [];
  private readonly timers: NodeJS.Timeout[] = [];
  private role: RoleChange;
  private publishing = false;
  private spaceExceeded = false;
  /** Of the applied state. */
  private memberIds: ReadonlySet<number>;
  /** The applied state has counted this node as a member at some time. */
  private isMember: boolean;
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
    this.protocol = protocolOf(config.consensus);
    const incarnation = randomInt(1, 2 ** 47);
    this.self = {
      clusterId: Number.parseInt(identity.clusterId, 16),
      node: Number.parseInt(identity.memberId, 16),
      engine: config.consensus,
      protocolVersion,
      incarnation,
      memberAsOf: 0,
    };
    this.memberIds = new Set(members(state.applied.membership));
    this.isMember = this.memberIds.has(this.self.node);
    this.addresses = new AddressBook(
      (node) => state.members().find((member) => member.id === node)?.peerUrls,
    );
    for (const member of storage.membersAtBirth) this.addresses.announce(member.id, member.peerUrls);
    this.watches = new WatchHub({
      source: state,
      sent: (events) => this.metrics.watchEvents.add(events),
      onFatal: (error) => this.fail(error),
    });
    this.metrics = new NodeMetrics(this.figures(), apiVersion, config.metrics === "extensive");
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
      memberAsOf: () => (this.memberIds.has(this.self.node) ? state.applied.membershipIndex : 0),
      removed: () => this.leave(),
      controlTimeoutMs: requestTimeoutMs(config),
      silenceMs: config.electionTimeoutMs,
      observer: {
        up: (peer) => log.info("link to peer is up", { peer: peer.toString(16) }),
        down: (peer, reason) => log.debug("link to peer is down", { peer: peer.toString(16), reason }),
        sent: peerObserver.sent,
        sendFailed: peerObserver.sendFailed,
        roundTrip: peerObserver.roundTrip,
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
    this.lessor = createLessor({
      state,
      group: () => this.group,
      ...scheduler,
      electionTimeoutMs: config.electionTimeoutMs,
    });
    this.group = new Group<unknown>({
      group: 0,
      node: this.self.node,
      incarnation,
      engine,
      wal: storage.wal,
      stateMachine: state,
      transport: this.network,
      scheduler,
      answerQuestion: (question, reply) => this.lessor.answer(question, reply),
      observer: {
        ...observer,
        roleChanged: (change) => {
          observer.roleChanged?.(change);
          this.roleChanged(change);
        },
        membershipApplied: () => this.membershipApplied(),
        warn: (message, fields) => log.warn(message, fields),
      },
      requestTimeoutMs: requestTimeoutMs(config),
      electionTimeoutMs: config.electionTimeoutMs,
      retainedLogBytes: bounds.retainedLogBytes,
      retainedLogEntries: config.snapshotCount,
      restoredEntries: restored.state.entries,
      strictReconfiguration: config.strictReconfigCheck,
      objection: (change) => objectionTo(change, state.members(), maxLearners),
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
        const known = this.storage.state.members();
        return known.length > 0 ? known : this.storage.membersAtBirth;
      },
      isRemoved: (member, memberAsOf) =>
        memberAsOf > 0 && this.storage.state.applied.id.index >= memberAsOf && !this.memberIds.has(member),
      received: peerObserver.received,
      warn: (message, fields) => log.warn(message, fields),
    });
    const openFiles = openFilesLimit();
    let refusalLoggedAt = Number.NEGATIVE_INFINITY;
    const refused = (port: "client" | "peer", reason: string): void => {
      if (performance.now() - refusalLoggedAt < 10_000) return;
      refusalLoggedAt = performance.now();
      log.warn("connections are refused", { port, reason, openFiles });
    };
    for (const url of config.listenPeerUrls) {
      const server = new RpcServer({
        methods: peers,
        flusher: this.flusher,
        limits: peerLimits,
        ...(openFiles === undefined ? {} : { maxConnections: peerConnectionsWithin(openFiles) }),
        onConnectionRefused: (reason) => refused("peer", reason),
      });
      this.servers.push(server);
      this.peerAddresses.push(await listen(server, url, "peer"));
    }
    this.every(config.heartbeatIntervalMs, () => this.group.tick());
    this.every(100, () => this.lessor.tick());
    this.every(500, () => {
      this.publish();
      this.checkSpace();
    });
    const served = [...etcdServices(this.apiContext()), ...this.health.methods()];
    const schemas = [file_etcdserverpb_rpc, file_grpc_health_v1_health];
    const methods = [...served, ...reflectionMethods(served, schemas)];
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
        ...(openFiles === undefined ? {} : { maxConnections: connectionsWithin(openFiles) }),
        onConnectionRefused: (reason) => refused("client", reason),
        onConnectionError: (_code, peer, reason) => log.warn("connection refused", { peer, reason }),
      });
      this.servers.push(server);
      this.clientAddresses.push(await listen(server, url, "client"));
    }
    // What was bound after the node began to end was not closed by that.
    if (this.ending !== undefined) for (const server of this.servers) server.close();
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

  /** A joining node may begin with a state older than itself: only who was a member can be removed. */
  private membershipApplied(): void {
    this.memberIds = new Set(members(this.storage.state.applied.membership));
    if (this.memberIds.has(this.self.node)) this.isMember = true;
    else if (this.isMember) this.leave();
  }

  /** This member was removed, as its own log or another member says: it ends, and for good. */
  private leave(): void {
    if (this.ending !== undefined) return;
    const { memberId } = this.storage.identity;
    const error = removedError(memberId, this.config.dataDir);
    this.log.error("the node stops", { error });
    try {
      markRemoved(memberId, this.config.dataDir);
    } catch (cause) {
      this.log.warn("cannot note the removal in the data folder", { error: cause });
    }
    this.ending = this.shutDown(error, true);
  }

  /** Start failed half-way. */
  async abandon(): Promise<void> {
    this.ending ??= this.shutDown(undefined);
    await this.ending;
  }

  /** @param orderly requests under way are finished, and what is buffered is written. */
  private async shutDown(failure: Error | undefined, orderly = failure === undefined): Promise<void> {
    if (orderly && this.group.leads) await this.handOver();
    const watchesClosed = this.watches.close();
    if (orderly) await watchesClosed;
    const clients = this.servers.slice(this.config.listenPeerUrls.length);
    if (orderly) await Promise.all(clients.map((server) => server.drain(drainMs)));
    for (const timer of this.timers) clearInterval(timer);
    this.group.stop();
    this.network.close();
    for (const server of this.servers) server.close();
    let closing: Error | undefined;
    await this.storage.close(!orderly).catch((error: unknown) => {
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
    this.lessor.reconsider();
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

  /** Looks whether the store has outgrown its quota; until it shrinks, writes that add are refused. */
  private checkSpace(): void {
    const { quotaBackendBytes: quota } = this.config;
    this.spaceExceeded = quota !== undefined && this.storage.state.sizes().totalBytes > quota;
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
      watchers: () => this.watches.watchers,
      slowWatchers: () => this.watches.slowWatchers,
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
      leases: this.lessor,
      watches: this.watches,
      electionTimeoutMs: config.electionTimeoutMs,
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
      limits: {
        maxRequestBytes: config.maxRequestBytes,
        maxTxnOps: config.maxTxnOps,
        maxLearners,
        minLeaseTtl: Math.ceil((1.5 * config.electionTimeoutMs) / 1000),
      },
      strictReconfiguration: config.strictReconfigCheck,
      randomId: () => randomBytes(8).readBigUInt64BE() & 0x7fff_ffff_ffff_ffffn || 1n,
      now: () => Date.now(),
      get spaceExceeded() {
        return node.spaceExceeded;
      },
      unexpected: (path, error) => log.error("a request failed unexpectedly", { path, error }),
    };
  }
}

/** etcd: five seconds for the work itself, and two elections in its way. */
function requestTimeoutMs(config: ServerConfig): number {
  return 5000 + 2 * config.electionTimeoutMs;
}
