/** Files of services: what they are told, what they keep, and what they say. */
import {
	chownSync,
	closeSync,
	copyFileSync,
	existsSync,
	fstatSync,
	mkdirSync,
	openSync,
	readSync,
	renameSync,
	rmSync,
	statSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { run } from "./processes.ts";
import type { DataFolder, Service } from "./services/service.ts";

const MOST_LOG_BYTES = 20 * 1024 * 1024;
const TAIL_BYTES = 4_096;
const TAIL_LINES = 8;

/** Writes what a service is told before it starts. */
export function writeFiles({ files }: Service): void {
	for (const { path: file, text, once, user } of files) {
		if (once && existsSync(file)) continue;
		mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
		writeFileSync(`${file}.new`, text, { mode: 0o600 });
		if (user) chownSync(`${file}.new`, user.uid, user.gid);
		renameSync(`${file}.new`, file);
	}
}

/** Makes a folder of data, in the place of one that may be there. It is whole or not there at all. */
export async function makeData({ folder, user, commands }: DataFolder): Promise<void> {
	const partial = `${folder}.partial`;
	rmSync(partial, { recursive: true, force: true });
	mkdirSync(partial, { recursive: true, mode: 0o700 });
	if (user) chownSync(partial, user.uid, user.gid);
	for (const command of commands(partial)) await run(command, path.dirname(folder));
	rmSync(folder, { recursive: true, force: true });
	renameSync(partial, folder);
}

/** The last lines that were logged since `from`, to be put behind an error; nothing where there are none. */
export function lastLines(log: string, from: number): string {
	const text = tail(log, from);
	return text === "" ? "" : `\n${text}\n(more: ${log})`;
}

function tail(log: string, from: number): string {
	if (!existsSync(log)) return "";
	const file = openSync(log, "r");
	try {
		const { size } = fstatSync(file);
		const start = Math.max(from, size - TAIL_BYTES);
		const buffer = Buffer.alloc(Math.max(0, size - start));
		readSync(file, buffer, 0, buffer.length, start);
		return buffer.toString("utf8").trim().split("\n").slice(-TAIL_LINES).join("\n");
	} finally {
		closeSync(file);
	}
}

/** Keeps a log small: its writer has it open for appending, and goes on at its new end. */
export function trimLog(log: string): void {
	if (!existsSync(log) || statSync(log).size < MOST_LOG_BYTES) return;
	copyFileSync(log, `${log}.1`);
	truncateSync(log);
}
