// A map from byte strings to values: open addressing over a hash of the bytes, with no string made
// per key. Only grows; a buffer is dropped as a whole.

const INITIAL_SLOTS = 256;

export class ByteMap<Value> {
  /** Position + 1 in the arrays below; 0 is a free slot. */
  #slots = new Int32Array(INITIAL_SLOTS);
  readonly #hashes: number[] = [];
  readonly #keys: Uint8Array[] = [];
  readonly #values: Value[] = [];

  get size(): number {
    return this.#keys.length;
  }

  /** The key is kept by reference: it must not change afterwards. */
  set(key: Uint8Array, value: Value): void {
    const hash = hashOf(key);
    const slot = this.#find(key, hash);
    const taken = this.#slots[slot]!;
    if (taken !== 0) {
      this.#values[taken - 1] = value;
      return;
    }
    this.#hashes.push(hash);
    this.#keys.push(key);
    this.#values.push(value);
    this.#slots[slot] = this.#keys.length;
    if (this.#keys.length * 2 > this.#slots.length) this.#grow();
  }

  get(key: Uint8Array): Value | undefined {
    const taken = this.#slots[this.#find(key, hashOf(key))]!;
    return taken === 0 ? undefined : this.#values[taken - 1];
  }

  /** The slot that holds the key, or the free one where it belongs. */
  #find(key: Uint8Array, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const taken = slots[slot]!;
      if (taken === 0) return slot;
      if (this.#hashes[taken - 1] === hash && sameBytes(this.#keys[taken - 1]!, key)) return slot;
    }
  }

  #grow(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let at = 0; at < this.#hashes.length; at++) {
      let slot = this.#hashes[at]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = at + 1;
    }
    this.#slots = slots;
  }
}

/** Multiply and mix; keys differ mostly in their last bytes, so the result is stirred once more. */
function hashOf(key: Uint8Array): number {
  let hash = key.length;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key[at]!, 0x01000193);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return (hash ^ (hash >>> 12)) | 0;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
