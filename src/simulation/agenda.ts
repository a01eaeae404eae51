// What is to happen and when, in simulated microseconds. Events of one instant happen in the order in
// which they were entered, so a run is a function of its seed.

interface Item {
  readonly time: number;
  readonly order: number;
  readonly run: () => void;
}

export class Agenda {
  /** Simulated microseconds since the start. */
  now = 0;
  private entered = 0;
  /** Binary heap, earliest first. */
  private readonly heap: Item[] = [];

  /** Enters an event `delayUs` from now. */
  after(delayUs: number, run: () => void): void {
    const item = { time: this.now + delayUs, order: this.entered++, run };
    const { heap } = this;
    let at = heap.length;
    heap.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!earlier(item, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = item;
  }

  /** Takes the earliest event out and moves the time to it. */
  next(): (() => void) | undefined {
    const { heap } = this;
    const first = heap[0];
    if (first === undefined) return undefined;
    const last = heap.pop()!;
    if (heap.length > 0) this.sink(last);
    this.now = first.time;
    return first.run;
  }

  private sink(item: Item): void {
    const { heap } = this;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && earlier(heap[child + 1]!, heap[child]!)) child++;
      if (!earlier(heap[child]!, item)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = item;
  }
}

function earlier(a: Item, b: Item): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}
