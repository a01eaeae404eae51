// The etcd version this server stands for: what clients read in Status, /version and the like to decide
// which features they may use.

/** Version of the API served. */
export const apiVersion = "3.6.0";
/** Version of etcd's storage schema whose features the store has. */
export const storageVersion = "3.6.0";
/** Version the members agree on, major and minor only differ by it. */
export const clusterVersion = "3.6.0";
