// Messages of a stream as an async iterable. When the reader lags, the queue asks the stream to pause,
// so that flow control holds the sender; it never holds much more than its limit.

const pauseAt = 32;
const resumeAt = 8;

export class MessageQueue<T> implements AsyncIterable<T> {
  private items: T[] = [];
  private paused = false;
  private finished = false;
  private failure: unknown;
  private wake: (() => void) | undefined;

  /** `pause` holds back or lets go the source; `abandoned` tells that the reader stopped early. */
  constructor(
    private readonly pause: (paused: boolean) => void,
    private readonly abandoned: () => void = () => {},
  ) {}

  push(item: T): void {
    if (this.finished) return;
    this.items.push(item);
    if (!this.paused && this.items.length >= pauseAt) {
      this.paused = true;
      this.pause(true);
    }
    this.notify();
  }

  /** No more will come; what is queued is still delivered, then `failure` is thrown if there is one. */
  finish(failure?: unknown): void {
    if (this.finished) return;
    this.finished = true;
    this.failure = failure;
    this.notify();
  }

  private notify(): void {
    const wake = this.wake;
    this.wake = undefined;
    wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    try {
      for (;;) {
        while (this.items.length > 0) {
          const item = this.items.shift() as T;
          if (this.paused && this.items.length <= resumeAt) {
            this.paused = false;
            this.pause(false);
          }
          yield item;
        }
        if (this.finished) {
          if (this.failure !== undefined) throw this.failure;
          return;
        }
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    } finally {
      if (!this.finished || this.items.length > 0) this.abandoned();
      this.items = [];
      this.finished = true;
      // Nobody reads on: let the rest come and be dropped, rather than hold the connection's window.
      if (this.paused) this.pause(false);
    }
  }
}
