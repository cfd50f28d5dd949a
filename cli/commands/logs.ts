import { closeSync, existsSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";
import { command, exitCodes } from "../command.ts";
import type { Io } from "../io.ts";
import { placeOf, whichOption } from "../local.ts";

const TAIL = 20;
const FOLLOW_MS = 300;

/** More than this is not read to find the last lines. */
const MOST_BYTES = 1024 * 1024;

export const logsCommand = command({
	name: "logs",
	summary: "what the processes say",
	details: ["Without a service: the last lines of all of them. Logs are there after down as well."],
	args: [{ name: "service", summary: "one of those that flowctl status names, or supervisor", optional: true }],
	options: {
		...whichOption,
		follow: { type: "boolean", short: "f", summary: "go on as they write, until Ctrl-C" },
		tail: { type: "string", value: "N", summary: `how many lines of each to begin with (${TAIL})` },
	},
	async run({ args: [service], options, io }) {
		const { layout } = await placeOf(options.port, io);
		const lines = options.tail === undefined ? TAIL : Number(options.tail);
		if (!Number.isInteger(lines) || lines < 0) {
			throw new UserError("the command line cannot be used", [
				{ at: "--tail", what: `is ${JSON.stringify(options.tail)}`, fix: "give a number of lines" },
			]);
		}
		const logs = chosen(layout.logs, service).map((name) => ({
			file: layout.log(name),
			prefix: service === undefined ? `${name.padEnd(18)}| ` : "",
		}));
		const positions = logs.map(({ file, prefix }) => printEnd(file, lines, prefix, io));
		while (options.follow) {
			await sleep(FOLLOW_MS);
			for (const [index, { file, prefix }] of logs.entries()) positions[index] = printFrom(file, positions[index] as number, prefix, io);
		}
		return exitCodes.done;
	},
});

function chosen(folder: string, service: string | undefined): string[] {
	const names = existsSync(folder)
		? readdirSync(folder).flatMap((file) => (file.endsWith(".log") ? [path.basename(file, ".log")] : []))
		: [];
	if (names.length === 0) throw new UserError("there are no logs", [{ at: folder, what: "nothing has run here yet", fix: "npm run up" }]);
	if (service === undefined) return names.sort();
	if (names.includes(service)) return [service];
	const meant = nearest(service, names);
	throw new UserError(`there is no log of "${service}"`, [
		{ at: "[service]", what: `is "${service}"`, fix: `${meant ? `did you mean "${meant}"? ` : ""}there are: ${names.sort().join(", ")}` },
	]);
}

/** Prints the last lines. @returns how far the file was read */
function printEnd(file: string, lines: number, prefix: string, io: Io): number {
	const { size } = statSync(file);
	const text = read(file, Math.max(0, size - MOST_BYTES), size);
	const last = lines === 0 ? [] : text.replace(/\n$/, "").split("\n").slice(-lines);
	print(last, prefix, io);
	return size;
}

function printFrom(file: string, position: number, prefix: string, io: Io): number {
	const { size } = statSync(file);
	// Trimmed meanwhile: it begins anew.
	const from = size < position ? 0 : position;
	const text = read(file, from, size);
	const end = text.lastIndexOf("\n") + 1;
	if (end > 0) print(text.slice(0, end - 1).split("\n"), prefix, io);
	return from + Buffer.byteLength(text.slice(0, end));
}

function print(lines: readonly string[], prefix: string, io: Io): void {
	for (const line of lines) if (line !== "") io.stdout.write(`${prefix}${line}\n`);
}

function read(file: string, from: number, to: number): string {
	const buffer = Buffer.alloc(to - from);
	const descriptor = openSync(file, "r");
	try {
		return buffer.toString("utf8", 0, readSync(descriptor, buffer, 0, buffer.length, from));
	} finally {
		closeSync(descriptor);
	}
}
