// Makes folders, for those who cannot use mkdir's own `recursive`: that one never returns where a folder
// cannot be made for a reason that looks like its absence (below /proc).

import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** Makes the folder, and those above it, unless it is there. @throws the error of the file system */
export function makeFolder(path: string): void {
  const folder = resolve(path);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (dirname(folder) !== folder) makeFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const made = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
    if (!made) throw error;
  }
}
