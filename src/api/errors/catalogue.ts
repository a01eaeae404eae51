// Every error the server can answer with, in one table. docs/errors.md is generated from it.

import { authErrors } from "./auth.js";
import { clusterErrors } from "./cluster.js";
import { kvErrors } from "./kv.js";
import { ownErrors, undocumentedErrors } from "./other.js";

export const errors = {
  ...kvErrors,
  ...clusterErrors,
  ...authErrors,
  ...undocumentedErrors,
  ...ownErrors,
} as const;

/** The table in its parts, with a heading for each. */
export const errorGroups = [
  { title: "Keys, transactions, leases and watches", errors: Object.values(kvErrors) },
  { title: "Members, leadership and availability", errors: Object.values(clusterErrors) },
  { title: "Users, roles and tokens", errors: Object.values(authErrors) },
  { title: "What etcd answers without documenting it", errors: Object.values(undocumentedErrors) },
  { title: "Quorate's own", errors: Object.values(ownErrors) },
] as const;
