import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { portProblem, unhealthy } from "./health.js";

async function serving<T>(listener: RequestListener, use: (port: number) => Promise<T>): Promise<T> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

describe("unhealthy()", () => {
  it("finds nothing wrong with a node that answers 200 to /health", async () => {
    const answer = await serving(
      (request, response) => response.writeHead(request.url === "/health" ? 200 : 404).end("{}"),
      unhealthy,
    );
    assert.equal(answer, undefined);
  });

  it("quotes what an unhealthy node answers", async () => {
    const answer = await serving((_, response) => response.writeHead(503).end("no leader\n"), unhealthy);
    assert.equal(answer, "503 no leader");
  });

  it("tells a node that does not listen, and one that hangs up", async () => {
    const port = await serving(
      () => {},
      async (free) => free,
    );
    assert.equal(await unhealthy(port), "not listening yet");
    assert.match((await serving((request) => request.socket.destroy(), unhealthy)) ?? "", /hang up|reset/);
  });
});

describe("portProblem()", () => {
  it("names a port that is taken, and is silent about a free one", async () => {
    const port = await serving(
      () => {},
      async (taken) => {
        assert.equal(await portProblem(taken), `port ${taken} is taken by another program`);
        return taken;
      },
    );
    assert.equal(await portProblem(port), undefined);
  });
});
