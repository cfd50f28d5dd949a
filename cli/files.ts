/** Files that a user names: whatever goes wrong with them is told, not thrown at somebody. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { reasonOf, UserError } from "../core/errors.ts";

/** The text of a file. @throws UserError where it cannot be read. */
export function readText(file: string, cwd: string): string {
	try {
		return readFileSync(path.resolve(cwd, file), "utf8");
	} catch (error) {
		throw new UserError(`${file} cannot be read`, [
			{ at: file, what: reasonOf(error), fix: "name a file that is there and that you may read" },
		]);
	}
}

/** Writes a whole file. @throws UserError where that is not possible. */
export function writeText(file: string, text: string, cwd: string): void {
	try {
		writeFileSync(path.resolve(cwd, file), text);
	} catch (error) {
		throw new UserError(`${file} cannot be written`, [
			{ at: file, what: reasonOf(error), fix: "name a file in a folder that is there and that you may write to" },
		]);
	}
}
