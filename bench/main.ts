// The load generator's program: `npm run bench -- --help`.
import { fileURLToPath } from "node:url";
import { CommanderError } from "commander";
import {
  type FillInvocation,
  type LoadInvocation,
  parseArguments,
  type VersusInvocation,
} from "./arguments.js";
import { openChannel } from "./channel.js";
import { processCpuMicros, systemClock } from "./clock.js";
import type { ServerProgram } from "./cluster.js";
import { compare } from "./comparison.js";
import { ConnectionSet, chooseEndpoints } from "./connections.js";
import { fillKeys } from "./fill.js";
import { runLoad } from "./load.js";
import { busyWarning, describeMachine, thisMachine } from "./machine.js";
import { comparisonReport, loadDocument, loadReport } from "./report.js";
import { RequestMaker } from "./requests.js";
import { runVersus } from "./versus.js";

const drainMs = 10_000;

/** Compiled, this file is dist/bench/main.js. */
const project = fileURLToPath(new URL("../../", import.meta.url));

const print = (text: string): void => void process.stdout.write(text);
const note = (line: string): void => void process.stderr.write(`${line}\n`);
const json = (document: unknown): string => `${JSON.stringify(document, null, 2)}\n`;

/** The message of an error and of what caused it. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${explain(error.cause)}`;
}

async function load(invocation: LoadInvocation, signal: AbortSignal): Promise<void> {
  const endpoints = await chooseEndpoints(openChannel, invocation.endpoints, invocation.target, systemClock);
  const connections = await ConnectionSet.open(openChannel, endpoints, invocation.connections, systemClock);
  try {
    const result = await runLoad(
      {
        channels: connections.channels,
        requests: new RequestMaker(invocation),
        inFlight: invocation.inFlight,
        ...(invocation.rate === undefined ? {} : { ratePerSecond: invocation.rate }),
        ...(invocation.count === undefined ? {} : { count: invocation.count }),
        warmUpMs: invocation.warmUpSeconds * 1000,
        durationMs: invocation.durationSeconds * 1000,
        drainMs,
        signal,
      },
      systemClock,
      processCpuMicros,
    );
    print(invocation.json ? json(loadDocument(result)) : loadReport(result));
  } finally {
    connections.close();
  }
}

async function fill(invocation: FillInvocation, signal: AbortSignal): Promise<void> {
  const endpoints = await chooseEndpoints(openChannel, invocation.endpoints, invocation.target, systemClock);
  const connections = await ConnectionSet.open(openChannel, endpoints, invocation.connections, systemClock);
  let shown = 0;
  const progress = (written: number): void => {
    const tenth = Math.floor((written * 10) / invocation.count);
    if (tenth > shown) note(`${written} keys`);
    shown = tenth;
  };
  try {
    const result = await fillKeys(
      { ...invocation, channels: connections.channels, signal, progress },
      systemClock,
    );
    const perSecond = (result.keys * 1000) / result.elapsedMs;
    const { keys, elapsedMs, retries } = result;
    if (invocation.json) print(json({ keys, elapsedMs, perSecond, retries }));
    else
      print(
        `${keys} keys in ${(elapsedMs / 1000).toFixed(1)} s, ${Math.round(perSecond)}/s, ${retries} retries\n`,
      );
  } finally {
    connections.close();
  }
}

async function versus(invocation: VersusInvocation, signal: AbortSignal): Promise<void> {
  const server = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
  const programs: ServerProgram[] = [
    { name: "etcd" as const, command: invocation.etcd, args: [] },
    { name: "quorate" as const, command: process.execPath, args: [server, "server"] },
  ].filter(({ name }) => invocation.only === undefined || invocation.only === name);
  const folder = invocation.folder ?? `${project}.bench`;
  const context = { open: openChannel, signal, progress: note };
  const machine = thisMachine();
  const warning = busyWarning(machine);
  if (warning !== undefined) note(warning);
  const measurements = await runVersus(invocation, programs, folder, context);
  const comparisons = compare(measurements);
  print(
    invocation.json
      ? json({ machine, comparisons, measurements })
      : `${describeMachine(machine)}\n${comparisonReport(comparisons)}`,
  );
}

async function main(): Promise<void> {
  const controller = new AbortController();
  const interrupt = (): void => {
    // The first asks for an orderly end, the second does not wait for it.
    if (controller.signal.aborted) process.exit(130);
    note("stopping");
    process.exitCode = 130;
    controller.abort(new Error("interrupted"));
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  try {
    const invocation = parseArguments(process.argv.slice(2));
    switch (invocation.kind) {
      case "load":
        return await load(invocation, controller.signal);
      case "fill":
        return await fill(invocation, controller.signal);
      case "versus":
        return await versus(invocation, controller.signal);
      default:
        return invocation satisfies never;
    }
  } catch (error) {
    if (controller.signal.aborted) return;
    process.exitCode = 1;
    // Commander has printed what was wrong, or the help that was asked for.
    if (error instanceof CommanderError) process.exitCode = error.exitCode;
    else note(`error: ${explain(error)}`);
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

await main();
