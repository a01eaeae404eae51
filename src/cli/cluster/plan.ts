// What a local cluster consists of: names, ports and folders of its nodes. The folder remembers what
// it was founded with, so that running the command again continues the same cluster.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../server/config.js";
import { makeFolder } from "../../server/folders.js";

export interface NodePlan {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly dataDir: string;
  readonly logFile: string;
}

export interface ClusterPlan {
  readonly folder: string;
  /** The folder holds no cluster yet. */
  readonly isNew: boolean;
  readonly consensus: string;
  readonly nodes: readonly NodePlan[];
}

export interface PlanOptions {
  readonly dataDir: string;
  readonly nodes?: number;
  readonly clientPorts?: readonly number[];
  readonly peerPorts?: readonly number[];
  readonly consensus?: string;
}

/** What cluster.json in the folder says. */
interface Founding {
  readonly consensus: string;
  readonly clientPorts: readonly number[];
  readonly peerPorts: readonly number[];
}

const foundingFile = "cluster.json";
/** With the customary ports: 2379, 22379, …, 62379. */
const mostNodesByDefault = 6;
const mostNodes = 9;

const port = (base: number, at: number): number => (at === 0 ? base : base + (at + 1) * 10_000);

/**
 * Lays out a cluster; writes nothing.
 * @throws ConfigError when the options contradict each other or what the folder was founded with.
 */
export function planCluster(options: PlanOptions): ClusterPlan {
  const file = join(options.dataDir, foundingFile);
  const founded = existsSync(file) ? readFounding(file) : undefined;
  const founding = founded === undefined ? found(options) : reconcile(options, founded);
  return {
    folder: options.dataDir,
    isNew: founded === undefined,
    consensus: founding.consensus,
    nodes: founding.clientPorts.map((clientPort, at) => ({
      name: `n${at + 1}`,
      clientPort,
      peerPort: founding.peerPorts[at]!,
      dataDir: join(options.dataDir, `n${at + 1}`),
      logFile: join(options.dataDir, `n${at + 1}.log`),
    })),
  };
}

/** Makes the folder of a new cluster and writes down what it is founded with. */
export function foundCluster(plan: ClusterPlan): void {
  const founding: Founding = {
    consensus: plan.consensus,
    clientPorts: plan.nodes.map((node) => node.clientPort),
    peerPorts: plan.nodes.map((node) => node.peerPort),
  };
  try {
    makeFolder(plan.folder);
    writeFileSync(join(plan.folder, foundingFile), `${JSON.stringify(founding, undefined, 2)}\n`);
  } catch (error) {
    throw new ConfigError(`cannot write to ${plan.folder}: ${(error as Error).message}`);
  }
}

function found(options: PlanOptions): Founding {
  const count = options.nodes ?? options.clientPorts?.length ?? options.peerPorts?.length ?? 3;
  const most =
    options.clientPorts === undefined || options.peerPorts === undefined ? mostNodesByDefault : mostNodes;
  if (count > most)
    throw new ConfigError(
      `--nodes ${count}: at most ${most}${most === mostNodesByDefault ? ", or name the ports with --client-ports and --peer-ports" : ""}`,
    );
  const all = Array.from({ length: count }, (_, at) => at);
  const clientPorts = options.clientPorts ?? all.map((at) => port(2379, at));
  const peerPorts = options.peerPorts ?? all.map((at) => port(2380, at));
  for (const [flag, ports] of [
    ["--client-ports", clientPorts],
    ["--peer-ports", peerPorts],
  ] as const)
    if (ports.length !== count) throw new ConfigError(`${flag} has ${ports.length} ports for ${count} nodes`);
  const taken = new Set<number>();
  for (const one of [...clientPorts, ...peerPorts]) {
    if (taken.has(one)) throw new ConfigError(`port ${one} is given twice`);
    taken.add(one);
  }
  return { consensus: options.consensus ?? "raft", clientPorts, peerPorts };
}

function reconcile(options: PlanOptions, founded: Founding): Founding {
  const refuse = (what: string): never => {
    throw new ConfigError(`${options.dataDir} holds a cluster ${what}; use another --data-dir for a new one`);
  };
  const count = founded.clientPorts.length;
  if (options.nodes !== undefined && options.nodes !== count)
    refuse(`of ${count} node${count === 1 ? "" : "s"}`);
  if (options.consensus !== undefined && options.consensus !== founded.consensus)
    refuse(`founded with ${founded.consensus}`);
  if (options.clientPorts !== undefined && options.clientPorts.join() !== founded.clientPorts.join())
    refuse(`on client ports ${founded.clientPorts.join(",")}`);
  if (options.peerPorts !== undefined && options.peerPorts.join() !== founded.peerPorts.join())
    refuse(`on peer ports ${founded.peerPorts.join(",")}`);
  return founded;
}

function readFounding(file: string): Founding {
  const isPorts = (value: unknown): value is number[] =>
    Array.isArray(value) && value.length > 0 && value.every((one) => Number.isSafeInteger(one));
  let value: Partial<Founding>;
  try {
    value = JSON.parse(readFileSync(file, "utf8")) as Partial<Founding>;
  } catch (error) {
    throw new ConfigError(`cannot read ${file}: ${(error as Error).message}`);
  }
  const { consensus, clientPorts, peerPorts } = value;
  if (
    typeof consensus !== "string" ||
    !isPorts(clientPorts) ||
    !isPorts(peerPorts) ||
    clientPorts.length !== peerPorts.length
  )
    throw new ConfigError(`${file} is damaged: expected consensus, clientPorts and peerPorts`);
  return { consensus, clientPorts, peerPorts };
}

/** The arguments of `quorate server` for one node of the plan. */
export function serverArguments(plan: ClusterPlan, node: NodePlan, logLevel: string): string[] {
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  return [
    `--name=${node.name}`,
    `--data-dir=${node.dataDir}`,
    `--wal-dir=${join(node.dataDir, "wal")}`,
    `--listen-client-urls=${url(node.clientPort)}`,
    `--advertise-client-urls=${url(node.clientPort)}`,
    `--listen-peer-urls=${url(node.peerPort)}`,
    `--initial-advertise-peer-urls=${url(node.peerPort)}`,
    `--initial-cluster=${plan.nodes.map((one) => `${one.name}=${url(one.peerPort)}`).join(",")}`,
    "--initial-cluster-state=new",
    "--initial-cluster-token=quorate-local",
    `--consensus=${plan.consensus}`,
    `--log-level=${logLevel}`,
    "--log-format=json",
  ];
}
