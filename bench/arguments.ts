// The command line of the load generator: three ways to run it, every number checked against a bound,
// so that no typing error turns into an endless run or a machine without memory.
import { Command, InvalidArgumentError, Option } from "commander";
import { type Endpoint, parseEndpoints, type Target } from "./connections.js";
import { leastKeyBytes, type Operation, operations } from "./requests.js";
import { defaultScenarios, type Scenario, scenarios } from "./scenarios.js";

export interface LoadInvocation {
  readonly kind: "load";
  readonly endpoints: readonly Endpoint[];
  readonly target: Target;
  readonly operation: Operation;
  readonly connections: number;
  readonly inFlight: number;
  readonly rate: number | undefined;
  readonly durationSeconds: number;
  readonly count: number | undefined;
  readonly warmUpSeconds: number;
  readonly keys: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly seed: number;
  readonly json: boolean;
}

export interface FillInvocation {
  readonly kind: "fill";
  readonly endpoints: readonly Endpoint[];
  readonly target: Target;
  readonly connections: number;
  readonly inFlight: number;
  readonly count: number;
  readonly batch: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly seed: number;
  readonly json: boolean;
}

export interface VersusInvocation {
  readonly kind: "versus";
  /** Path of the etcd program, or a name on the PATH. */
  readonly etcd: string;
  readonly only: "etcd" | "quorate" | undefined;
  readonly rounds: number;
  readonly scenarios: readonly Scenario[];
  readonly durationSeconds: number;
  readonly warmUpSeconds: number;
  readonly keys: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly seed: number;
  readonly folder: string | undefined;
  readonly json: boolean;
}

