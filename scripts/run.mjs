// Runs one of our programs from its compiled form, after installing and building what is stale:
//   node scripts/run.mjs src/cli/main.js cluster
// The program replaces this process as far as signals and exit status go.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { prepare, root } from "./prepare.mjs";

const [program, ...args] = process.argv.slice(2);
prepare();
const child = spawn(process.execPath, ["--enable-source-maps", join(root, "dist", program), ...args], {
  stdio: "inherit",
});
// Ctrl-C reaches the whole process group; this process only waits for the other to finish.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)));
