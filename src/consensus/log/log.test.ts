import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InvariantViolation } from "../engine.js";
import type { Entry, EntryId, Index, Term } from "../types.js";
import { lastEntryNotAfter } from "./conflict.js";
import { Log, UNKNOWN_TERM } from "./log.js";

const entry = (index: Index, epoch: Term, bytes = 0): Entry => ({
  index,
  epoch,
  kind: 1,
  payload: new Uint8Array(bytes),
});

const logOf = (after: EntryId, ...terms: Term[]): Log =>
  new Log(
    after,
    terms.map((term, i) => entry(after.index + i + 1, term)),
  );

const start = { index: 0, epoch: 0 };

test("an empty log begins after its base", () => {
  const log = logOf({ index: 5, epoch: 2 });
  assert.deepEqual([log.firstIndex, log.lastIndex, log.lastTerm], [6, 5, 2]);
  assert.deepEqual([log.termAt(4), log.termAt(5), log.termAt(6)], [UNKNOWN_TERM, 2, UNKNOWN_TERM]);
});

test("entries that leave a gap or fall in term are an invariant violation", () => {
  const log = logOf(start, 1, 2);
  assert.throws(() => log.push(entry(4, 2)), InvariantViolation);
  assert.throws(() => log.push(entry(3, 1)), InvariantViolation);
  assert.throws(() => log.truncateAfter(3), InvariantViolation);
  assert.throws(() => log.compact(3), InvariantViolation);
  assert.throws(() => log.slice(1, 3), InvariantViolation);
  assert.throws(() => log.at(0), InvariantViolation);
});

test("followers in step are handed the same slice; after a truncation it is a new one", () => {
  const log = logOf(start, 1, 1, 1);
  const slice = log.slice(2, 3);
  assert.equal(log.slice(2, 3), slice);
  log.truncateAfter(2);
  log.push(entry(3, 5));
  assert.deepEqual(
    log.slice(2, 3).map(({ epoch }) => epoch),
    [1, 5],
  );
  assert.deepEqual(
    slice.map(({ epoch }) => epoch),
    [1, 1],
  );
});

test("a message holds at least one entry, and more only within the limit", () => {
  const log = new Log(start, [entry(1, 1, 100), entry(2, 1, 10), entry(3, 1, 10), entry(4, 1, 0)]);
  assert.equal(log.lastWithin(1, 50), 1);
  assert.equal(log.lastWithin(2, 19), 2);
  assert.equal(log.lastWithin(2, 20), 4);
  assert.equal(log.lastWithin(4, 0), 4);
});

test("the log behaves like a plain array with an offset", () => {
  const act = fc.oneof(
    fc.record({ do: fc.constant("append" as const), terms: fc.array(fc.nat(1), { maxLength: 2000 }) }),
    fc.record({ do: fc.constant("truncate" as const), share: fc.nat(100) }),
    fc.record({ do: fc.constant("compact" as const), share: fc.nat(100) }),
    fc.record({ do: fc.constant("restart" as const), ahead: fc.nat(3) }),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 25 }), (acts) => {
      const log = new Log(start, []);
      let base: EntryId = start;
      let model: Entry[] = [];
      for (const each of acts) {
        const last = model.at(-1) ?? base;
        switch (each.do) {
          case "append": {
            let { index, epoch } = last;
            const more = each.terms.map((rise) => entry(++index, (epoch += rise)));
            log.append(more);
            model.push(...more);
            break;
          }
          case "truncate": {
            const keep = Math.floor((model.length * each.share) / 100);
            model = model.slice(0, keep);
            log.truncateAfter(base.index + keep);
            break;
          }
          case "compact": {
            const cut = Math.floor((model.length * each.share) / 100);
            const id = model[cut - 1];
            log.compact(base.index + cut);
            if (id !== undefined) base = { index: id.index, epoch: id.epoch };
            model = model.slice(cut);
            break;
          }
          default:
            base = { index: last.index + each.ahead, epoch: last.epoch + each.ahead };
            model = [];
            log.restartAfter(base);
        }
        assert.equal(log.firstIndex, base.index + 1);
        assert.equal(log.lastIndex, base.index + model.length);
        assert.equal(log.lastTerm, model.at(-1)?.epoch ?? base.epoch);
        assert.equal(log.termAt(base.index - 1), UNKNOWN_TERM);
        assert.deepEqual(log.slice(log.firstIndex, log.lastIndex), model);
        const middle = model[model.length >> 1];
        if (middle !== undefined) {
          assert.equal(log.at(middle.index), middle);
          assert.deepEqual(log.slice(middle.index, log.lastIndex), model.slice(model.length >> 1));
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("the last entry not after a term is found as a scan from the end would find it", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(2), { maxLength: 40 }),
      fc.nat(45),
      fc.nat(30),
      fc.nat(10),
      (rises, index, term, compacted) => {
        let epoch = 1;
        const log = logOf(start, ...rises.map((rise) => (epoch += rise)));
        log.compact(Math.min(compacted, log.lastIndex));
        let expected: EntryId = { index: Math.min(index, log.lastIndex), epoch: 0 };
        for (let at = expected.index; ; at--) {
          const found = at < 0 ? UNKNOWN_TERM : log.termAt(at);
          if (found === UNKNOWN_TERM || found <= term) {
            expected = { index: Math.max(at, 0), epoch: found === UNKNOWN_TERM ? 0 : found };
            break;
          }
        }
        assert.deepEqual(lastEntryNotAfter(log, index, term), expected);
      },
    ),
  );
});
