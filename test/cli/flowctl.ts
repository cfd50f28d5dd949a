/** For tests: the command in this process, with everything it writes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { main } from "../../cli/main.ts";

export const root = path.dirname(path.dirname(import.meta.dirname));

export interface Run {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Runs `flowctl <argv>` in the project's folder, or in `cwd`. */
export async function flowctl(argv: readonly string[], { cwd = root, env = {}, tty = false }: Partial<Surroundings> = {}): Promise<Run> {
	const written = { stdout: "", stderr: "" };
	const stream = (name: keyof typeof written) => ({
		isTTY: tty,
		write: (text: string) => {
			written[name] += text;
		},
	});
	const code = await main(argv, { stdout: stream("stdout"), stderr: stream("stderr"), cwd, env });
	return { code, ...written };
}

interface Surroundings {
	readonly cwd: string;
	readonly env: Record<string, string>;
	readonly tty: boolean;
}

/** A new folder, and how to remove it. */
export function temporaryFolder(): { folder: string; remove: () => void } {
	const folder = mkdtempSync(path.join(tmpdir(), "flowctl-"));
	return { folder, remove: () => rmSync(folder, { recursive: true }) };
}
