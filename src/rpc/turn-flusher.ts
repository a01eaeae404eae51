// Lets everything that one turn of the event loop wrote to a connection leave in one write: those
// with output are flushed together once the turn's I/O callbacks have run.

export interface Flushable {
  flushNow(): void;
}

export class TurnFlusher {
  private waiting: Flushable[] = [];
  private spare: Flushable[] = [];
  private readonly run = (): void => this.flush();

  /** Flushes now what would otherwise leave when the turn ends. */
  flush(): void {
    if (this.waiting.length === 0) return;
    const batch = this.waiting;
    this.waiting = this.spare;
    this.spare = batch;
    for (const one of batch) one.flushNow();
    batch.length = 0;
  }

  /** Each connection marks itself once until it was flushed. */
  mark(connection: Flushable): void {
    if (this.waiting.push(connection) === 1) setImmediate(this.run);
  }
}
