// Deadlines of many calls with one timer: a wheel of 10 ms slots, each a doubly linked list, so adding
// and removing cost the same few writes whatever the number. A deadline is acted on at most one slot
// late and never early.

const slotMs = 10;
const slots = 512;

/** One deadline on a wheel; keep it to cancel. */
export class Deadline {
  previous: Deadline | undefined;
  next: Deadline | undefined;
  slot = -1;
  constructor(
    readonly at: number,
    readonly expire: () => void,
  ) {}
}

export class DeadlineWheel {
  private readonly heads: (Deadline | undefined)[] = new Array<Deadline | undefined>(slots).fill(undefined);
  private count = 0;
  /** The next slot to look at, counted from time 0 without wrapping. */
  private cursor = 0;
  private timer: NodeJS.Timeout | undefined;

  /** `now` is a monotonic clock in milliseconds. Timers do not keep the process alive. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  get size(): number {
    return this.count;
  }

  /** Runs `expire` once, soon after `at`. */
  add(at: number, expire: () => void): Deadline {
    const deadline = new Deadline(at, expire);
    const current = Math.floor(this.now() / slotMs);
    if (this.count === 0) this.cursor = current;
    // Never the slot being walked: advance() may be what runs us.
    const slot = Math.max(this.cursor, current + 1, Math.ceil(at / slotMs)) % slots;
    deadline.slot = slot;
    const head = this.heads[slot];
    deadline.next = head;
    if (head !== undefined) head.previous = deadline;
    this.heads[slot] = deadline;
    this.count++;
    this.timer ??= setInterval(() => this.advance(), slotMs).unref();
    return deadline;
  }

  /** Takes a deadline off the wheel; harmless when it already expired. */
  remove(deadline: Deadline): void {
    if (deadline.slot < 0) return;
    if (deadline.previous !== undefined) deadline.previous.next = deadline.next;
    else this.heads[deadline.slot] = deadline.next;
    if (deadline.next !== undefined) deadline.next.previous = deadline.previous;
    deadline.previous = undefined;
    deadline.next = undefined;
    deadline.slot = -1;
    if (--this.count === 0) this.stop();
  }

  /** Expires what is due. The timer calls it; tests may. */
  advance(): void {
    const now = this.now();
    const last = Math.floor(now / slotMs);
    if (last - this.cursor >= slots) this.cursor = last - slots + 1;
    for (; this.cursor <= last && this.count > 0; this.cursor++) {
      let deadline = this.heads[this.cursor % slots];
      const due: Deadline[] = [];
      // Those of later rounds stay.
      for (; deadline !== undefined; deadline = deadline.next) if (deadline.at <= now) due.push(deadline);
      for (const one of due) {
        if (one.slot < 0) continue;
        this.remove(one);
        one.expire();
      }
    }
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
