// How the load generator reaches an endpoint: one connection of our own HTTP/2 client each.
import type { Channel } from "../src/rpc/call.js";
import { RpcChannel } from "../src/rpc/client.js";
import { defaultRpcLimits } from "../src/rpc/limits.js";
import type { Endpoint } from "./connections.js";

// The server under test is trusted, and one built on grpc-go sends a PING in every round trip while it
// estimates bandwidth: thousands a second on an idle machine.
const limits = { flood: { ...defaultRpcLimits.flood, pings: 1_000_000 } };

export function openChannel(endpoint: Endpoint): Channel {
  const separator = endpoint.lastIndexOf(":");
  const host = endpoint.slice(0, separator).replace(/^\[(.*)\]$/, "$1");
  return new RpcChannel({ host, port: Number(endpoint.slice(separator + 1)), authority: endpoint, limits });
}
