import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import type { MembershipStep } from "../consensus/types.js";
import { MemberSchema } from "../gen/etcdserverpb/rpc_pb.js";
import { objectionTo } from "./membership-rules.js";

const member = (id: number, isLearner = false) => ({
  id,
  name: `n${id}`,
  peerUrls: [`http://10.0.0.${id}:2380`],
  clientUrls: [],
  isLearner,
});
const objection = (op: MembershipStep["op"], node: number, url: string, members = [member(1), member(2)]) => {
  const context = toBinary(MemberSchema, create(MemberSchema, { ID: BigInt(node), peerURLs: [url] }));
  return objectionTo({ steps: [{ op, node }], context }, members, 1);
};

test("a member with the peer URL of another is not added, and none is moved there", () => {
  assert.equal(objection("addVoter", 3, "http://10.0.0.2:2380"), "peerUrlExists");
  assert.equal(objection("addLearner", 3, "http://10.0.0.2:2380"), "peerUrlExists");
  assert.equal(objection("addVoter", 1, "http://10.0.0.2:2380"), "peerUrlExists");
  assert.equal(objection("addVoter", 3, "http://10.0.0.3:2380"), undefined);
  assert.equal(objection("addVoter", 2, "http://10.0.0.2:2380"), undefined);
});

test("a second learner is not added; the one there is may be moved, promoted and removed", () => {
  const members = [member(1), member(2), member(4, true)];
  assert.equal(objection("addLearner", 3, "http://10.0.0.3:2380", members), "tooManyLearners");
  assert.equal(objection("addLearner", 4, "http://10.0.0.9:2380", members), undefined);
  assert.equal(objection("addVoter", 4, "http://10.0.0.4:2380", members), undefined);
  assert.equal(objection("remove", 4, "http://10.0.0.4:2380", members), undefined);
});
