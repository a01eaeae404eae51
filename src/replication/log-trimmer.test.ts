import assert from "node:assert/strict";
import { test } from "node:test";
import { type Entry, EntryKind } from "../consensus/types.js";
import { LogTrimmer } from "./log-trimmer.js";

const entry = (index: number, epoch = 1): Entry => ({
  index,
  epoch,
  kind: EntryKind.command,
  payload: new Uint8Array(936),
});

test("the log is cut only above the retained bytes and never above what is durable", () => {
  const trimmer = new LogTrimmer(80_000, 1_000_000);
  for (let index = 1; index <= 300; index++) trimmer.appended(entry(index));
  assert.equal(trimmer.due(5, 300), undefined);
  const atHundred = trimmer.due(100, 300)!;
  assert.ok(atHundred.index <= 100 && atHundred.index >= 88);
  const free = trimmer.due(300, 300)!;
  assert.ok(free.index <= 220 && free.index >= 208);
  assert.equal(trimmer.due(300, 300), undefined);
});

test("a truncated entry is not a place to cut at", () => {
  const trimmer = new LogTrimmer(8_000, 1_000_000);
  for (let index = 1; index <= 20; index++) trimmer.appended(entry(index, 1));
  for (let index = 4; index <= 40; index++) trimmer.appended(entry(index, 2));
  const point = trimmer.due(40, 40)!;
  assert.equal(point.epoch, point.index < 4 ? 1 : 2);
});

test("the number of entries bounds the log too", () => {
  const trimmer = new LogTrimmer(1 << 30, 100);
  for (let index = 1; index <= 1000; index++) trimmer.appended(entry(index));
  const point = trimmer.due(1000, 1000)!;
  assert.ok(point.index <= 900 && point.index >= 880, String(point.index));
});

test("what a follower that answers still needs is kept eight times as long", () => {
  const trimmer = new LogTrimmer(8_000, 1_000_000);
  for (let index = 1; index <= 40; index++) trimmer.appended(entry(index));
  assert.equal(trimmer.due(40, 0), undefined);
  assert.ok(trimmer.due(40, 20)!.index <= 20);
  for (let index = 41; index <= 100; index++) trimmer.appended(entry(index));
  const point = trimmer.due(100, 20)!;
  assert.ok(point.index > 20 && point.index <= 36);
});
