// The same watch scenarios to a real etcd and to this API on the real state, through @grpc/grpc-js and
// through the unmodified etcdctl: every response must be the same in every field. Masked: cluster,
// member and term. Both servers begin empty, so even revisions are equal.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { toJsonString } from "@bufbuild/protobuf";
import { type WatchResponse, WatchResponseSchema } from "../../gen/etcdserverpb/rpc_pb.js";
import { EtcdProcess, etcdVersion } from "../testing/etcd-process.js";
import { type SingleNode, startSingleNode } from "../testing/single-node.js";
import { WatchClient, type WatchSession } from "../testing/watch-session.js";

const version = etcdVersion();
const skip = version === undefined && process.env.CI !== "true" && "etcd is not installed";

/** Milliseconds after which etcdctl will not print any more. */
const patienceMs = 15_000;

/** Ends every scenario: its event comes after everything else a stream has to say. */
const fenceId = 77_777n;

function masked(response: WatchResponse): string {
  const { header } = response;
  assert.ok(header !== undefined && header.clusterId > 0n && header.memberId > 0n && header.raftTerm > 0n);
  Object.assign(header, { clusterId: 0n, memberId: 0n, raftTerm: 0n });
  return toJsonString(WatchResponseSchema, response);
}

class Play {
  readonly transcript: string[] = [];
  constructor(readonly client: WatchClient) {}

  /** Takes down the next responses of a stream. */
  async hear(session: WatchSession, count: number): Promise<void> {
    for (let at = 0; at < count; at++) this.transcript.push(masked(await session.next()));
  }

  /** Takes down the next revision, in however many pieces. */
  async hearRevision(session: WatchSession): Promise<void> {
    this.transcript.push(...(await session.until(({ fragment }) => !fragment)).map(masked));
  }

  /** Takes down all that comes until everything that happened was told. */
  async fence(session: WatchSession): Promise<void> {
    session.create({ key: "zz-fence", watchId: fenceId });
    const created = await session.until(({ watchId }) => watchId === fenceId);
    await this.client.put("zz-fence");
    const events = await session.until(({ watchId }) => watchId === fenceId);
    session.cancel(fenceId);
    const last = await session.until(({ watchId }) => watchId === fenceId);
    // The order of watches within a revision is nobody's promise.
    this.transcript.push(...created.map(masked), ...[...events, ...last].map(masked).sort());
  }
}

