// Changes of membership as an operator might ask for them: learners in, learners up, voters in and out
// (the leader too), voters down to learners, and several at once through a joint membership. New members
// are new nodes: an identifier is never used twice.

import { decodeMembership } from "../consensus/membership/codec.js";
import type { Entry, Membership, MembershipStep, NodeId } from "../consensus/types.js";
import { EntryKind } from "../consensus/types.js";
import type { Coverage } from "./coverage.js";
import type { SimulatedNode } from "./node.js";
import type { Random } from "./random.js";

const maxVoters = 7;
const maxNodes = 10;
const noContext = new Uint8Array();

export class MembershipChurn<M> {
  private nextId = 1_000_000;
  private last: Membership | undefined;

  constructor(
    private readonly random: Random,
    private readonly coverage: Coverage,
    private readonly nodes: ReadonlyMap<NodeId, SimulatedNode<M>>,
    /** Starts a node that knows of no membership. */
    private readonly addNode: () => NodeId,
  ) {}

  /** Asks a node that believes it leads for one random change. */
  strike(): void {
    const leaders = [...this.nodes.values()].filter((node) => node.running && node.status.role === "leader");
    if (leaders.length === 0) return;
    this.strikeAt(this.random.pick(leaders));
  }

  /** Asks this node for one random change. */
  strikeAt(leader: SimulatedNode<M>): void {
    const { membership } = leader.status;
    if (membership.outgoing.length > 0 && !membership.autoLeave) {
      if (this.random.chance(0.7)) this.leave(leader);
      return;
    }
    const steps = this.draw(membership);
    if (steps.length === 0) return;
    const joint = steps.length > 1 ? this.random.chance(0.3) : this.random.chance(0.1);
    this.ask(leader, steps, joint);
  }

  /** Asks to leave a joint membership that the leader does not leave by itself. */
  leave(leader: SimulatedNode<M>): void {
    this.ask(leader, [], false);
  }

  private ask(leader: SimulatedNode<M>, steps: readonly MembershipStep[], joint: boolean): void {
    this.coverage.count("membershipChangesAsked");
    leader.ask({
      kind: "changeMembership",
      id: this.nextId++,
      change: joint ? { steps, joint, context: noContext } : { steps, context: noContext },
    });
  }

  private draw({ voters, learners }: Membership): MembershipStep[] {
    const { random } = this;
    const room = this.nodes.size < maxNodes;
    const few = voters.length <= 2;
    switch (random.below(6)) {
      case 0:
        return room ? [{ op: "addLearner", node: this.addNode() }] : [];
      case 1:
        return learners.length > 0 ? [{ op: "addVoter", node: random.pick(learners) }] : [];
      case 2:
        return room && voters.length < maxVoters ? [{ op: "addVoter", node: this.addNode() }] : [];
      case 3:
        return few ? [] : [{ op: "remove", node: random.pick(voters) }];
      case 4:
        return few ? [] : [{ op: "addLearner", node: random.pick(voters) }];
      default:
        return this.drawSeveral(voters, learners, room);
    }
  }

  /** Replaces one or two voters at once, or moves voters and learners about. */
  private drawSeveral(
    voters: readonly NodeId[],
    learners: readonly NodeId[],
    room: boolean,
  ): MembershipStep[] {
    const { random } = this;
    const steps: MembershipStep[] = [
      { op: random.pick(["remove", "addLearner"]), node: random.pick(voters) },
    ];
    const arrives = learners.length > 0 ? random.pick(learners) : room ? this.addNode() : 0;
    if (arrives === 0) return [];
    steps.push({ op: "addVoter", node: arrives });
    const other = random.pick(voters);
    if (voters.length > 3 && random.chance(0.3) && steps.every(({ node }) => node !== other)) {
      steps.push({ op: "remove", node: other });
    }
    return steps;
  }

  /** Counts what a committed membership changed. */
  committed(entry: Entry): void {
    if (entry.kind !== EntryKind.membership) return;
    const { membership } = decodeMembership(entry.payload);
    const before = this.last ?? membership;
    this.last = membership;
    const were = new Set([...before.voters, ...before.outgoing]);
    const count = (name: Parameters<Coverage["count"]>[0], ids: readonly NodeId[]) =>
      this.coverage.count(name, ids.length);
    count(
      "votersAdded",
      membership.voters.filter((id) => !were.has(id) && !before.learners.includes(id)),
    );
    count(
      "learnersPromoted",
      membership.voters.filter((id) => before.learners.includes(id)),
    );
    count(
      "learnersAdded",
      membership.learners.filter((id) => !were.has(id) && !before.learners.includes(id)),
    );
    count(
      "votersDemoted",
      membership.learners.filter((id) => were.has(id)),
    );
    const now = new Set([...membership.voters, ...membership.outgoing, ...membership.learners]);
    count(
      "membersRemoved",
      [...were, ...before.learners].filter((id) => !now.has(id)),
    );
    if (membership.outgoing.length > 0 && before.outgoing.length === 0) this.coverage.count("jointEntered");
    if (membership.outgoing.length === 0 && before.outgoing.length > 0) this.coverage.count("jointLeft");
  }

  /** The membership that the cluster is born with, for comparison. */
  begin(membership: Membership): void {
    this.last = membership;
  }
}
