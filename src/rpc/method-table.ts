// The methods a server knows, by path, and what callers of others are told.

import { type RawMethod, RpcError, Status } from "./call.js";

export class MethodTable {
  private readonly methods = new Map<string, RawMethod>();
  private readonly services = new Set<string>();

  /** @throws Error when a path is malformed or taken. */
  add(methods: Iterable<RawMethod>): void {
    for (const method of methods) {
      const match = /^\/([^/]+)\/([^/]+)$/.exec(method.path);
      if (match === null) throw new Error(`malformed method path ${method.path}`);
      if (this.methods.has(method.path)) throw new Error(`method ${method.path} is already served`);
      this.methods.set(method.path, method);
      this.services.add(match[1]!);
    }
  }

  find(path: string): RawMethod | undefined {
    return this.methods.get(path);
  }

  get serviceNames(): string[] {
    return [...this.services];
  }

  /** The answer to a path that find() does not know; texts as grpc-go has them. */
  unknown(path: string): RpcError {
    const name = path.startsWith("/") ? path.slice(1) : path;
    const slash = name.lastIndexOf("/");
    if (slash < 0 || !path.startsWith("/")) {
      return new RpcError(Status.UNIMPLEMENTED, `malformed method name: ${JSON.stringify(path)}`);
    }
    const service = name.slice(0, slash);
    return this.services.has(service)
      ? new RpcError(Status.UNIMPLEMENTED, `unknown method ${name.slice(slash + 1)} for service ${service}`)
      : new RpcError(Status.UNIMPLEMENTED, `unknown service ${service}`);
  }
}
