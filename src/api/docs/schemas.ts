// The compiled schemas with their comments, as buf reads them from proto/.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createFileRegistry, type FileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

/** Path of the buf program that the project's own installation brings; undefined when it is missing. */
export function bufProgram(root: string): string | undefined {
  const path = join(root, "node_modules", ".bin", "buf");
  return existsSync(path) ? path : undefined;
}

/** @param root the folder that holds buf.yaml. */
export function readSchemas(root: string, buf: string): FileRegistry {
  const { error, status, stdout, stderr } = spawnSync(buf, ["build", "-o", "-#format=binpb"], {
    cwd: root,
    maxBuffer: 64 << 20,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`buf build failed: ${stderr.toString()}`);
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, stdout));
}
