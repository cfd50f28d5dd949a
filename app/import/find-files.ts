import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { Refused } from "./rows.ts";

/** A file to be imported. */
export interface FoundFile {
	/** As it was given, or with the folder as it was given before it. */
	readonly name: string;
	readonly kind: "sqlite" | "json";
}

/** What cannot be looked at. */
export interface NotFound {
	readonly name: string;
	readonly refused: Refused;
}

/** Nothing of the original's is in there. */
const PASSED_BY = new Set(["node_modules", ".git"]);

/**
 * The original's files among files and in folders, in the order they were given and then of their names. Each file once, however
 * it is called; links are followed, and a folder is not gone into twice.
 */
export async function findFiles(given: readonly string[]): Promise<(FoundFile | NotFound)[]> {
	const seen = new Set<string>();
	const isNew = ({ dev, ino }: Stats) => seen.size < seen.add(`${dev}:${ino}`).size;

	async function look(name: string, asked: boolean): Promise<(FoundFile | NotFound)[]> {
		try {
			const stats = await stat(name);
			if (stats.isDirectory()) return isNew(stats) ? await lookInto(name, asked) : [];
			const kind = kindOf(name, asked);
			if (kind === null || !isNew(stats)) return [];
			if (!stats.isFile()) throw new Refused("it is no file", "it is a device, a pipe or a socket", "name a file");
			return [{ name, kind }];
		} catch (error) {
			if (!asked && kindOf(name, false) === null && !isFolderTrouble(error)) return [];
			return [{ name, refused: unreadable(error) }];
		}
	}

	async function lookInto(folder: string, asked: boolean): Promise<(FoundFile | NotFound)[]> {
		const names = (await readdir(folder)).filter((name) => !PASSED_BY.has(name)).sort();
		const found: (FoundFile | NotFound)[] = [];
		for (const name of names) found.push(...(await look(path.join(folder, name), false)));
		if (found.length > 0 || !asked) return found;
		const why = "there is no *.db, *.sqlite, memory-store.json, session-*.json or .hive-mind/config.json in it or below it";
		throw new Refused("it has none of the original's files", why, "name the folder that the original server ran in");
	}

	const found: (FoundFile | NotFound)[] = [];
	for (const name of given) found.push(...(await look(name, true)));
	return found;
}

/** @param asked by name: then a file is what it is called, and in doubt a database */
function kindOf(file: string, asked: boolean): FoundFile["kind"] | null {
	const name = path.basename(file);
	if (asked) return name.endsWith(".json") ? "json" : "sqlite";
	if (/\.(db|sqlite|sqlite3)$/.test(name)) return "sqlite";
	if (name === "memory-store.json" || /^session-.*\.json$/.test(name)) return "json";
	return name === "config.json" && path.basename(path.dirname(path.resolve(file))) === ".hive-mind" ? "json" : null;
}

/** A folder that may not be read may hold what was meant. */
function isFolderTrouble(error: unknown): boolean {
	return (error as NodeJS.ErrnoException).code === "EACCES";
}

/** What the file system says, as a refusal. @returns the error itself where it is none of the file system's */
export function unreadable(error: unknown): Refused {
	if (error instanceof Refused) return error;
	const { code } = error as NodeJS.ErrnoException;
	if (code === undefined) throw error;
	if (code === "ENOENT") return new Refused("it cannot be read", "it is not there", "look at how it is spelled");
	if (code === "ELOOP") return new Refused("it cannot be read", "it is a link that leads to itself", "name what it was to lead to");
	if (code === "EACCES" || code === "EPERM")
		return new Refused("it cannot be read", "this user may not read it", "run the import as a user who may");
	if (code === "ENOSPC")
		return new Refused("it cannot be copied", "there is no room for its copy", "set TMPDIR to a folder with room for it");
	return new Refused("it cannot be read", (error as Error).message, "mend that, then run the import again");
}
