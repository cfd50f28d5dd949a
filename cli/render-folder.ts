/** The folder that rendered files go to: made where it is absent, and holding nothing else. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { reasonOf, UserError } from "../core/errors.ts";

/** The first line of every rendered file. A file that begins with it is ours to replace. */
export function headerOf(stack: string): string {
	return `# rendered by flowctl from the stack ${stack}; do not edit`;
}

/**
 * Makes the folder hold exactly these files. Those of an earlier rendering of the stack are replaced or removed.
 *
 * @returns how many files of an earlier rendering were removed.
 * @throws UserError before anything is touched, where the folder holds anything else or cannot be used.
 */
export function writeFolder(folder: string, stack: string, files: ReadonlyMap<string, string>, cwd: string): number {
	const root = path.resolve(cwd, folder);
	try {
		mkdirSync(root, { recursive: true });
		const earlier = readdirSync(root, { withFileTypes: true });
		const foreign = earlier.filter((entry) => !entry.isFile() || !isRendered(path.join(root, entry.name), stack)).map(({ name }) => name);
		if (foreign.length > 0) refuse(folder, stack, foreign.sort());
		const stale = earlier.map(({ name }) => name).filter((name) => !files.has(name));
		for (const [name, text] of files) writeFileSync(path.join(root, name), text);
		for (const name of stale) rmSync(path.join(root, name));
		return stale.length;
	} catch (error) {
		if (error instanceof UserError || !(error as NodeJS.ErrnoException).code) throw error;
		throw new UserError(`${folder} cannot be written`, [
			{ at: folder, what: reasonOf(error), fix: "name a folder that you may write to, or one that can be made" },
		]);
	}
}

function isRendered(file: string, stack: string): boolean {
	return file.endsWith(".yaml") && readFileSync(file, "utf8").startsWith(`${headerOf(stack)}\n`);
}

function refuse(folder: string, stack: string, foreign: readonly string[]): never {
	const shown = foreign.slice(0, 5).join(", ") + (foreign.length > 5 ? ` and ${foreign.length - 5} more` : "");
	throw new UserError(`${folder} holds something else`, [
		{
			at: folder,
			what: `${shown} ${foreign.length === 1 ? "was" : "were"} not rendered from the stack ${stack}`,
			why: "a rendering owns its folder: what is no longer in the stack is removed from it",
			fix: "name an empty folder, or move those files out of this one",
		},
	]);
}
