// What a side-by-side run measures, by name.
import type { Target } from "./connections.js";
import type { Operation } from "./requests.js";

export interface Scenario {
  readonly name: string;
  readonly operation: Operation;
  readonly inFlight: number;
  readonly connections: number;
  readonly target: Target;
}

/** One client talks to the leader, as the fastest case; many are spread over all nodes. */
function scenario(name: string, operation: Operation, inFlight: number): Scenario {
  if (inFlight === 1) return { name, operation, inFlight, connections: 1, target: "leader" };
  return { name, operation, inFlight, connections: inFlight < 100 ? 6 : 30, target: "all" };
}

export const scenarios: readonly Scenario[] = [
  scenario("put-1", "put", 1),
  scenario("put-64", "put", 64),
  scenario("put-1000", "put", 1000),
  scenario("read-1", "range", 1),
  scenario("read-64", "range", 64),
  scenario("read-1000", "range", 1000),
  scenario("serializable-1000", "serializable-range", 1000),
  scenario("txn-64", "txn", 64),
  scenario("txn-1000", "txn", 1000),
];

export const defaultScenarios: readonly Scenario[] = scenarios.filter(({ name }) =>
  ["put-1", "put-64", "put-1000", "read-1", "read-1000"].includes(name),
);

/** Reads need every key to be there. */
export function needsFill({ operation }: Scenario): boolean {
  return operation === "range" || operation === "serializable-range";
}
