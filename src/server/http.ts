// What the client port answers to HTTP/1.1: /health, /version and /metrics, in etcd's words.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Registry } from "prom-client";
import type { GroupFailure } from "../replication/proposer.js";

export interface HttpOptions {
  readonly registry: Registry;
  readonly version: string;
  readonly hasLeader: () => boolean;
  readonly readBarrier: (done: (failure: GroupFailure | undefined) => void) => void;
}

/** Milliseconds without a byte either way after which a connection is closed. */
const idleMs = 10_000;

/** A server that is never listened on: connections are handed to it by the RPC server. */
export function createHttpServer(options: HttpOptions): Server {
  const server = createServer((request, response) => {
    answer(request, response, options).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain" });
      response.end(`${error instanceof Error ? error.message : String(error)}\n`);
    });
  });
  server.keepAliveTimeout = 30_000;
  // A server that does not listen itself never looks at headersTimeout and requestTimeout.
  server.setTimeout(idleMs, (socket) => socket.destroy());
  return server;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpOptions,
): Promise<void> {
  const url = parseTarget(request.url ?? "/");
  if (url === undefined) return send(response, 400, "text/plain", "Bad Request\n");
  const known = ["/health", "/version", "/metrics"].includes(url.pathname);
  if (!known) return send(response, 404, "text/plain", "404 page not found\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET");
    return send(response, 405, "text/plain", "Method Not Allowed\n");
  }
  if (url.pathname === "/version") {
    const [major, minor] = options.version.split(".");
    const cluster = `${major}.${minor}.0`;
    const body = { etcdserver: options.version, etcdcluster: cluster, storage: cluster };
    return send(response, 200, "application/json", JSON.stringify(body));
  }
  if (url.pathname === "/metrics") {
    return send(response, 200, options.registry.contentType, await options.registry.metrics());
  }
  const reason = await unhealthyBecause(url.searchParams.get("serializable") === "true", options);
  const body = JSON.stringify({ health: reason === "" ? "true" : "false", reason });
  return send(response, reason === "" ? 200 : 503, "application/json", body);
}

/** The target of a request; undefined when it is none. A path may begin with any number of slashes. */
function parseTarget(target: string): URL | undefined {
  const absolute = target.startsWith("/") ? `http://localhost${target}` : target;
  return URL.canParse(absolute) ? new URL(absolute) : undefined;
}

/** Empty when healthy. */
async function unhealthyBecause(serializable: boolean, options: HttpOptions): Promise<string> {
  if (serializable) return "";
  if (!options.hasLeader()) return "RAFT NO LEADER";
  const failure = await new Promise<GroupFailure | undefined>((resolve) => options.readBarrier(resolve));
  return failure === undefined ? "" : `QGET ERROR:${failure.reason}`;
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}
