import assert from "node:assert/strict";
import { test } from "node:test";
import { Health } from "../gen/grpc/health/v1/health_pb.js";
import { Status } from "./call.js";
import { HealthService, ServingStatus } from "./health.js";
import { dial, serve } from "./testing/pair.js";
import { typedClient } from "./typed.js";

test("Check answers the status that was set, and NOT_FOUND for a service never named", async (t) => {
  const service = new HealthService();
  const { port } = await serve(t, { methods: service.methods() });
  const health = typedClient(await dial(t, port), Health);
  assert.equal((await health.check({})).status, ServingStatus.SERVING);
  await assert.rejects(health.check({ service: "etcdserverpb.KV" }), { code: Status.NOT_FOUND });
  service.set("etcdserverpb.KV", ServingStatus.NOT_SERVING);
  assert.equal((await health.check({ service: "etcdserverpb.KV" })).status, ServingStatus.NOT_SERVING);
});

test("Watch sends the status at once and then each change, also of a service not known yet", async (t) => {
  const service = new HealthService();
  const { port } = await serve(t, { methods: service.methods() });
  const health = typedClient(await dial(t, port), Health);
  const seen: ServingStatus[] = [];
  for await (const { status } of health.watch({ service: "a" })) {
    seen.push(status);
    if (seen.length === 1) service.set("a", ServingStatus.SERVING);
    else if (seen.length === 2) service.shutdown();
    else break;
  }
  assert.deepEqual(seen, [ServingStatus.SERVICE_UNKNOWN, ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
});
