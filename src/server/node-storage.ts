// Everything a node keeps on disk, opened and checked in one place: the lock and the identity of the
// data folder, the store, the replicated state and the log.

import { closeSync, existsSync, fsyncSync, openSync, readdirSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Membership } from "../consensus/types.js";
import type { Logger } from "../logging/logger.js";
import type { MemberInfo } from "../replication/peers/peer-service.js";
import { type Restored, restoreGroup } from "../replication/restore.js";
import { bootstrapId, ReplicatedState } from "../state/replicated-state.js";
import { StoreError } from "../storage/errors.js";
import { openStore } from "../storage/rocks-store.js";
import type { KeyValueStore } from "../storage/types.js";
import { createWriteBehind } from "../storage/write-behind.js";
import { FolderLocked, IdentityMismatch, WalDamaged, WalDiskFull, WalError } from "../wal/errors.js";
import { type FolderLock, lockFolder } from "../wal/folder-lock.js";
import { claimFolder, type Identity, readIdentity } from "../wal/identity.js";
import { openWal } from "../wal/open.js";
import type { Wal } from "../wal/types.js";
import { type Birth, giveBirth, type OpenChannel } from "./bootstrap.js";
import type { ServerConfig } from "./config.js";
import { StartError } from "./errors.js";
import { makeFolder } from "./folders.js";
import { clusterIdOf, initialMemberId } from "./identifiers.js";
import type { NodeMetrics } from "./metrics.js";

export interface NodeStorage {
  readonly identity: Identity;
  readonly state: ReplicatedState;
  readonly wal: Wal;
  readonly restored: Restored;
  /** Members as known when the node was born; empty on later starts. */
  readonly membersAtBirth: readonly MemberInfo[];
  /** From now on, disk times are counted. */
  observe(metrics: NodeMetrics): void;
  /** @param abandon something broke: do not try to write what is still buffered. */
  close(abandon: boolean): Promise<void>;
}

/** Opens or creates what a node keeps. Rejects with a StartError. */
export async function openStorage(
  config: ServerConfig,
  log: Logger,
  open: OpenChannel,
  fatal: (error: Error) => void,
): Promise<NodeStorage> {
  const undo: (() => Promise<void>)[] = [];
  try {
    return await openAll(config, log, open, fatal, undo);
  } catch (error) {
    for (const step of undo.reverse()) {
      await step().catch((second: unknown) => log.warn("closing failed", { error: second }));
    }
    throw startError(error, config);
  }
}

async function openAll(
  config: ServerConfig,
  log: Logger,
  open: OpenChannel,
  fatal: (error: Error) => void,
  undo: (() => Promise<void>)[],
): Promise<NodeStorage> {
  makeDataFolder(config.dataDir);
  const lock: FolderLock = await lockFolder(config.dataDir);
  undo.push(() => lock.release());
  const known = await readIdentity(config.dataDir);
  if (known !== undefined && existsSync(removedMark(config.dataDir))) {
    throw removedError(known.memberId, config.dataDir);
  }
  const hadLog = hasSegments(config.walDir);
  if (known === undefined && hadLog) {
    throw new StartError(
      "foreignData",
      `${config.walDir} holds a log, but ${config.dataDir} has no identity record: they do not belong together`,
    );
  }
  if (known !== undefined) checkEngine(known, config);
  let birth = known === undefined ? await giveBirth(config, open) : undefined;
  const identity: Identity = known ?? identityOf(birth!, config);
  const walLock = await claimWalFolder(config, identity, undo);
  await claimFolder(config.dataDir, identity);
  let metrics: NodeMetrics | undefined;
  const store = await openStore(join(config.dataDir, "store"));
  undo.push(() => store.close());
  const observeWrite = (seconds: number): void => metrics?.backendCommit.observe(seconds);
  let state = await openState(store, config, birth, fatal, observeWrite);
  undo.push(() => state.close());
  if (known !== undefined && !hadLog && state.applied.id.index > bootstrapId.index) {
    throw new StartError(
      "damagedLog",
      `the log in ${config.walDir} is missing: without it this member does not know what it voted for; ` +
        "remove the member, clear its data folder and add it again",
    );
  }
  const { wal, groups, tornTail } = await openWal({
    directory: config.walDir,
    onFatal: fatal,
    onSync: (seconds, bytes) => {
      metrics?.walFsync.observe(seconds);
      metrics?.walBytes.add(bytes);
    },
  });
  undo.push(() => wal.close());
  if (tornTail !== undefined) log.warn("cut off an interrupted write at the end of the log", { ...tornTail });
  const recovered = groups.get(0);
  if (state.applied.id.index === 0 && birth === undefined) {
    if (recovered !== undefined && (recovered.after.index > 0 || recovered.entries.length > 0)) {
      throw new StartError(
        "damagedLog",
        `the store in ${config.dataDir} is missing, though the log in ${config.walDir} goes on from it; ` +
          "remove the member, clear its data folder and add it again",
      );
    }
    // The first start was interrupted before there was any state: be born again, as the same member.
    birth = await giveBirth(config, open);
    await claimFolder(config.dataDir, identityOf(birth, config));
    await state.close();
    state = await openState(store, config, birth, fatal, observeWrite);
  }
  checkBelonging(identity, state, config);
  const restored = restoreGroup(state.applied, recovered);
  await prepareLog(wal, restored);
  return {
    identity,
    state,
    wal,
    restored,
    membersAtBirth: birth?.members ?? [],
    observe: (observer) => {
      metrics = observer;
    },
    close: async (abandon) => {
      try {
        if (abandon) state.abandon();
        else await state.close();
        await wal.close();
      } finally {
        await store.close();
        await walLock?.release();
        await lock.release();
      }
    },
  };
}

