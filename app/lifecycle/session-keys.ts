import { readFileSync } from "node:fs";
import path from "node:path";
import { secretFiles } from "../contract.ts";

/** How old what is known of the files may be, milliseconds. */
const KNOWN_MS = 5_000;

/**
 * The keys that sign session cookies: the present one first, then the one before it, which is still good while a rotation
 * is on its way. The files are read again every few seconds; where that fails, the keys stay.
 *
 * @param secretsDir the folder of all secrets
 * @throws where there is no key to begin with
 */
export function sessionKeys(secretsDir: string, onProblem: (error: unknown) => void): () => readonly string[] {
	const folder = path.join(secretsDir, secretFiles.session);
	let keys = readKeys(folder);
	let readAt = performance.now();
	return () => {
		if (performance.now() - readAt < KNOWN_MS) return keys;
		readAt = performance.now();
		try {
			keys = readKeys(folder);
		} catch (error) {
			onProblem(error);
		}
		return keys;
	};
}

function readKeys(folder: string): string[] {
	const current = readFileSync(path.join(folder, "current"), "utf8").trim();
	if (current === "") throw new Error(`the session key is empty: ${path.join(folder, "current")}`);
	const previous = readPrevious(path.join(folder, "previous"));
	return previous === "" ? [current] : [current, previous];
}

function readPrevious(file: string): string {
	try {
		return readFileSync(file, "utf8").trim();
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
		throw error;
	}
}