const scenarios: Readonly<Record<string, (play: Play) => Promise<void>>> = {
  "ids are chosen from 0, given ones are kept, used ones and empty ranges are refused": async (play) => {
    const stream = play.client.watch();
    for (const watchId of [0n, 0n, 3n, 2n, 0n, 0n, 3n, -5n]) {
      stream.create({ key: "id", watchId });
      await play.hear(stream, 1);
    }
    stream.create({ key: "b", rangeEnd: "a" });
    stream.create({ key: "b", rangeEnd: "b" });
    stream.create({ key: "b", rangeEnd: "b", watchId: 3n });
    await play.hear(stream, 3);
    stream.cancel(3n);
    await play.hear(stream, 1);
    stream.cancel(3n);
    stream.cancel(1234n);
    stream.create({ key: "id", watchId: 3n });
    await play.hear(stream, 1);
    await play.client.del("id");
    await play.fence(stream);
    stream.abort();
  },

  "keys, ranges, filters and previous values": async (play) => {
    const { client } = play;
    await client.put("k1", "before");
    for (const fields of [
      { key: "k1" },
      { key: "k1", rangeEnd: "k3" },
      { key: "k", rangeEnd: "\0" },
      { key: "\0", rangeEnd: "\0" },
      { key: "" },
      { key: "k1", prevKv: true },
      { key: "k", rangeEnd: "l", prevKv: true },
      { key: "k1", filters: [0] },
      { key: "k1", filters: [1] },
      { key: "k1", filters: [0, 1] },
      { key: "k", rangeEnd: "l", filters: [0], prevKv: true },
    ]) {
      const stream = client.watch();
      stream.create(fields);
      await play.hear(stream, 1);
      await client.put("k1", "1");
      await client.put("k1", "2");
      await client.put("k2", "1");
      await client.put("k3", "1");
      await client.del("nothing");
      await client.txn("put k1 3", "del k2", "put k4 4");
      await client.del("k1", "l");
      await client.put("m");
      await play.fence(stream);
      stream.abort();
    }
  },

  "a watch from an old revision gets all of history, one from a future revision nothing below": async (
    play,
  ) => {
    const { client } = play;
    const probe = client.watch();
    probe.create({ key: "probe" });
    const begin = Number((await probe.next()).header!.revision);
    probe.abort();
    for (let n = 0; n < 20; n++) await client.put(`h${n % 4}`, String(n));
    await client.txn("put h0 x", "put h1 y", "del h2");
    await client.del("h0", "i");
    for (const back of [22, 21, 10, 1, 0]) {
      for (const prevKv of [false, true]) {
        const stream = client.watch();
        stream.create({ key: "h", rangeEnd: "i", startRevision: BigInt(begin + 23 - back), prevKv });
        await play.hear(stream, back > 0 ? 2 : 1);
        await play.fence(stream);
        stream.abort();
      }
    }
    const early = client.watch();
    early.create({ key: "h", rangeEnd: "i" });
    const now = (await early.next()).header!.revision;
    const late = client.watch();
    late.create({ key: "h", rangeEnd: "i", startRevision: now + 3n });
    await play.hear(late, 1);
    for (let n = 0; n < 5; n++) {
      await client.put("h1", String(n));
      await play.hear(early, 1);
      if (n >= 2) await play.hear(late, 1);
    }
    await play.fence(late);
    early.abort();
    late.abort();
  },

  "a watch from a compacted revision is created and ended": async (play) => {
    const { client } = play;
    for (let n = 0; n < 10; n++) await client.put("c", String(n));
    await client.del("c");
    const probe = client.watch();
    probe.create({ key: "c" });
    const now = (await probe.next()).header!.revision;
    await client.compact(Number(now) - 4);
    for (const back of [6n, 5n]) {
      const stream = client.watch();
      stream.create({ key: "c", startRevision: now - back });
      await play.hear(stream, 2);
      // The ended watch still has its id until it is canceled.
      stream.create({ key: "c", watchId: 0n });
      await play.hear(stream, 1);
      stream.cancel(0n);
      await play.hear(stream, 1);
      await play.fence(stream);
      stream.abort();
    }
    for (const back of [4n, 3n, 0n]) {
      const stream = client.watch();
      stream.create({ key: "c", startRevision: now - back, prevKv: true });
      await play.hear(stream, 2);
      await play.fence(stream);
      stream.abort();
    }
    // What is deleted at the compacted revision itself, versions before 3.4.34 forget (etcd 18089).
    probe.abort();
  },

  "progress on request, once for all watches of the stream": async (play) => {
    const { client } = play;
    const stream = client.watch();
    stream.create({ key: "p" });
    stream.create({ key: "q", rangeEnd: "r" });
    await play.hear(stream, 2);
    stream.progress();
    await play.hear(stream, 1);
    await client.put("p", "1");
    await client.put("other", "1");
    await play.hear(stream, 1);
    stream.progress();
    await play.hear(stream, 1);
    await play.fence(stream);
    stream.abort();
  },

  "requests of no kind are passed over, a half-closed stream goes on": async (play) => {
    const { client } = play;
    const stream = client.watch();
    stream.sendBytes(Buffer.alloc(0));
    stream.create({ key: "e" });
    await play.hear(stream, 1);
    stream.sendBytes(Buffer.alloc(0));
    await play.fence(stream);
    stream.halfClose();
    await client.put("e", "1");
    await client.del("e");
    await play.hear(stream, 2);
    stream.abort();
  },

  "a request that does not parse ends the stream": async (play) => {
    const stream = play.client.watch();
    stream.sendBytes(Buffer.from([0x0a, 0x05, 0x61]));
    const end = await stream.ended();
    play.transcript.push(end.replace(/(unmarshal the received message).*/, "$1…"));
  },

  "a revision too large for one message is cut where the client asks for it": async (play) => {
    const { client } = play;
    const value = "v".repeat(400_000);
    const plain = client.watch();
    const cut = client.watch();
    plain.create({ key: "f", rangeEnd: "g", prevKv: true });
    cut.create({ key: "f", rangeEnd: "g", prevKv: true, fragment: true });
    await play.hear(plain, 1);
    await play.hear(cut, 1);
    const three = (): Promise<void> => client.txn(`put f1 ${value}`, `put f2 ${value}`, `put f3 ${value}`);
    for (const write of [three, three, () => client.put("f4", value), () => client.del("f", "g")]) {
      await write();
      for (const stream of [plain, cut]) await play.hearRevision(stream);
    }
    for (const stream of [plain, cut]) {
      play.transcript.push(stream.sizes.map((size) => Math.round(size / 1000)).join(" "));
      stream.abort();
    }
  },
};

