// The one table of the server's options. Flags, environment variables, keys of the YAML file, the
// text of --help, the table in docs/operations.md and all bounds come from here. Names and defaults
// are etcd's where etcd has the option.

export type OptionGroup = "Member" | "Cluster" | "Consensus" | "Storage" | "Limits" | "Observation";

interface OptionBase {
  /** As a flag (--name), in YAML (name:) and, upper-cased, in the environment (QUORATE_NAME). */
  readonly name: string;
  readonly group: OptionGroup;
  readonly help: string;
  /** What applies when nothing is said, in words when it depends on other options. */
  readonly defaultText: string;
}

export interface StringOption extends OptionBase {
  readonly type: "string";
}

export interface UrlsOption extends OptionBase {
  /** Comma-separated URLs, or a list in YAML. */
  readonly type: "urls";
}

export interface MembersOption extends OptionBase {
  /** name=url,name=url; in YAML also a mapping from name to URL or URLs. */
  readonly type: "members";
}

export interface NumberOption extends OptionBase {
  readonly type: "integer" | "milliseconds" | "bytes";
  readonly default: number;
  readonly min: number;
  readonly max: number;
}

export interface BooleanOption extends OptionBase {
  readonly type: "boolean";
  readonly default: boolean;
}

export interface ChoiceOption extends OptionBase {
  readonly type: "choice";
  readonly default: string;
  readonly choices: readonly string[];
  /** Known, but answered "not available in this version". */
  readonly planned?: readonly string[];
}

export type OptionSpec =
  | StringOption
  | UrlsOption
  | MembersOption
  | NumberOption
  | BooleanOption
  | ChoiceOption;

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

export const defaultQuotaBytes = 2 * GIB;

export const options = [
  {
    name: "config-file",
    group: "Member",
    type: "string",
    defaultText: "none",
    help: "YAML file with these options as keys; flags and environment variables win over it",
  },
  {
    name: "name",
    group: "Member",
    type: "string",
    defaultText: "default",
    help: "name of this member, as --initial-cluster has it",
  },
  {
    name: "data-dir",
    group: "Member",
    type: "string",
    defaultText: "<name>.quorate",
    help: "folder of everything this member keeps; created when missing",
  },
  {
    name: "wal-dir",
    group: "Member",
    type: "string",
    defaultText: "<data-dir>/wal",
    help: "folder of the write-ahead log; a disk of its own pays off",
  },
  {
    name: "listen-client-urls",
    group: "Member",
    type: "urls",
    defaultText: "http://localhost:2379",
    help: "addresses to serve clients on; port 0 takes a free one",
  },
  {
    name: "advertise-client-urls",
    group: "Member",
    type: "urls",
    defaultText: "those listened on",
    help: "addresses under which clients reach this member",
  },
  {
    name: "listen-peer-urls",
    group: "Member",
    type: "urls",
    defaultText: "http://localhost:2380",
    help: "addresses to serve the other members on",
  },
  {
    name: "initial-advertise-peer-urls",
    group: "Cluster",
    type: "urls",
    defaultText: "those listened on",
    help: "addresses under which the other members reach this one",
  },
  {
    name: "initial-cluster",
    group: "Cluster",
    type: "members",
    defaultText: "this member alone",
    help: "every member of the cluster at birth, this one included: name=url,name=url",
  },
  {
    name: "initial-cluster-state",
    group: "Cluster",
    type: "choice",
    default: "new",
    choices: ["new", "existing"],
    defaultText: "new",
    help: "new: found the cluster; existing: join one that has added this member",
  },
  {
    name: "initial-cluster-token",
    group: "Cluster",
    type: "string",
    defaultText: "quorate-cluster",
    help: "part of the identity of a new cluster; tells apart two with the same URLs",
  },
  {
    name: "strict-reconfig-check",
    group: "Cluster",
    type: "boolean",
    default: true,
    defaultText: "true",
    help: "refuse changes of membership that would endanger the quorum",
  },
  {
    name: "consensus",
    group: "Consensus",
    type: "choice",
    default: "raft",
    choices: ["raft", "multi-paxos"],
    planned: ["zab"],
    defaultText: "raft",
    help: "protocol of a new cluster, chosen once at its birth",
  },
  {
    name: "heartbeat-interval",
    group: "Consensus",
    type: "milliseconds",
    default: 100,
    min: 1,
    max: 10_000,
    defaultText: "100",
    help: "milliseconds between heartbeats of the leader",
  },
  {
    name: "election-timeout",
    group: "Consensus",
    type: "milliseconds",
    default: 1000,
    min: 5,
    max: 50_000,
    defaultText: "1000",
    help: "milliseconds without a leader until an election; at least 5 heartbeats",
  },
  {
    name: "snapshot-count",
    group: "Storage",
    type: "integer",
    default: 10_000,
    min: 1,
    max: 1_000_000_000,
    defaultText: "10000",
    help: "entries after which the log is cut, as far as the store is durable",
  },
  {
    name: "quota-backend-bytes",
    group: "Storage",
    type: "bytes",
    default: 0,
    min: Number.MIN_SAFE_INTEGER,
    max: Number.MAX_SAFE_INTEGER,
    defaultText: "0",
    help: "size of the store at which writes are refused; 0 means 2 GiB, negative means no limit",
  },
  {
    name: "cache-bytes",
    group: "Storage",
    type: "bytes",
    default: 128 * MIB,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    defaultText: "128MiB",
    help: "memory for recently used values",
  },
  {
    name: "max-request-bytes",
    group: "Limits",
    type: "bytes",
    default: 1_572_864,
    min: 1024,
    max: GIB,
    defaultText: "1572864",
    help: "largest request a client may send",
  },
  {
    name: "max-txn-ops",
    group: "Limits",
    type: "integer",
    default: 128,
    min: 1,
    max: 1_000_000,
    defaultText: "128",
    help: "comparisons or operations in one transaction, at most",
  },
  {
    name: "max-concurrent-streams",
    group: "Limits",
    type: "integer",
    default: 10_000,
    min: 1,
    max: 2 ** 32 - 1,
    defaultText: "10000",
    help: "calls under way on one client connection, at most",
  },
  {
    name: "log-level",
    group: "Observation",
    type: "choice",
    default: "info",
    choices: ["debug", "info", "warn", "error"],
    defaultText: "info",
    help: "least level that is logged",
  },
  {
    name: "log-format",
    group: "Observation",
    type: "choice",
    default: "auto",
    choices: ["auto", "json", "text"],
    defaultText: "auto",
    help: "JSON lines or text; auto is text on a terminal and JSON elsewhere",
  },
  {
    name: "metrics",
    group: "Observation",
    type: "choice",
    default: "basic",
    choices: ["basic", "extensive"],
    defaultText: "basic",
    help: "extensive adds a histogram of latencies for every gRPC method",
  },
] as const satisfies readonly OptionSpec[];

