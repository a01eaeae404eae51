// A binary heap of slots by the time at which each wants attention, in typed arrays, with the place of
// every slot so that one can be taken out of the middle.

export class DeadlineHeap {
  private heap = new Int32Array(64);
  /** Place of a slot in the heap plus one; 0: not in it. */
  private places = new Int32Array(64);
  private times = new Float64Array(64);
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** The slot with the earliest time; only when there is one. */
  get first(): number {
    return this.heap[0]!;
  }

  /** The earliest time; infinity when the heap is empty. */
  get firstTime(): number {
    return this.count === 0 ? Number.POSITIVE_INFINITY : this.times[this.heap[0]!]!;
  }

  has(slot: number): boolean {
    return slot < this.places.length && this.places[slot] !== 0;
  }

  /** Puts the slot in, or moves it to another time. */
  set(slot: number, time: number): void {
    this.reserve(slot);
    this.times[slot] = time;
    const place = this.places[slot]!;
    if (place === 0) this.rise(this.count++, slot);
    else this.settle(place - 1, slot);
  }

  remove(slot: number): void {
    if (!this.has(slot)) return;
    const place = this.places[slot]! - 1;
    this.places[slot] = 0;
    const last = this.heap[--this.count]!;
    if (place < this.count) this.settle(place, last);
  }

  clear(): void {
    this.places.fill(0);
    this.count = 0;
  }

  private reserve(slot: number): void {
    let size = this.heap.length;
    if (slot < size) return;
    while (size <= slot) size *= 2;
    const integers = (old: Int32Array): Int32Array<ArrayBuffer> => {
      const grown = new Int32Array(size);
      grown.set(old);
      return grown;
    };
    this.heap = integers(this.heap);
    this.places = integers(this.places);
    const times = new Float64Array(size);
    times.set(this.times);
    this.times = times;
  }

  /** Puts the slot at the place or wherever from there it belongs. */
  private settle(place: number, slot: number): void {
    const { heap, times } = this;
    if (place > 0 && times[heap[(place - 1) >> 1]!]! > times[slot]!) this.rise(place, slot);
    else this.sink(place, slot);
  }

  private rise(from: number, slot: number): void {
    const { heap, places, times } = this;
    const time = times[slot]!;
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const other = heap[above]!;
      if (times[other]! <= time) break;
      heap[place] = other;
      places[other] = place + 1;
      place = above;
    }
    heap[place] = slot;
    places[slot] = place + 1;
  }

  private sink(from: number, slot: number): void {
    const { heap, places, times, count } = this;
    const time = times[slot]!;
    let place = from;
    for (let below = 2 * place + 1; below < count; below = 2 * place + 1) {
      if (below + 1 < count && times[heap[below + 1]!]! < times[heap[below]!]!) below++;
      const other = heap[below]!;
      if (times[other]! >= time) break;
      heap[place] = other;
      places[other] = place + 1;
      place = below;
    }
    heap[place] = slot;
    places[slot] = place + 1;
  }
}