/**
 * The log's folder is locked and marked like the data folder: it may lie elsewhere, and it may be named
 * in the configuration of another node.
 */
async function claimWalFolder(
  config: ServerConfig,
  identity: Identity,
  undo: (() => Promise<void>)[],
): Promise<FolderLock | undefined> {
  if (resolve(config.walDir) === resolve(config.dataDir)) return undefined;
  makeDataFolder(config.walDir);
  const lock = await lockFolder(config.walDir);
  undo.push(() => lock.release());
  await claimFolder(config.walDir, identity);
  return lock;
}

function openState(
  store: KeyValueStore,
  config: ServerConfig,
  birth: Birth | undefined,
  fatal: (error: Error) => void,
  onWrite: (seconds: number) => void,
): Promise<ReplicatedState> {
  const founding = birth?.founding === true ? birth : undefined;
  return ReplicatedState.open({
    store,
    group: 0,
    createBuffer: (initialIndex) => createWriteBehind(store, { initialIndex, onFatal: fatal, onWrite }),
    cacheBytes: config.cacheBytes,
    onFatal: fatal,
    ...(founding === undefined
      ? {}
      : { bootstrap: { membership: membershipOf(founding.members), members: founding.members } }),
  });
}

function membershipOf(members: readonly MemberInfo[]): Membership {
  const voters = members.map((member) => member.id).sort((a, b) => a - b);
  return { voters, outgoing: [], learners: [], learnersNext: [], autoLeave: false };
}

/** Makes the log begin where the store says, when it does not. */
function prepareLog(wal: Wal, restored: Restored): Promise<void> {
  const after = restored.restartLogAfter;
  if (after === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    const { hardState } = restored.state;
    wal.append({ group: 0, entries: [], hardState, restartAfter: after, mustSync: true }, resolve);
  });
}

function identityOf(birth: Birth, config: ServerConfig): Identity {
  return {
    clusterId: birth.clusterId.toString(16),
    memberId: birth.memberId.toString(16),
    engine: config.consensus,
  };
}

function checkEngine(identity: Identity, config: ServerConfig): void {
  if (identity.engine === config.consensus) return;
  throw new StartError(
    "engine",
    `${config.dataDir} belongs to a cluster that runs ${identity.engine}; it cannot be opened with ${config.consensus}`,
  );
}

/**
 * Refuses the data of another cluster. As in etcd the flags that describe a birth are not needed
 * later; but when they describe another cluster than the data, the folder is the wrong one.
 */
function checkBelonging(identity: Identity, state: ReplicatedState, config: ServerConfig): void {
  const ids = config.initialCluster.map(({ peerUrls }) =>
    initialMemberId(peerUrls, config.initialClusterToken),
  );
  const described = clusterIdOf(ids).toString(16);
  if (described === identity.clusterId || config.initialClusterState === "existing") return;
  const { membership, membershipIndex } = state.applied;
  const own = state.members().find((member) => member.id.toString(16) === identity.memberId);
  const founders = membershipIndex <= bootstrapId.index;
  const explicit = config.initialCluster.length > 1 || membership.voters.length === 1;
  const moved = own?.peerUrls.join() !== config.initialAdvertisePeerUrls.join();
  if (!explicit || !(founders || moved)) return;
  throw new StartError(
    "foreignData",
    `${config.dataDir} holds data of cluster ${identity.clusterId}, but --initial-cluster and ` +
      `--initial-cluster-token describe cluster ${described}`,
  );
}

const removedMark = (dataDir: string): string => join(dataDir, "removed");

/** Why a node that is no member any more does not run. */
export function removedError(memberId: string, dataDir: string): StartError {
  return new StartError(
    "removed",
    `member ${memberId} has been permanently removed from the cluster; ` +
      `to let this machine back in, add it as a new member and start it with ${dataDir} cleared`,
  );
}

/** Remembers that the member was removed: it must not start again with this data. */
export function markRemoved(memberId: string, dataDir: string): void {
  const file = openSync(removedMark(dataDir), "w", 0o600);
  try {
    writeSync(file, `member ${memberId} was removed from its cluster\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function makeDataFolder(folder: string): void {
  try {
    makeFolder(folder);
  } catch (error) {
    throw new StartError("dataFolder", `cannot create ${folder}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function hasSegments(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).some((name) => name.endsWith(".wal"));
}

function startError(error: unknown, config: ServerConfig): Error {
  if (error instanceof StartError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const wrap = (code: StartError["code"]): StartError => new StartError(code, message, { cause: error });
  if (error instanceof WalDamaged) return wrap("damagedLog");
  if (error instanceof WalDiskFull) return wrap("diskFull");
  if (error instanceof IdentityMismatch) return wrap("foreignData");
  if (error instanceof FolderLocked || error instanceof WalError || error instanceof StoreError) {
    return wrap("dataFolder");
  }
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "EACCES" || code === "EROFS" || code === "EPERM") {
    return new StartError("dataFolder", `cannot write to ${config.dataDir}: ${message}`, { cause: error });
  }
  return error instanceof Error ? error : new Error(message);
}
