// Every metric of a node. etcd's names where etcd has one, so that its dashboards and alerts work;
// quorate_* for the rest, above all the commit latency by stage. Updating costs nanoseconds.

import { performance } from "node:perf_hooks";
import { collectDefaultMetrics, Registry } from "prom-client";
import type { NodeId } from "../consensus/types.js";
import {
  exponentialBounds,
  FastCounter,
  FastCounterFamily,
  FastGauge,
  FastHistogram,
} from "../metrics/metrics.js";
import type { PeerObserver } from "../replication/peers/peer-network.js";
import type { BatchTimes, GroupObserver } from "../replication/ports.js";
import type { RpcObserver, Status } from "../rpc/call.js";
import { Status as StatusCodes } from "../rpc/call.js";

/** Where the microseconds of a write go, in order. fsync and replicate run in parallel. */
export const commitStages = ["queue", "append", "fsync", "replicate", "commit", "apply", "respond"] as const;

/** What the gauges read when they are scraped. */
export interface NodeFigures {
  hasLeader(): boolean;
  isLeader(): boolean;
  isLearner(): boolean;
  appliedIndex(): number;
  commitIndex(): number;
  pendingProposals(): number;
  databaseBytes(): number;
  databaseBytesInUse(): number;
  quotaBytes(): number;
  keys(): number;
  revision(): number;
  watchers(): number;
  slowWatchers(): number;
  compactedRevision(): number;
}

/** Buckets of etcd's disk histograms: 1 ms, doubling, 14 of them. */
const diskBounds = exponentialBounds(0.001, 2, 14);
const stageBounds = exponentialBounds(0.00001, 2, 20);

const codeNames = new Map<number, string>(
  Object.entries(StatusCodes).map(([name, code]) => [
    code,
    // grpc-go's spelling: InvalidArgument for INVALID_ARGUMENT.
    name === "OK"
      ? "OK"
      : name === "CANCELLED"
        ? "Canceled"
        : name
            .split("_")
            .map((word) => word[0] + word.slice(1).toLowerCase())
            .join(""),
  ]),
);

export class NodeMetrics {
  readonly registry = new Registry();
  readonly walFsync;
  readonly backendCommit;
  private readonly stages;
  private readonly leaderChanges;
  private readonly committed;
  private readonly failed;
  private readonly peerSent;
  private readonly peerReceived;
  private readonly peerSendFailures;
  private readonly peerRoundTrip;
  private readonly rpcStarted;
  private readonly rpcHandled;
  private readonly rpcHandling;
  private readonly clientReceived;
  private readonly clientSent;
  readonly walBytes;
  readonly watchEvents;

