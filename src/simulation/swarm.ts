// What a seed decides before the first event: size of the cluster, timeouts, limits of the engine, which
// faults there are and how often. Each kind of fault is absent from many runs: a run in which everything
// fails at once hides what two particular faults would have shown.

import type { Random } from "./random.js";

export interface NetworkOptions {
  readonly minUs: number;
  readonly meanUs: number;
  /** Share of messages that stay under way for about `longUs` and arrive among much later ones. */
  readonly longProbability: number;
  readonly longUs: number;
  readonly lossProbability: number;
  readonly duplicateProbability: number;
  /** Messages of one link arrive in the order sent (those long under way excepted). */
  readonly ordered: boolean;
  /** A cut link, or a sender that dies, takes what is under way with it. */
  readonly cutLosesUnderWay: boolean;
}

export interface DiskOptions {
  readonly meanUs: number;
  readonly stallProbability: number;
  readonly stallUs: number;
}

/** Mean time between two faults of a kind, in microseconds; Infinity for never. */
export interface FaultOptions {
  readonly crashEveryUs: number;
  /** Share of crashes that pick the leader rather than anybody. */
  readonly crashLeaderShare: number;
  readonly downUs: number;
  /** Probability that a leader fails within moments of its election, and the mean of those moments. */
  readonly newLeaderFails: number;
  readonly newLeaderFailsUs: number;
  readonly powerLossEveryUs: number;
  readonly partitionEveryUs: number;
  readonly partitionUs: number;
  readonly pauseEveryUs: number;
  readonly pauseUs: number;
  readonly transferEveryUs: number;
  readonly membershipEveryUs: number;
  /** Probability that a new leader is asked for a change before it has committed anything. */
  readonly newLeaderChanges: number;
  readonly compactEveryUs: number;
}

export interface WorkloadOptions {
  readonly clients: number;
  /** Operations of one client under way at once. */
  readonly window: number;
  readonly thinkUs: number;
  readonly readShare: number;
  readonly maxPaddingBytes: number;
  readonly patienceUs: number;
  readonly restUs: number;
}

export interface Swarm {
  readonly voters: number;
  readonly tickUs: number;
  /** Each node's clock runs faster or slower by up to this share. */
  readonly clockDrift: number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  readonly maxAppendBytes: number;
  readonly maxUncommittedBytes: number;
  /** The state machine's durable state may run ahead of the log's, as it does when they are two files. */
  readonly stateAheadOfLog: boolean;
  /** In the liveness phase one node that is not needed stays down for ever. */
  readonly oneStaysDown: boolean;
  /** Mean delay between commit and apply; 0 applies at once. */
  readonly applyUs: number;
  readonly network: NetworkOptions;
  readonly disk: DiskOptions;
  readonly faults: FaultOptions;
  readonly workload: WorkloadOptions;
  readonly safetyUs: number;
}

const ms = 1000;

export function drawSwarm(random: Random): Swarm {
  const swarm = drawMixed(random);
  return random.chance(0.4) ? drawStorm(random, swarm) : swarm;
}

/**
 * Elections upon elections: leaders fail when they have barely begun, on slow links that carry one entry
 * at a time, and come back soon. Most of what can go wrong between terms needs several of them in a row,
 * each leaving a little behind.
 */
function drawStorm(random: Random, swarm: Swarm): Swarm {
  const stormy = storm(random, swarm);
  const { disk, faults } = stormy;
  const electionUs = stormy.electionTicks * stormy.tickUs;
  switch (random.below(4)) {
    case 0: {
      // Votes: disks so slow that much is promised and little durable, all clocks in step.
      const hurried = { ...faults, downUs: 0.5 * electionUs, powerLossEveryUs: 10 * electionUs };
      const slow = { ...disk, meanUs: 0.3 * electionUs };
      return { ...stormy, voters: random.pick([4, 5]), clockDrift: 0, disk: slow, faults: hurried };
    }
    case 1:
      // Memberships: changed by one leader after the other, even numbers of voters among them.
      return {
        ...stormy,
        voters: random.pick([3, 4, 4]),
        faults: { ...faults, membershipEveryUs: 2 * electionUs, newLeaderChanges: 0.7 },
      };
    default:
      return stormy;
  }
}

