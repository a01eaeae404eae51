// What other nodes asked of this one while it leads: forwarded batches and read barriers. Inside the
// engine they run under negative ids, so that an outcome finds its way back to who asked.

import type { NodeId, Proposal, ProposalId, ReadId, Term } from "../consensus/types.js";

interface Forwarded {
  readonly from: NodeId;
  /** Epoch under which it was forwarded. */
  readonly epoch: Term;
  /** As counted by the origin. */
  readonly sequence: number;
}

interface RemoteRead {
  readonly from: NodeId;
  /** As chosen by the one who asks. */
  readonly id: number;
}

export class RemoteRequests {
  private lastId = 0;
  private readonly forwarded = new Map<ProposalId, Forwarded>();
  private readonly reads = new Map<ReadId, RemoteRead>();

  /** Proposals for the batches of another node. */
  propose(
    from: NodeId,
    epoch: Term,
    batches: readonly Uint8Array[],
    sequences: readonly number[],
  ): Proposal[] {
    return batches.map((payload, at) => {
      const id = --this.lastId;
      this.forwarded.set(id, { from, epoch, sequence: sequences[at]! });
      return { id, payload };
    });
  }

  /** Whose batch it was; forgotten hereby. */
  takeProposal(id: ProposalId): Forwarded | undefined {
    const found = this.forwarded.get(id);
    this.forwarded.delete(id);
    return found;
  }

  read(from: NodeId, id: number): ReadId {
    const local = --this.lastId;
    this.reads.set(local, { from, id });
    return local;
  }

  /** Whose barrier it was; forgotten hereby. */
  takeRead(id: ReadId): RemoteRead | undefined {
    const found = this.reads.get(id);
    this.reads.delete(id);
    return found;
  }

  /** Nobody is left to answer. */
  forgetReadsOf(peer: NodeId): void {
    for (const [id, read] of this.reads) if (read.from === peer) this.reads.delete(id);
  }

  forgetReads(): void {
    this.reads.clear();
  }
}
