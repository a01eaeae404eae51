import { test } from "node:test";
import { durability } from "../conformance/scenarios/durability.js";
import { elections } from "../conformance/scenarios/elections.js";
import { membership } from "../conformance/scenarios/membership.js";
import { reads } from "../conformance/scenarios/reads.js";
import { replication } from "../conformance/scenarios/replication.js";
import { createPaxos } from "./paxos.js";

for (const scenario of [...elections, ...replication, ...durability, ...reads, ...membership]) {
  test(`multi-paxos: ${scenario.name}`, () => scenario.run(createPaxos));
}