function storm(random: Random, swarm: Swarm): Swarm {
  const electionTicks = random.pick([3, 4]);
  const electionUs = electionTicks * swarm.tickUs;
  const meanUs = random.pick([0.1, 0.2]) * electionUs;
  return {
    ...swarm,
    voters: random.pick([3, 3, 3, 5]),
    electionTicks,
    heartbeatTicks: 1,
    clockDrift: random.pick([0, 0.2]),
    maxAppendBytes: random.pick([1, 1, 1, 64]),
    network: {
      ...swarm.network,
      meanUs,
      lossProbability: random.pick([0, 0.05]),
      cutLosesUnderWay: random.chance(0.9),
    },
    disk: { ...swarm.disk, meanUs: random.pick([0.2 * ms, 2 * ms]) },
    faults: {
      ...swarm.faults,
      crashEveryUs: 20 * electionUs,
      crashLeaderShare: 0.5,
      downUs: random.pick([1, 4]) * electionUs,
      newLeaderFails: 0.9,
      newLeaderFailsUs: meanUs,
      powerLossEveryUs: random.pick([15 * electionUs, Number.POSITIVE_INFINITY]),
      partitionUs: random.pick([2, 4]) * electionUs,
      membershipEveryUs: random.pick([4 * electionUs, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]),
      partitionEveryUs: random.pick([20 * electionUs, Number.POSITIVE_INFINITY]),
      pauseEveryUs: Number.POSITIVE_INFINITY,
    },
    workload: { ...swarm.workload, thinkUs: 8 * ms, readShare: 0.1, window: 4 },
    safetyUs: 120 * electionUs,
  };
}

function drawMixed(random: Random): Swarm {
  const tickUs = 10 * ms;
  const electionTicks = random.pick([3, 4, 6, 10]);
  const electionUs = electionTicks * tickUs;
  const sometimes = (share: number, meanUs: number) =>
    random.chance(share) ? meanUs : Number.POSITIVE_INFINITY;
  const restless = random.chance(0.3);
  const quickUs = restless ? 2 * electionUs : 12 * electionUs;
  const linkUs = random.pick([0.5 * ms, 2 * ms, 0.2 * electionUs]);
  return {
    voters: random.pick([3, 3, 5, 5, 5]),
    tickUs,
    clockDrift: random.pick([0, 0.01, 0.2]),
    electionTicks,
    heartbeatTicks: electionTicks <= 4 ? 1 : random.between(1, 2),
    maxInflightMessages: random.pick([1, 2, 8, 64]),
    maxInflightBytes: random.pick([32, 256, 1 << 20]),
    maxAppendBytes: random.pick([1, 64, 1 << 20]),
    maxUncommittedBytes: random.pick([256, 1 << 20]),
    stateAheadOfLog: random.chance(0.5),
    oneStaysDown: random.chance(0.3),
    applyUs: random.pick([0, 0, 2 * ms]),
    network: {
      minUs: 100,
      meanUs: linkUs,
      longProbability: random.pick([0, 0, 0.01, 0.1]),
      longUs: random.pick([1, 3, 8]) * electionUs,
      lossProbability: random.pick([0, 0, 0.02, 0.1, 0.3]),
      duplicateProbability: random.pick([0, 0.02, 0.2]),
      ordered: random.chance(0.4),
      cutLosesUnderWay: random.chance(0.5),
    },
    disk: {
      meanUs: random.pick([0.2 * ms, 1 * ms, 8 * ms]),
      stallProbability: random.pick([0, 0, 0.02]),
      stallUs: electionUs,
    },
    faults: {
      crashEveryUs: sometimes(0.7, quickUs),
      crashLeaderShare: random.pick([0.2, 0.8]),
      downUs: random.pick([0.5, 1, 4]) * electionUs,
      newLeaderFails: random.pick([0, 0, 0.3, 0.7]),
      newLeaderFailsUs: random.pick([1, 3]) * linkUs,
      newLeaderChanges: 0,
      powerLossEveryUs: sometimes(0.2, 20 * electionUs),
      partitionEveryUs: sometimes(0.6, quickUs),
      partitionUs: random.pick([1, 3, 8]) * electionUs,
      pauseEveryUs: sometimes(0.3, 10 * electionUs),
      pauseUs: random.pick([0.5, 2]) * electionUs,
      transferEveryUs: sometimes(0.3, 8 * electionUs),
      membershipEveryUs: sometimes(0.5, 6 * electionUs),
      compactEveryUs: sometimes(0.6, 5 * electionUs),
    },
    workload: {
      clients: random.between(1, 4),
      window: random.pick([1, 1, 4]),
      thinkUs: random.pick([4, 10, 40]) * ms,
      readShare: random.pick([0.1, 0.3, 0.6]),
      maxPaddingBytes: random.pick([0, 20]),
      patienceUs: 3 * electionUs,
      restUs: 0.3 * electionUs,
    },
    safetyUs: 45 * electionUs,
  };
}

/** The same cluster with its faults gone: what the liveness phase runs on. */
export function calm(swarm: Swarm): Swarm {
  return {
    ...swarm,
    network: {
      minUs: 100,
      meanUs: 0.5 * ms,
      longProbability: 0,
      longUs: 0,
      lossProbability: 0,
      duplicateProbability: 0,
      ordered: true,
      cutLosesUnderWay: false,
    },
    disk: { meanUs: 0.5 * ms, stallProbability: 0, stallUs: 0 },
  };
}
