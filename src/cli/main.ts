#!/usr/bin/env node
// The quorate command. Each subcommand is loaded when it is asked for, so that `quorate version` does
// not wait for a database. Every failure is one line on standard error and an exit status:
// 2 for something wrong with how the command was called, 1 for everything else.

import { Command, CommanderError, InvalidArgumentError } from "commander";
import { exitStatus, failureLine } from "./failure.js";
import { version } from "./version.js";

function build(): Command {
  const program = new Command("quorate")
    .description("A consensus and transaction server that speaks the etcd v3 API.")
    .option("--debug", "show stacks of errors")
    .configureOutput({ outputError: (text, write) => write(failureLine(text)) })
    .exitOverride()
    .enablePositionalOptions()
    .helpCommand("help [command]", "show the help of a command");

  program
    .command("version")
    .description("print the version")
    .action(() => {
      process.stdout.write(`quorate ${version()}\n`);
    });

  // The server's options have their own reader, which knows environment and file as well.
  serverLike(program.command("server"), false).description(
    "run one node (see `quorate server --help` for its options)",
  );
  serverLike(program.command("node", { hidden: true }), true).description(
    "run one node that stops together with the `quorate cluster` that started it",
  );

  program
    .command("cluster")
    .description("run several nodes on this machine, for trying things out")
    .option("--nodes <number>", "how many nodes (default: 3, or as many as the data has)", positiveInteger)
    .option("--data-dir <folder>", "folder of all nodes' data and logs", ".quorate")
    .option("--client-ports <ports>", "comma-separated, one for each node (default: 2379,22379,…)", ports)
    .option("--peer-ports <ports>", "comma-separated, one for each node (default: 2380,22380,…)", ports)
    .option("--consensus <protocol>", "protocol of a new cluster")
    .option("--log-level <level>", "what the nodes log", "info")
    .option("--verbose", "show every line the nodes log, not only warnings and errors")
    .action(async (options: import("./cluster/cluster.js").ClusterOptions) => {
      const { runCluster } = await import("./cluster/cluster.js");
      process.exitCode = await runCluster(options);
    });

  program
    .command("simulate")
    .description("run a whole cluster in one thread with faults, from a seed, and check it")
    .option("--engine <protocol>", "protocol to test", "raft")
    .option("--seed <number>", "replay this seed", wholeNumber)
    .option("--seeds <number>", "run this many seeds", positiveInteger)
    .option("--seconds <number>", "run new seeds for this long", positiveInteger)
    .option("--first-seed <number>", "with --seeds or --seconds: where to begin", wholeNumber)
    .option("--trace", "with --seed: print every step")
    .action(async (options: import("./simulate.js").SimulateOptions) => {
      const { runSimulate } = await import("./simulate.js");
      process.exitCode = await runSimulate(options);
    });

  program
    .command("bench")
    .description("put load on a cluster and print what it takes (see `quorate bench --help`)")
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .passThroughOptions()
    .action(async (_options: unknown, command: Command) => {
      const { runBench } = await import("./bench.js");
      process.exitCode = await runBench(command.args);
    });

  return program;
}

function serverLike(command: Command, supervised: boolean): Command {
  return command
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .passThroughOptions()
    .action(async (_options: unknown, called: Command) => {
      const { runServer } = await import("./server.js");
      // A node that has stopped must not linger because of a handle somebody forgot.
      process.exit(
        await runServer(
          called.args,
          supervised,
          called.optsWithGlobals<{ debug?: boolean }>().debug === true,
        ),
      );
    });
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError("Expected a whole number.");
  return value;
}

function positiveInteger(text: string): number {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError("At least 1 is needed.");
  return value;
}

function ports(text: string): number[] {
  return text.split(",").map((one) => {
    const port = wholeNumber(one.trim());
    if (port < 1 || port > 65_535) throw new InvalidArgumentError(`${port} is no port.`);
    return port;
  });
}

async function main(): Promise<void> {
  const program = build();
  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    // Commander has printed its own errors.
    if (!(error instanceof CommanderError))
      process.stderr.write(failureLine(error, program.opts<{ debug?: boolean }>().debug === true));
    process.exitCode = exitStatus(error);
  }
}

await main();