describe("watches, through @grpc/grpc-js,", { skip }, () => {
  for (const [name, scenario] of Object.entries(scenarios)) {
    for (const cacheBytes of [1 << 20, 1]) {
      it(`are as etcd's: ${name}${cacheBytes === 1 ? ", from the disk" : ""}`, async () => {
        const etcd = new EtcdProcess();
        const node = await startSingleNode(cacheBytes);
        const clients = [etcd.address, node.address].map((address) => new WatchClient(address));
        try {
          await Promise.all(clients.map((client) => client.ready()));
          const plays = clients.map((client) => new Play(client));
          await Promise.all(plays.map((play) => scenario(play)));
          const [theirs, ours] = plays.map(({ transcript }) => transcript);
          assert.deepEqual(ours, theirs);
          assert.deepEqual(node.surprises, []);
        } finally {
          for (const client of clients) client.close();
          await Promise.all([etcd.stop(), node.stop()]);
        }
      });
    }
  }
});

describe("watches, through etcdctl,", { skip }, () => {
  let etcd: EtcdProcess;
  let node: SingleNode;
  let clients: readonly WatchClient[];

  before(async () => {
    etcd = new EtcdProcess();
    node = await startSingleNode();
    clients = [etcd.address, node.address].map((address) => new WatchClient(address));
    await Promise.all(clients.map((client) => client.ready()));
  });
  after(async () => {
    for (const client of clients) client.close();
    await Promise.all([etcd.stop(), node.stop()]);
  });

  /** What etcdctl prints until it has printed `enough`, or has ended by itself. */
  function etcdctl(
    client: WatchClient,
    args: readonly string[],
    enough: RegExp,
    input = "",
    begun: () => Promise<void> = async () => {},
  ): Promise<string> {
    const endpoint = client.address.replace(/^unix:/, "unix://");
    const env = { PATH: process.env.PATH, ETCDCTL_API: "3" };
    const child = spawn("etcdctl", ["--endpoints", endpoint, ...args], { env });
    let printed = "";
    const take = (chunk: Buffer): void => {
      printed += chunk.toString();
      if (enough.test(printed)) child.kill("SIGKILL");
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    // It may be killed before it has read this.
    child.stdin.on("error", () => undefined);
    child.stdin.write(input);
    const patience = setTimeout(() => child.kill("SIGKILL"), patienceMs);
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        clearTimeout(patience);
        const found = enough.exec(printed);
        const wanted = found === null ? printed : printed.slice(0, found.index + found[0].length);
        const anonymous = wanted.replace(/"(ClusterID|MemberID|RaftTerm)" : \d+/g, '"$1" : …');
        resolve(`${anonymous}\n${signal ?? code}`);
      });
      begun().catch(reject);
    });
  }

  async function same(
    args: readonly string[],
    enough: RegExp,
    input?: string,
    begun?: (client: WatchClient) => Promise<void>,
  ): Promise<string> {
    const [theirs, ours] = await Promise.all(
      clients.map((client) =>
        etcdctl(client, args, enough, input, () => begun?.(client) ?? Promise.resolve()),
      ),
    );
    assert.equal(ours, theirs);
    return ours!;
  }

  it("print the same history, in all formats", async () => {
    for (const client of clients) {
      await client.put("ctl/a", "1");
      await client.put("ctl/a", "2");
      await client.put("ctl/b", "3");
      await client.txn("put ctl/c 4", "del ctl/a");
      await client.put("ctl/end", "end");
    }
    const found = await same(["watch", "ctl/", "--prefix", "--rev=1", "--prev-kv"], /\nend\n/);
    assert.match(found, /^PUT\nctl\/a\n1\nPUT\nctl\/a\n1\nctl\/a\n2\n/);
    await same(["watch", "ctl/a", "ctl/c", "--rev=3", "--hex"], /DELETE[\s\S]*?\n\n/);
    await same(["watch", "ctl/a", "--rev=1", "-w", "fields"], /DELETE[\s\S]*?"Lease" : 0\n/);
  });

  it("print the same of what happens now", async () => {
    const put = (client: WatchClient): Promise<void> => client.put("now/begun");
    await same(["watch", "now/", "--prefix", "--rev=1"], /begun\n\n/, "", put);
  });

  it("run interactively", async () => {
    await same(["watch", "-i"], /\nend\n/, "watch --rev=2 --prefix ctl/\n");
  });

  it("end with the same error when history is gone", async () => {
    for (const client of clients) await client.compact(4);
    const found = await same(["watch", "ctl/", "--prefix", "--rev=2"], /never/);
    assert.match(found, /required revision has been compacted/);
  });
});