  /** @param extensive adds the latency of every method, as etcd's --metrics=extensive does. */
  constructor(figures: NodeFigures, version: string, extensive: boolean) {
    const registry = this.registry;
    collectDefaultMetrics({ register: registry });
    const flag = (value: boolean): number => (value ? 1 : 0);
    const gauge = (name: string, help: string, read: () => number): FastGauge =>
      new FastGauge(registry, name, help, read);
    gauge("etcd_server_has_leader", "Whether a leader is known: 1 or 0.", () => flag(figures.hasLeader()));
    gauge("etcd_server_is_leader", "Whether this member leads: 1 or 0.", () => flag(figures.isLeader()));
    gauge("etcd_server_is_learner", "Whether this member is a learner: 1 or 0.", () =>
      flag(figures.isLearner()),
    );
    gauge("etcd_server_proposals_applied_total", "Index of the last applied entry.", () =>
      figures.appliedIndex(),
    );
    gauge("etcd_server_proposals_pending", "Commands waiting for the log.", () => figures.pendingProposals());
    gauge("etcd_server_quota_backend_bytes", "Quota of the store in bytes.", () => figures.quotaBytes());
    gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes the store takes on disk.", () =>
      figures.databaseBytes(),
    );
    gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of live data.", () =>
      figures.databaseBytesInUse(),
    );
    gauge("etcd_debugging_mvcc_keys_total", "Keys in the store.", () => figures.keys());
    gauge("etcd_debugging_mvcc_watcher_total", "Watches of clients.", () => figures.watchers());
    gauge("etcd_debugging_mvcc_slow_watcher_total", "Watches that are behind.", () => figures.slowWatchers());
    this.watchEvents = new FastCounter(
      registry,
      "etcd_debugging_mvcc_events_total",
      "Events handed to watches.",
    );
    gauge("etcd_debugging_mvcc_current_revision", "Current revision.", () => figures.revision());
    gauge("etcd_debugging_mvcc_compact_revision", "Last compacted revision.", () =>
      figures.compactedRevision(),
    );
    gauge("quorate_applied_index", "Index of the last applied entry.", () => figures.appliedIndex());
    gauge("quorate_commit_index", "Index of the last committed entry.", () => figures.commitIndex());
    let last = performance.eventLoopUtilization();
    gauge(
      "quorate_event_loop_utilization",
      "Share of time the event loop was busy since the last scrape.",
      () => {
        const now = performance.eventLoopUtilization();
        const utilization = performance.eventLoopUtilization(now, last).utilization;
        last = now;
        return utilization;
      },
    );
    new FastCounterFamily(registry, "etcd_server_version", "Version of this server, as a label.", [
      "server_version",
    ]).child(version).value = 1;

    this.committed = new FastCounter(
      registry,
      "etcd_server_proposals_committed_total",
      "Entries seen committed since the process started.",
    );
    this.failed = new FastCounter(registry, "etcd_server_proposals_failed_total", "Commands that failed.");
    this.leaderChanges = new FastCounter(
      registry,
      "etcd_server_leader_changes_seen_total",
      "Changes of leader seen by this member.",
    );
    this.walFsync = new FastHistogram(
      registry,
      "etcd_disk_wal_fsync_duration_seconds",
      "Duration of the log's fdatasync.",
      diskBounds,
    ).child();
    this.walBytes = new FastCounter(registry, "etcd_disk_wal_write_bytes_total", "Bytes written to the log.");
    this.backendCommit = new FastHistogram(
      registry,
      "etcd_disk_backend_commit_duration_seconds",
      "Duration of a batch written to the store.",
      diskBounds,
    ).child();
    const stages = new FastHistogram(
      registry,
      "quorate_commit_stage_seconds",
      "Time of a write by stage, on the node that received it. fsync and replicate run in parallel.",
      stageBounds,
      ["stage"],
    );
    this.stages = Object.fromEntries(commitStages.map((stage) => [stage, stages.child(stage)])) as Record<
      (typeof commitStages)[number],
      ReturnType<typeof stages.child>
    >;
    this.peerSent = new FastCounterFamily(
      registry,
      "etcd_network_peer_sent_bytes_total",
      "Bytes sent to a peer.",
      ["To"],
    );
    this.peerReceived = new FastCounterFamily(
      registry,
      "etcd_network_peer_received_bytes_total",
      "Bytes received from a peer.",
      ["From"],
    );
    this.peerSendFailures = new FastCounterFamily(
      registry,
      "etcd_network_peer_sent_failures_total",
      "Messages that could not be sent to a peer.",
      ["To"],
    );
    this.peerRoundTrip = new FastHistogram(
      registry,
      "etcd_network_peer_round_trip_time_seconds",
      "Round trip of a PING on the link to a peer.",
      exponentialBounds(0.0001, 2, 16),
      ["To"],
    );
    this.rpcStarted = new FastCounterFamily(registry, "grpc_server_started_total", "Calls started.", [
      "grpc_type",
      "grpc_service",
      "grpc_method",
    ]);
    this.rpcHandled = new FastCounterFamily(
      registry,
      "grpc_server_handled_total",
      "Calls ended, by status.",
      ["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
    );
    this.rpcHandling = extensive
      ? new FastHistogram(
          registry,
          "grpc_server_handling_seconds",
          "Time from the first byte of a unary call to its answer.",
          exponentialBounds(0.0001, 2, 18),
          ["grpc_type", "grpc_service", "grpc_method"],
        )
      : undefined;
    this.clientReceived = new FastCounter(
      registry,
      "etcd_network_client_grpc_received_bytes_total",
      "Bytes received from clients.",
    );
    this.clientSent = new FastCounter(
      registry,
      "etcd_network_client_grpc_sent_bytes_total",
      "Bytes sent to clients.",
    );
  }

  /** Counts the calls on the client port. */
  rpcObserver(): RpcObserver {
    interface Method {
      readonly type: string;
      readonly service: string;
      readonly method: string;
      readonly started: { value: number };
      readonly handled: Map<number, { value: number }>;
      readonly handling: ReturnType<FastHistogram["child"]> | undefined;
    }
    const methods = new Map<string, Method>();
    const of = (path: string, kind: "unary" | "stream"): Method => {
      let method = methods.get(path);
      if (method === undefined) {
        const [, service = "", name = ""] = path.split("/");
        const type = kind === "unary" ? "unary" : "bidi_stream";
        method = {
          type,
          service,
          method: name,
          started: this.rpcStarted.child(type, service, name),
          handled: new Map(),
          handling: this.rpcHandling?.child(type, service, name),
        };
        // Unknown paths come from outside: they must not fill the memory.
        if (methods.size < 200) methods.set(path, method);
      }
      return method;
    };
    return {
      started: (path, kind) => {
        of(path, kind).started.value++;
      },
      handled: (path, kind, code: Status, seconds) => {
        const method = of(path, kind);
        let child = method.handled.get(code);
        if (child === undefined) {
          child = this.rpcHandled.child(
            method.type,
            method.service,
            method.method,
            codeNames.get(code) ?? "Unknown",
          );
          method.handled.set(code, child);
        }
        child.value++;
        if (kind === "unary") method.handling?.observe(seconds);
      },
      received: (bytes) => this.clientReceived.add(bytes),
      sent: (bytes) => this.clientSent.add(bytes),
    };
  }

  groupObserver(): Pick<GroupObserver, "batchDone" | "commandsFailed" | "entriesCommitted" | "roleChanged"> {
    let leader: NodeId = 0;
    return {
      roleChanged: (change) => {
        if (change.leader !== 0 && change.leader !== leader) this.leaderChanges.add();
        leader = change.leader;
      },
      entriesCommitted: (entries) => this.committed.add(entries.length),
      commandsFailed: (count) => this.failed.add(count),
      batchDone: (times, commands) => this.observeStages(times, commands),
    };
  }

  private observeStages(times: BatchTimes, commands: number): void {
    const observe = (stage: (typeof commitStages)[number], from: number, to: number): void => {
      if (from > 0 && to >= from) this.stages[stage].observe((to - from) / 1000, commands);
    };
    observe("queue", times.queued, times.proposed);
    observe("append", times.proposed, times.written);
    observe("fsync", times.written, times.durable);
    observe("replicate", times.written || times.proposed, times.committed);
    observe("commit", times.committed, times.applying);
    observe("apply", times.applying, times.applied);
    observe("respond", times.applied, times.answered);
  }

  peerObserver(): Pick<PeerObserver, "sent" | "sendFailed" | "roundTrip"> & {
    received(peer: NodeId, bytes: number): void;
  } {
    return {
      sent: (peer, bytes) => {
        this.peerSent.child(peer.toString(16)).value += bytes;
      },
      received: (peer, bytes) => {
        this.peerReceived.child(peer.toString(16)).value += bytes;
      },
      sendFailed: (peer) => {
        this.peerSendFailures.child(peer.toString(16)).value++;
      },
      roundTrip: (peer, milliseconds) => {
        this.peerRoundTrip.child(peer.toString(16)).observe(milliseconds / 1000);
      },
    };
  }
}
