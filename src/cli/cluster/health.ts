// Asks nodes whether they are healthy, and whether a port is free before anything is started.

import { get } from "node:http";
import { createServer } from "node:net";

/** Undefined when the node answers 200 to /health; otherwise what is wrong, in words. */
export function unhealthy(clientPort: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = get(
      { host: "127.0.0.1", port: clientPort, path: "/health", agent: false, timeout: 2000 },
      (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          body += chunk;
        });
        response.on("error", (error) => resolve(error.message));
        response.on("end", () =>
          resolve(response.statusCode === 200 ? undefined : `${response.statusCode} ${body.trim()}`),
        );
      },
    );
    request.on("timeout", () => request.destroy(new Error("no answer within 2 s")));
    request.on("error", (error: Error & { code?: string }) =>
      resolve(error.code === "ECONNREFUSED" ? "not listening yet" : error.message),
    );
  });
}

/** Why the port cannot be listened on; undefined when it can. */
export function portProblem(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", (error: Error & { code?: string }) => {
      if (error.code === "EADDRINUSE") resolve(`port ${port} is taken by another program`);
      else if (error.code === "EACCES") resolve(`port ${port} needs more rights than this user has`);
      else resolve(`port ${port} cannot be used: ${error.message}`);
    });
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(undefined)));
  });
}
