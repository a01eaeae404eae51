// Reads under way that need rows on disk pin the revision they read at, so that a compaction above it
// does not remove their rows before they have them. New reads below a compaction are refused, so a
// compaction only ever waits for reads that began before it.

export class Pins {
  private readonly held = new Map<number, number>();
  private readonly waiting: { readonly revision: number; readonly go: () => void }[] = [];

  take(revision: number): void {
    this.held.set(revision, (this.held.get(revision) ?? 0) + 1);
  }

  release(revision: number): void {
    const count = this.held.get(revision) ?? 0;
    if (count > 1) {
      this.held.set(revision, count - 1);
      return;
    }
    this.held.delete(revision);
    for (let at = this.waiting.length - 1; at >= 0; at--) {
      if (!this.clearBelow(this.waiting[at]!.revision)) continue;
      const [ready] = this.waiting.splice(at, 1);
      ready!.go();
    }
  }

  private clearBelow(revision: number): boolean {
    for (const pinned of this.held.keys()) if (pinned < revision) return false;
    return true;
  }

  /** Resolves when no revision below this one is pinned. */
  async noneBelow(revision: number): Promise<void> {
    if (this.clearBelow(revision)) return;
    await new Promise<void>((go) => this.waiting.push({ revision, go }));
  }
}
