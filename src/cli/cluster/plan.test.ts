import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ConfigError, parseServerConfig } from "../../server/config.js";
import { foundCluster, type PlanOptions, planCluster, serverArguments } from "./plan.js";

describe("the plan of a local cluster", () => {
  let folder: string;
  beforeEach(() => {
    folder = join(mkdtempSync(join(tmpdir(), "quorate-plan-")), "data");
  });
  afterEach(() => rmSync(join(folder, ".."), { recursive: true }));

  const plan = (options: Omit<PlanOptions, "dataDir"> = {}) => planCluster({ dataDir: folder, ...options });
  const refused = (options: Omit<PlanOptions, "dataDir">, message: RegExp) =>
    assert.throws(
      () => plan(options),
      (error) => error instanceof ConfigError && message.test(error.message),
    );

  it("has three nodes on the customary ports unless told otherwise", () => {
    assert.deepEqual(
      plan().nodes.map((node) => [node.name, node.clientPort, node.peerPort]),
      [
        ["n1", 2379, 2380],
        ["n2", 22379, 22380],
        ["n3", 32379, 32380],
      ],
    );
    assert.equal(plan({ nodes: 6 }).nodes[5]?.clientPort, 62379);
  });

  it("refuses more nodes than there are customary ports, unless ports are named", () => {
    refused({ nodes: 7 }, /at most 6, or name the ports/);
    const clientPorts = [1, 2, 3, 4, 5, 6, 7];
    const peerPorts = clientPorts.map((port) => port + 10);
    assert.equal(plan({ clientPorts, peerPorts }).nodes.length, 7);
  });

  it("refuses ports that do not fit the nodes or each other", () => {
    refused({ nodes: 3, clientPorts: [1, 2] }, /--client-ports has 2 ports for 3 nodes/);
    refused({ clientPorts: [1, 2], peerPorts: [2, 3] }, /port 2 is given twice/);
  });

  it("is continued from its folder, whatever is left unsaid the second time", () => {
    const first = plan({ clientPorts: [11, 12], peerPorts: [21, 22] });
    assert.equal(first.isNew, true);
    foundCluster(first);
    assert.deepEqual(plan(), { ...first, isNew: false });
  });

  it("refuses to continue a cluster of another shape, and says which it holds", () => {
    foundCluster(plan());
    refused({ nodes: 5 }, /holds a cluster of 3 nodes; use another --data-dir/);
    refused({ clientPorts: [1, 2, 3] }, /on client ports 2379,22379,32379/);
    refused({ consensus: "zab" }, /founded with raft/);
  });

  it("refuses a damaged record without replacing it", () => {
    foundCluster(plan());
    const file = join(folder, "cluster.json");
    for (const text of ["{", '{"consensus":"raft","clientPorts":[1],"peerPorts":[]}']) {
      writeFileSync(file, text);
      refused({}, /cluster\.json/);
      assert.equal(readFileSync(file, "utf8"), text);
    }
  });

  it("says that a folder cannot be made where a file is in the way", () => {
    writeFileSync(folder, "");
    assert.throws(() => foundCluster(planCluster({ dataDir: join(folder, "below") })), /cannot write to/);
  });

  it("gives every node arguments that a server accepts, alike but for its own place", () => {
    const laidOut = plan();
    const configs = laidOut.nodes.map((node) =>
      parseServerConfig(serverArguments(laidOut, node, "warn"), {}, () => ""),
    );
    assert.deepEqual(new Set(configs.map((config) => JSON.stringify(config.initialCluster))).size, 1);
    assert.equal(configs[1]?.initialCluster.length, 3);
    assert.equal(new Set(configs.map((config) => config.walDir)).size, 3);
    assert.deepEqual(configs[2]?.listenClientUrls[0]?.port, 32379);
  });
});
