import { existsSync } from "node:fs";
import path from "node:path";
import type { StackRecord } from "../core/record.ts";
import type { RecordOptions } from "../preview/record.ts";
import type { StackConfig } from "../stacks/config.ts";
import type { Io } from "./io.ts";

/** A stack's settings, and runs of the program with them. */
export interface Stack {
	readonly config: StackConfig;
	run(config: StackConfig, answer?: RecordOptions["answer"]): Promise<StackRecord>;
}

/**
 * Reads a stack's settings, and only then loads the program: a mistake in them is told at once.
 *
 * @throws UserError with all that is wrong with the settings.
 */
export async function openStack(stack: string, io: Io): Promise<Stack> {
	const config = await loadConfig(stack, io);
	const { PROJECT } = await import("../stacks/config.ts");
	return {
		config,
		run: (settings, answer) =>
			withProgress(`running the program of ${stack}, offline`, io, async () => {
				const [{ record }, { platform }] = await Promise.all([import("../preview/record.ts"), import("../stacks/platform.ts")]);
				return record({ project: PROJECT, stack, ...(answer ? { answer } : {}) }, () => platform(settings, stack));
			}),
	};
}

/** A stack's settings alone. @throws UserError with all that is wrong with them */
export async function loadConfig(stack: string, io: Io): Promise<StackConfig> {
	const { loadStack } = await import("../stacks/load.ts");
	return loadStack(stack, { root: projectFolder(io.cwd) });
}

/** The record of a stack with its settings as they are. */
export async function recordStack(stack: string, io: Io): Promise<StackRecord> {
	const { config, run } = await openStack(stack, io);
	return run(config);
}

/** The nearest folder upwards that is a Pulumi project, as Pulumi itself looks for it; where there is none, this one. */
function projectFolder(cwd: string): string {
	for (let folder = cwd; ; folder = path.dirname(folder)) {
		if (existsSync(path.join(folder, "Pulumi.yaml"))) return folder;
		if (folder === path.dirname(folder)) return cwd;
	}
}

/** Says what is going on where somebody watches, and wipes it out afterwards. */
async function withProgress<T>(what: string, { stderr }: Io, work: () => Promise<T>): Promise<T> {
	if (!stderr.isTTY) return work();
	stderr.write(`${what} ...`);
	try {
		return await work();
	} finally {
		stderr.write("\r\u001b[2K");
	}
}
