// All services of the client port that speak etcd's API. What is missing here, the rpc layer answers
// with UNIMPLEMENTED.

import type { RawMethod } from "../rpc/call.js";
import type { ApiContext } from "./context.js";
import { clusterMethods } from "./etcd/cluster.js";
import { kvMethods } from "./etcd/kv.js";
import { leaseMethods } from "./etcd/lease.js";
import { maintenanceMethods } from "./etcd/maintenance.js";
import { watchMethods } from "./etcd/watch.js";

export function etcdServices(context: ApiContext): RawMethod[] {
  return [
    ...kvMethods(context),
    ...leaseMethods(context),
    ...watchMethods(context),
    ...clusterMethods(context),
    ...maintenanceMethods(context),
  ];
}
