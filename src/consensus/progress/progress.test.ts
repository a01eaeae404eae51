import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Inflights } from "./inflights.js";
import { Progress } from "./progress.js";

const progress = (next = 1) => new Progress(2, next, 0, 3, 100);

test("the window is a queue with two bounds", () => {
  const act = fc.oneof(fc.record({ add: fc.nat(60) }), fc.record({ free: fc.nat(10) }));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(act, { maxLength: 80 }), (limit, acts) => {
      const window = new Inflights(limit, 100);
      let model: { last: number; bytes: number }[] = [];
      let last = 0;
      for (const each of acts) {
        if ("free" in each) {
          const index = (model[0]?.last ?? last) + each.free;
          window.freeTo(index);
          model = model.filter((message) => message.last > index);
        } else if (!window.full) {
          last += 2;
          window.add(last, each.add);
          model.push({ last, bytes: each.add });
        }
        const bytes = model.reduce((sum, message) => sum + message.bytes, 0);
        assert.equal(window.count, model.length);
        assert.equal(window.full, model.length >= limit || (model.length > 0 && bytes >= 100));
      }
      window.clear();
      assert.deepEqual([window.count, window.full], [0, false]);
    }),
  );
});

test("a probe is sent once and waits; an acknowledgement turns it into replication", () => {
  const peer = progress(5);
  peer.sent(7, 3, 30, 2);
  assert.deepEqual([peer.paused, peer.next, peer.inflights.count], [true, 5, 0]);
  assert.equal(peer.acknowledged(7), true);
  peer.becomeReplicate();
  assert.deepEqual([peer.state, peer.match, peer.next], ["replicate", 7, 8]);
});

test("replication moves ahead of acknowledgements and an acknowledgement frees what it covers", () => {
  const peer = progress();
  peer.becomeReplicate();
  peer.sent(2, 2, 20, 0);
  peer.sent(4, 2, 20, 0);
  assert.deepEqual([peer.next, peer.inflights.count], [5, 2]);
  assert.equal(peer.acknowledged(3), true);
  assert.equal(peer.inflights.count, 1);
  assert.equal(peer.acknowledged(3), false);
  assert.deepEqual([peer.match, peer.next], [3, 5]);
});

test("a rejection of what is known to match, or of a question no longer open, is ignored", () => {
  const replicating = progress();
  replicating.acknowledged(5);
  replicating.becomeReplicate();
  replicating.sent(9, 4, 0, 0);
  assert.equal(replicating.rejected(5, 2), false);
  assert.equal(replicating.rejected(12, 2), false);
  assert.equal(replicating.rejected(9, 7), true);
  assert.deepEqual([replicating.state, replicating.next], ["probe", 8]);
  const probing = progress(10);
  assert.equal(probing.rejected(5, 2), false);
  assert.equal(probing.rejected(9, 20), true);
  assert.equal(probing.next, 9);
  assert.equal(probing.rejected(8, 0), true);
  assert.equal(probing.next, 1);
});

test("after a snapshot was delivered, probing goes on behind it; after a failure, where it was", () => {
  const peer = progress(3);
  peer.becomeSnapshot(50, 0);
  assert.equal(peer.rejected(2, 1), false);
  peer.becomeProbe();
  assert.equal(peer.next, 51);
  peer.becomeSnapshot(50, 0);
  peer.pendingSnapshot = 0;
  peer.becomeProbe();
  assert.equal(peer.next, 1);
});

test("a commit index that may not have arrived is sent again after a return to probing", () => {
  const peer = progress();
  peer.acknowledged(4);
  peer.becomeReplicate();
  peer.sent(9, 5, 0, 8);
  assert.equal(peer.sentCommit, 8);
  peer.becomeProbe();
  assert.equal(peer.sentCommit, 4);
});