export type OptionName = (typeof options)[number]["name"];

export const optionByName: ReadonlyMap<string, OptionSpec & { readonly name: OptionName }> = new Map(
  options.map((option) => [option.name, option]),
);

/** QUORATE_INITIAL_CLUSTER for initial-cluster. */
export function environmentName(option: string): string {
  return `QUORATE_${option.toUpperCase().replaceAll("-", "_")}`;
}

/** The placeholder of an option's value in help texts. */
export function placeholder(option: OptionSpec): string {
  switch (option.type) {
    case "string":
      return option.name === "config-file" ? "<file>" : option.name.endsWith("-dir") ? "<folder>" : "<text>";
    case "urls":
      return "<urls>";
    case "members":
      return "<name=url,…>";
    case "integer":
      return "<number>";
    case "milliseconds":
      return "<ms>";
    case "bytes":
      return "<bytes>";
    case "boolean":
      return "<true|false>";
    case "choice":
      return `<${option.choices.join("|")}>`;
    default: {
      const unexpected: never = option;
      throw new Error(`unknown type of option: ${JSON.stringify(unexpected)}`);
    }
  }
}

/**
 * Options of etcd that this version does not have. They are answered as such, so that someone who
 * moves a configuration over learns at once which guarantee would silently be missing.
 */
export const unavailableOptions: ReadonlySet<string> = new Set([
  "auth-token",
  "auth-token-ttl",
  "auto-compaction-mode",
  "auto-compaction-retention",
  "auto-tls",
  "backend-batch-interval",
  "backend-batch-limit",
  "backend-bbolt-freelist-type",
  "bcrypt-cost",
  "cert-file",
  "cipher-suites",
  "client-cert-allowed-hostname",
  "client-cert-auth",
  "client-cert-file",
  "client-crl-file",
  "client-key-file",
  "client-transport-security",
  "compact-hash-check-enabled",
  "compact-hash-check-time",
  "compaction-batch-limit",
  "compaction-sleep-interval",
  "corrupt-check-time",
  "cors",
  "discovery",
  "discovery-srv",
  "discovery-srv-name",
  "distributed-tracing-address",
  "enable-distributed-tracing",
  "enable-grpc-gateway",
  "enable-pprof",
  "enable-v2",
  "feature-gates",
  "force-new-cluster",
  "grpc-keepalive-interval",
  "grpc-keepalive-min-time",
  "grpc-keepalive-timeout",
  "host-whitelist",
  "initial-corrupt-check",
  "initial-election-tick-advance",
  "key-file",
  "listen-client-http-urls",
  "listen-metrics-urls",
  "log-outputs",
  "log-rotation-config-json",
  "logger",
  "max-learners",
  "max-snapshots",
  "max-wals",
  "memory-mlock",
  "peer-auto-tls",
  "peer-cert-allowed-cn",
  "peer-cert-allowed-hostname",
  "peer-cert-file",
  "peer-client-cert-auth",
  "peer-client-cert-file",
  "peer-client-key-file",
  "peer-crl-file",
  "peer-key-file",
  "peer-skip-client-san-verification",
  "peer-transport-security",
  "peer-trusted-ca-file",
  "pre-vote",
  "proxy",
  "self-signed-cert-validity",
  "snapshot-catchup-entries",
  "socket-reuse-address",
  "socket-reuse-port",
  "tls-max-version",
  "tls-min-version",
  "trusted-ca-file",
  "unsafe-no-fsync",
  "warning-apply-duration",
  "warning-unary-request-duration",
  "watch-progress-notify-interval",
]);
