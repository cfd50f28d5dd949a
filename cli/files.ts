/** Files that a user names: whatever goes wrong with them is told, not thrown at somebody. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { UserError } from "../core/errors.ts";

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

/** What the operating system said, in words. */
export function reasonOf(error: unknown): string {
	switch ((error as NodeJS.ErrnoException).code) {
		case "ENOENT":
			return "there is no such file or folder";
		case "EISDIR":
			return "is a folder, not a file";
		case "ENOTDIR":
			return "a part of its path is a file, not a folder";
		case "EACCES":
		case "EPERM":
			return "you may not do that there";
		default:
			return (error as Error).message;
	}
}