export type Invocation = LoadInvocation | FillInvocation | VersusInvocation;

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`);
  };
}

function real(above: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= above && value <= most && (value > 0 || above === 0)) return value;
    throw new InvalidArgumentError(`Expected a number from ${above} to ${most}.`);
  };
}

function endpointList(text: string): Endpoint[] {
  try {
    return parseEndpoints(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function target(text: string): Target {
  if (text === "all" || text === "leader") return text;
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected "all", "leader" or the number of an endpoint, from 1.');
}

function scenarioNames(text: string, before: readonly Scenario[] | undefined): Scenario[] {
  const found = text.split(",").map((name) => {
    const scenario = scenarios.find((known) => known.name === name.trim());
    if (scenario !== undefined) return scenario;
    throw new InvalidArgumentError(`Known scenarios: ${scenarios.map((known) => known.name).join(", ")}.`);
  });
  return [...(before ?? []), ...found];
}

const maxDurationSeconds = 86_400;
/** A count without a duration ends after this at the latest. */
const countDurationSeconds = 600;

function endpointOptions(command: Command): Command {
  return command
    .option("--endpoints <list>", "host:port, comma separated", endpointList, ["127.0.0.1:2379"])
    .option(
      "--target <which>",
      "all endpoints in turn, the leader only, or endpoint number N from 1",
      target,
      "all",
    );
}

function keyOptions(command: Command): Command {
  return command
    .option("--key-size <bytes>", "bytes of a key", whole(1, 65536), 16)
    .option("--value-size <bytes>", "bytes of a value", whole(0, 16 << 20), 256)
    .option("--seed <number>", "seed of the random keys and values", whole(0, 2 ** 32 - 1), 1)
    .option("--json", "print one JSON document instead of text", false);
}

/** What commander hands over, by the long names of the options. */
interface SharedOptions {
  readonly endpoints: readonly Endpoint[];
  readonly target: Target;
  readonly keySize: number;
  readonly valueSize: number;
  readonly seed: number;
  readonly json: boolean;
}

interface FillOptions extends SharedOptions {
  readonly count: number;
  readonly batch: number;
  readonly connections: number;
  readonly inFlight: number;
}

interface RootOptions extends SharedOptions {
  readonly operation: Operation;
  readonly connections?: number;
  readonly inFlight?: number;
  readonly rate?: number;
  readonly duration?: number;
  readonly count?: number;
  readonly warmUp: number;
  readonly keys: number;
  readonly versus?: "etcd";
  readonly etcd: string;
  readonly only?: "etcd" | "quorate";
  readonly rounds: number;
  readonly scenario?: readonly Scenario[];
  readonly folder?: string;
}

/** Reads the arguments after the program's name. Throws CommanderError, also for --help. */
export function parseArguments(args: readonly string[], write?: (text: string) => void): Invocation {
  let invocation: Invocation | undefined;
  const program = new Command("bench").exitOverride().enablePositionalOptions();
  if (write !== undefined) program.configureOutput({ writeOut: write, writeErr: write });
  program.description("Loads an etcd v3 endpoint and measures it; with --versus, compares etcd and Quorate.");

  const fill = program
    .command("fill")
    .description("Writes many keys fast, in transactions, and checks each was accepted.");
  keyOptions(endpointOptions(fill))
    .option("--count <number>", "keys to write", whole(1, 1e9), 1_000_000)
    .option("--batch <number>", "puts in one transaction (etcd allows 128)", whole(1, 10_000), 100)
    .option("--connections <number>", "connections", whole(1, 1000), 3)
    .option("--in-flight <number>", "transactions in flight", whole(1, 10_000), 24)
    .action((options: FillOptions) => {
      const misplaced = program.options.find(
        (option) => program.getOptionValueSource(option.attributeName()) === "cli",
      );
      if (misplaced !== undefined) program.error(`error: write ${misplaced.long} after "fill"`);
      invocation = fillOf(options);
    });

  keyOptions(endpointOptions(program))
    .addOption(new Option("--operation <name>", "what to send").choices(operations).default("put"))
    .option("--connections <number>", "connections (default: in flight, at most 10)", whole(1, 10_000))
    .option(
      "--in-flight <number>",
      "requests in flight; with --rate the most there may be (default: 64; 10000)",
      whole(1, 1_000_000),
    )
    .option(
      "--rate <number>",
      "open loop: requests a second, latency from the intended time",
      real(0.001, 10_000_000),
    )
    .option(
      "--duration <seconds>",
      "length of the measurement (default: 10; versus: 5)",
      real(0.1, maxDurationSeconds),
    )
    .option("--count <number>", "stop after this many measured requests", whole(1, 1e12))
    .option("--warm-up <seconds>", "time before the measurement", real(0, maxDurationSeconds), 1)
    .option("--keys <number>", "size of the key space", whole(1, 1e9), 100_000)
    .addOption(new Option("--versus <system>", "compare with three nodes of it, in turn").choices(["etcd"]))
    .option("--etcd <path>", "versus: the etcd program", "etcd")
    .addOption(new Option("--only <system>", "versus: run one side alone").choices(["etcd", "quorate"]))
    .option("--rounds <number>", "versus: how often each side runs", whole(1, 100), 3)
    .option("--scenario <names>", "versus: which scenarios, comma separated, may be repeated", scenarioNames)
    .option("--folder <path>", "versus: where to put the nodes' data (default: .bench in the project)")
    .action((options: RootOptions) => {
      invocation = options.versus === undefined ? loadOf(options) : versusOf(options);
    });

  program.parse([...args], { from: "user" });
  const { keyBytes, keys } = sizesOf(invocation!);
  if (keyBytes < leastKeyBytes(keys)) {
    program.error(`error: ${keys} keys need --key-size ${leastKeyBytes(keys)} or more`);
  }
  return invocation!;
}

function sizesOf(invocation: Invocation): { keyBytes: number; keys: number } {
  return {
    keyBytes: invocation.keyBytes,
    keys: invocation.kind === "fill" ? invocation.count : invocation.keys,
  };
}

function fillOf(options: FillOptions): FillInvocation {
  return {
    kind: "fill",
    endpoints: options.endpoints,
    target: options.target,
    connections: options.connections,
    inFlight: options.inFlight,
    count: options.count,
    batch: options.batch,
    keyBytes: options.keySize,
    valueBytes: options.valueSize,
    seed: options.seed,
    json: options.json,
  };
}

function loadOf(options: RootOptions): LoadInvocation {
  const inFlight = options.inFlight ?? (options.rate === undefined ? 64 : 10_000);
  return {
    kind: "load",
    endpoints: options.endpoints,
    target: options.target,
    operation: options.operation,
    inFlight,
    connections: Math.min(options.connections ?? 10, inFlight),
    rate: options.rate,
    durationSeconds: options.duration ?? (options.count === undefined ? 10 : countDurationSeconds),
    count: options.count,
    warmUpSeconds: options.warmUp,
    keys: options.keys,
    keyBytes: options.keySize,
    valueBytes: options.valueSize,
    seed: options.seed,
    json: options.json,
  };
}

function versusOf(options: RootOptions): VersusInvocation {
  return {
    kind: "versus",
    etcd: options.etcd,
    only: options.only,
    rounds: options.rounds,
    scenarios: options.scenario ?? defaultScenarios,
    durationSeconds: options.duration ?? 5,
    warmUpSeconds: options.warmUp,
    keys: options.keys,
    keyBytes: options.keySize,
    valueBytes: options.valueSize,
    seed: options.seed,
    folder: options.folder,
    json: options.json,
  };
}
