import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { HeaderField } from "./decoder.js";
import { DynamicTable, fieldBytes } from "./dynamic-table.js";

/** The plain version: an array, newest first. */
class ArrayTable {
  readonly fields: HeaderField[] = [];
  constructor(private maxBytes: number) {}
  get bytes(): number {
    return this.fields.reduce((sum, [name, value]) => sum + fieldBytes(name, value), 0);
  }
  add(field: HeaderField): void {
    this.fields.unshift(field);
    this.evict();
  }
  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.evict();
  }
  private evict(): void {
    while (this.bytes > this.maxBytes) this.fields.pop();
  }
}

test("the ring holds the same fields as an array after any additions and changes of size", () => {
  const add = fc.tuple(fc.string({ maxLength: 20 }), fc.string({ maxLength: 200 }));
  const action = fc.oneof({ weight: 9, arbitrary: add }, { weight: 1, arbitrary: fc.nat(3000) });
  fc.assert(
    fc.property(fc.nat(3000), fc.array(action, { maxLength: 200 }), (maxBytes, actions) => {
      const evictions: number[] = [];
      const table = new DynamicTable(maxBytes, (_field, number) => evictions.push(number));
      const plain = new ArrayTable(maxBytes);
      for (const action of actions) {
        if (typeof action === "number") {
          table.resize(action);
          plain.resize(action);
        } else {
          table.add(action);
          plain.add(action);
        }
        assert.equal(table.length, plain.fields.length);
        assert.equal(table.sizeBytes, plain.bytes);
        for (const [age, field] of plain.fields.entries()) assert.equal(table.at(age), field);
        assert.equal(table.at(table.length), undefined);
      }
      assert.deepEqual(evictions, [...evictions.keys()], "fields leave in the order they came");
      assert.equal(evictions.length + table.length, table.nextNumber);
    }),
  );
});
