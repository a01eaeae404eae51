// Whose data a folder holds. Written once when the folder is first used and compared at every start,
// so that a node never works with the log of another cluster, member or consensus engine.
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "./checksum.js";
import { nodeDisk } from "./disk.js";
import { IdentityMismatch, openFailure } from "./errors.js";

export interface Identity {
  readonly clusterId: string;
  readonly memberId: string;
  /** Name of the consensus engine the cluster was born with. */
  readonly engine: string;
}

const FILE = "identity.json";
/** Version of the layout of the whole data folder. */
const FORMAT = 1;

const FIELDS: readonly { readonly key: keyof Identity; readonly label: string }[] = [
  { key: "clusterId", label: "cluster" },
  { key: "memberId", label: "member" },
  { key: "engine", label: "consensus engine" },
];

const checksumOf = (identity: Identity): string =>
  crc32(Buffer.from(JSON.stringify([FORMAT, identity.clusterId, identity.memberId, identity.engine])))
    .toString(16)
    .padStart(8, "0");

/**
 * The identity of the folder; undefined when it has none.
 * @throws IdentityMismatch when the record cannot be read, WalFolderUnusable
 */
export async function readIdentity(directory: string): Promise<Identity | undefined> {
  const path = join(directory, FILE);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw openFailure(path, error as Error);
  }
  return parse(path, text);
}

function parse(path: string, text: string): Identity {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch (error) {
    throw new IdentityMismatch(`${path} is damaged: ${(error as Error).message}`, { cause: error });
  }
  if (typeof record !== "object" || record === null)
    throw new IdentityMismatch(`${path} is damaged: no record`);
  const { format, clusterId, memberId, engine, crc32: stated } = record as Record<string, unknown>;
  if (format !== FORMAT) {
    throw new IdentityMismatch(`${path} has format ${String(format)}, this version reads ${FORMAT}`);
  }
  if (typeof clusterId !== "string" || typeof memberId !== "string" || typeof engine !== "string") {
    throw new IdentityMismatch(`${path} is damaged: a field is missing`);
  }
  const identity: Identity = { clusterId, memberId, engine };
  if (stated !== checksumOf(identity))
    throw new IdentityMismatch(`${path} is damaged: the checksum is wrong`);
  return identity;
}

/** Writes the record atomically: after a crash it is there whole or not at all. */
async function writeIdentity(directory: string, identity: Identity): Promise<void> {
  const path = join(directory, FILE);
  const record = { format: FORMAT, ...identity, crc32: checksumOf(identity) };
  const handle = await open(`${path}.new`, "w", 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(record, null, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.new`, path);
  await nodeDisk().syncDirectory(directory);
}

/**
 * Makes sure the folder belongs to `identity`; gives it that identity when it has none. The folder
 * exists and is locked.
 * @throws IdentityMismatch, WalFolderUnusable, WalDiskFull
 */
export async function claimFolder(directory: string, identity: Identity): Promise<"claimed" | "ours"> {
  const found = await readIdentity(directory);
  if (found === undefined) {
    await writeIdentity(directory, identity).catch((error: Error) => {
      throw openFailure(directory, error);
    });
    return "claimed";
  }
  for (const { key, label } of FIELDS) {
    if (found[key] !== identity[key]) {
      throw new IdentityMismatch(
        `${directory} belongs to ${label} ${found[key]}, this node was started as ${identity[key]}`,
      );
    }
  }
  return "ours";
}
