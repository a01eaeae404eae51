// What the tests of bad input ask of a cluster: calls that return their status instead of throwing, and
// the proof, after whatever was done to it, that every node still answers and that all hold the same.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  HashResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
} from "../../gen/etcdserverpb/rpc_pb.js";
import type { CallEnd } from "../../rpc/call.js";
import { RpcChannel } from "../../rpc/client.js";
import type { NodeProcess } from "../harness/node-process.js";
import { callOnce, eventually, type ProcessCluster } from "../harness/process-cluster.js";

export const bytes = (text: string): Uint8Array => Buffer.from(text, "utf8");

export function encode<D extends DescMessage>(schema: D, request: MessageInitShape<D>): Uint8Array {
  return toBinary(schema, create(schema, request));
}

/** One unary call on a connection of its own; resolves with how it ended, whatever that is. */
export async function ending(
  port: number,
  path: string,
  request: Uint8Array,
  timeoutMs = 10_000,
): Promise<CallEnd> {
  const channel = new RpcChannel({ host: "127.0.0.1", port });
  try {
    await channel.connect();
    return await new Promise<CallEnd>((resolve) => {
      channel.unary(path, request, { timeoutMs }, (end) => resolve(end));
    });
  } finally {
    channel.close();
  }
}

/** Puts and resolves with the revision. Rejects unless it was acknowledged. */
export async function put(node: NodeProcess, key: string, value: string | Uint8Array): Promise<bigint> {
  const request = encode(PutRequestSchema, {
    key: bytes(key),
    value: typeof value === "string" ? bytes(value) : value,
  });
  const answer = await callOnce(node.plan.clientPort, "/etcdserverpb.KV/Put", request, 10_000);
  return fromBinary(PutResponseSchema, answer).header!.revision;
}

/** The value as a linearizable read through this node sees it. */
export async function get(node: NodeProcess, key: string): Promise<string | undefined> {
  const request = encode(RangeRequestSchema, { key: bytes(key) });
  const answer = await callOnce(node.plan.clientPort, "/etcdserverpb.KV/Range", request, 10_000);
  const kv = fromBinary(RangeResponseSchema, answer).kvs[0];
  return kv === undefined ? undefined : Buffer.from(kv.value).toString("utf8");
}

/** All keys that begin with the prefix, as a linearizable read through this node sees them. */
export async function getAll(node: NodeProcess, prefix: string): Promise<Map<string, string>> {
  const end = bytes(prefix).slice();
  end[end.length - 1]!++;
  const request = encode(RangeRequestSchema, { key: bytes(prefix), rangeEnd: end });
  const answer = await callOnce(node.plan.clientPort, "/etcdserverpb.KV/Range", request, 10_000);
  const text = (value: Uint8Array): string => Buffer.from(value).toString("utf8");
  return new Map(
    fromBinary(RangeResponseSchema, answer).kvs.map(({ key, value }) => [text(key), text(value)]),
  );
}

/**
 * Every node of the cluster runs, takes a put, and reads what was put through the others; then all
 * have the same hash at the same revision.
 */
export async function assertWhole(cluster: ProcessCluster): Promise<void> {
  const { nodes } = cluster;
  for (const node of nodes) {
    assert.ok(node.running, `${node.plan.name} has ended:\n${node.output.slice(-3000)}`);
  }
  await cluster.ready();
  const written = await Promise.all(
    nodes.map(async (node) => {
      const key = `witness/${node.plan.name}`;
      const value = randomUUID();
      await eventually(`a put through ${node.plan.name}`, 20_000, () => put(node, key, value));
      return { key, value };
    }),
  );
  for (const node of nodes)
    for (const { key, value } of written) assert.equal(await get(node, key), value, node.plan.name);
  await eventually("equal hashes", 20_000, async () => {
    const all = await Promise.all(
      nodes.map(async (node) => {
        const answer = await callOnce(
          node.plan.clientPort,
          "/etcdserverpb.Maintenance/Hash",
          new Uint8Array(0),
        );
        const { hash, header } = fromBinary(HashResponseSchema, answer);
        return `${hash} at ${header?.revision}`;
      }),
    );
    if (new Set(all).size > 1) throw new Error(all.join(", "));
    return all[0];
  });
  for (const node of nodes) {
    assert.doesNotMatch(node.output, /a handler threw|failed unexpectedly|stopped by a bug|INTERNAL_ERROR/);
  }
}

/** Resolves with the exit status; fails when the process does not end in time. */
export async function endOf(node: NodeProcess, timeoutMs = 30_000): Promise<number | string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      node.signal("SIGKILL");
      reject(new Error(`${node.plan.name} goes on after ${timeoutMs} ms:\n${node.output.slice(-3000)}`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([node.exited, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The lines for people among what it printed: those that are no log line. */
export function plainLines(output: string): string[] {
  return output.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
}
