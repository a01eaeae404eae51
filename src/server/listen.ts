// Binds a server to a URL of the configuration, with one clear line when that cannot be.

import type { RpcServer } from "../rpc/server.js";
import type { Address } from "./address-book.js";
import type { ListenUrl } from "./config.js";
import { StartError } from "./errors.js";

export async function listen(
  server: RpcServer,
  url: ListenUrl,
  purpose: "client" | "peer",
): Promise<Address> {
  try {
    return await server.listen(url.host, url.port);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const reason =
      code === "EADDRINUSE"
        ? "the port is taken by another program"
        : code === "EACCES"
          ? "permission denied"
          : code === "EADDRNOTAVAIL"
            ? "this machine has no such address"
            : error instanceof Error
              ? error.message
              : String(error);
    throw new StartError("portTaken", `cannot listen for ${purpose}s on ${url.url}: ${reason}`, {
      cause: error,
    });
  }
}
