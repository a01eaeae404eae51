// Keeps a second process out of a data folder. Each process listens on a socket file of its own in
// the folder and then calls every other one there: whoever answers is alive, whoever does not is dead
// for certain, because the kernel closes sockets with the process. So a lock left behind by kill -9
// never blocks, a reused process id never confuses, and containers that share the folder and not
// their process ids see each other.
import { randomBytes } from "node:crypto";
import { open, readdir, rename, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { FolderLocked, openFailure, WalFolderUnusable } from "./errors.js";

/** What a socket address holds on the platforms we run on, with the final zero byte. */
const ADDRESS_BYTES = 104;
const NAME = /^lock-(\d+)-([0-9a-f]{16})\.sock$/;
const HELD = 0x68;
const STARTING = 0x73;
const RETRY_MS = 20;
/** How long a process that is only just starting is waited for before it counts as the holder. */
const PATIENCE_MS = 5000;
/** How long an answer is waited for; a stopped process is connected to and never answers. */
const ANSWER_MS = 500;

export interface FolderLock {
  /** Lets others in. */
  release(): Promise<void>;
}

type Answer = "held" | "starting" | "dead";

/** Short names for the socket files: an address is far shorter than a path may be. */
interface Addresses {
  of(name: string): string;
  close(): Promise<void>;
}

async function addressesIn(directory: string): Promise<Addresses> {
  const longest = `lock-${2 ** 22}-${"0".repeat(16)}.sock.new`;
  const fits = [directory, relative(process.cwd(), directory) || "."].find(
    (base) => Buffer.byteLength(join(base, longest)) < ADDRESS_BYTES,
  );
  if (fits !== undefined) {
    return { of: (name) => join(fits, name), close: () => Promise.resolve() };
  }
  if (process.platform !== "linux") {
    throw new WalFolderUnusable(directory, new Error("the path is too long for a socket address"));
  }
  const handle = await open(directory, "r");
  return { of: (name) => `/proc/self/fd/${handle.fd}/${name}`, close: () => handle.close() };
}

/** Asks the process behind a socket file what it is. */
function ask(address: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = connect(address);
    const answer = (value: Answer): void => {
      socket.destroy();
      resolve(value);
    };
    // Connected and silent: a process that is stopped or busy, and alive.
    socket.setTimeout(ANSWER_MS, () => answer("held"));
    socket.once("data", (bytes) => answer(bytes[0] === STARTING ? "starting" : "held"));
    socket.once("end", () => answer("held"));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") answer("dead");
      // Its queue of connections is full, or it closed while answering.
      else if (error.code === "EAGAIN" || error.code === "ECONNRESET" || error.code === "EPIPE")
        answer("held");
      else reject(error);
    });
  });
}

class Contender implements FolderLock {
  readonly name = `lock-${process.pid}-${randomBytes(8).toString("hex")}.sock`;
  readonly #directory: string;
  readonly #addresses: Addresses;
  readonly #server: Server;
  #held = false;
  #released: Promise<void> | undefined;

  constructor(directory: string, addresses: Addresses) {
    this.#directory = directory;
    this.#addresses = addresses;
    this.#server = createServer((socket: Socket) => {
      socket.on("error", () => socket.destroy());
      socket.end(Buffer.from([this.#held ? HELD : STARTING]));
    });
    // The lock must not keep a process alive that has nothing else to do.
    this.#server.unref();
  }

  /** Shows itself under its name only once it answers: a name that does not answer is dead. */
  async appear(): Promise<void> {
    const hidden = `${this.name}.new`;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#addresses.of(hidden), () => resolve());
    });
    await rename(join(this.#directory, hidden), join(this.#directory, this.name));
  }

  /**
   * Takes the lock when no other process is there.
   * @returns the other one that is in the way
   */
  async tryToHold(): Promise<
    { readonly name: string; readonly pid: number; readonly answer: Answer } | undefined
  > {
    let ownSeen = false;
    for (const name of (await readdir(this.#directory)).sort()) {
      const match = NAME.exec(name);
      if (match === null) continue;
      if (name === this.name) {
        ownSeen = true;
        continue;
      }
      const answer = await ask(this.#addresses.of(name));
      if (answer !== "dead") return { name, pid: Number(match[1]), answer };
      await unlink(join(this.#directory, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
      });
    }
    if (!ownSeen) throw new Error(`${this.name} has disappeared from ${this.#directory}`);
    this.#held = true;
    return undefined;
  }

  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  async #release(): Promise<void> {
    await unlink(join(this.#directory, this.name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.#addresses.close();
  }
}

/**
 * Locks the folder for this process until released or dead. The folder exists.
 * @throws FolderLocked, WalFolderUnusable
 */
export async function lockFolder(directory: string): Promise<FolderLock> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const addresses = await addressesIn(directory).catch((error: Error) => {
      throw openFailure(directory, error);
    });
    const contender = new Contender(directory, addresses);
    try {
      await contender.appear();
      for (;;) {
        const other = await contender.tryToHold();
        if (other === undefined) return contender;
        if (other.answer === "held" || Date.now() > deadline) throw new FolderLocked(directory, other.pid);
        // Two are starting: the one whose name comes later makes room for the other.
        if (contender.name > other.name) break;
        await delay(RETRY_MS);
      }
      await contender.release();
    } catch (error) {
      await contender.release();
      throw openFailure(directory, error as Error);
    }
    await delay(RETRY_MS);
  }
}
