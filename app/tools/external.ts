/**
 * Tools that this server has no implementation of: it has them run by claude-flow's own command, where it is given one.
 *
 *     <CLAUDE_FLOW_BIN> mcp exec --tool <name> --params <arguments as JSON> --format json
 */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { stripVTControlCharacters } from "node:util";
import { BEGUN } from "../services/once.ts";
import type { ToolEntry } from "./catalogue/entry.ts";
import { type CommandEnd, runCommand } from "./command.ts";
import { type Tool, ToolError, type ToolRun } from "./tool.ts";
import { inFolder } from "./working-folder.ts";

export interface ExternalSettings {
	/** Absolute path of the command; null where there is none. */
	readonly claudeFlowBin: string | null;
	/** Milliseconds that it may take. */
	readonly commandMs: number;
}

/** Bytes that Linux takes as one argument of a command, less what it counts besides. */
const LONGEST_ARGUMENTS = 131_000;

/** Characters of a failed command's last words that are passed on. */
const LAST_WORDS = 1_000;

/** What the command finds of this process's environment. Credentials are in none of these; it has its own, below HOME. */
const passedOn = ["PATH", "HOME", "LANG", "LC_ALL", "TZ"] as const;

export function externalTool({ name, repeatable }: ToolEntry, { claudeFlowBin, commandMs }: ExternalSettings): Tool {
	return async (args, run) => {
		const file = await demandCommand(claudeFlowBin, name);
		const params = JSON.stringify(args);
		if (Buffer.byteLength(params) > LONGEST_ARGUMENTS) {
			throw new ToolError("INVALID", `the arguments have more than ${LONGEST_ARGUMENTS} bytes as JSON, which is all that a command takes`);
		}
		const call = async (folder: string) => {
			if (!repeatable) await beginOnce(run);
			const end = await runCommand({
				file,
				args: ["mcp", "exec", "--tool", name, "--params", params, "--format", "json"],
				folder,
				environment: environmentFor(run, folder),
				timeLimitMs: commandMs,
				signal: run.signal,
				onOutput: (stream, data) => run.output(stream, data),
			});
			return answerOf(name, end);
		};
		return await run.step("outcome", () => inFolder(call));
	};
}

/** Why the command cannot be run, and what to do about it; null where it can. */
export async function commandFault(file: string | null): Promise<string | null> {
	const fix = "set CLAUDE_FLOW_BIN on the job workers to the absolute path of claude-flow's command";
	if (file === null) return `nothing here can run it: no command is set. To have it run, ${fix}`;
	const found = await stat(file).catch(() => null);
	if (!found?.isFile()) return `the command ${file} is ${found === null ? "not there" : "no file"}; ${fix}`;
	const executable = await access(file, constants.X_OK).then(
		() => true,
		() => false,
	);
	return executable ? null : `the command ${file} may not be executed; make it executable, or ${fix}`;
}

async function demandCommand(file: string | null, name: string): Promise<string> {
	const fault = await commandFault(file);
	if (file !== null && fault === null) return file;
	throw new ToolError("TOOL_UNAVAILABLE", `${name} is run by a command: ${fault}`);
}

/** Of a command that was begun and never heard of again nobody knows what it did. */
async function beginOnce(run: ToolRun): Promise<void> {
	const mine = randomUUID();
	if ((await run.step(BEGUN, async () => mine)) === mine) return;
	throw new ToolError(
		"INTERRUPTED",
		"its worker was lost while the command ran: whether it took effect is not known. Look, and ask anew if it did not",
	);
}

function environmentFor({ jobId }: ToolRun, folder: string): Record<string, string> {
	const passed = passedOn.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
	return { ...Object.fromEntries(passed), TMPDIR: folder, NO_COLOR: "1", AGENTIC_FLOW_JOB_ID: jobId };
}

/** What it answers, as a value or as text. @throws ToolError TOOL_FAILED where it says, or shows, that it did not do it */
export function answerOf(name: string, { code, killedBy, stdout, stderr }: CommandEnd): unknown {
	const said = stripVTControlCharacters(stdout).trim();
	const complaint = stripVTControlCharacters(stderr).trim();
	if (code !== 0) {
		throw failed(name, code === null ? `it was ended by ${killedBy}` : `its exit code is ${code}`, complaint || said);
	}
	if (said === "") throw failed(name, "it answered nothing", complaint);
	const json = jsonAtEnd(said);
	if (json === undefined) {
		if (/^\s*usage:/im.test(said.slice(0, 4_000))) throw failed(name, "it answered with its help: it may not know the tool", said);
		return said;
	}
	const answer = unwrapped(name, json);
	const { success, isError, error, message } = recordOf(answer);
	if (success === false || isError === true) throw failed(name, "it says that it failed", wordsOf(error ?? message ?? answer));
	return answer;
}

/** How a line begins with which JSON may begin, unlike `[INFO] ...`. */
const BEGINS = /\{\s*["}]|\[\s*[[\]{"\d\-tfn]/y;

/** Places where it is tried whether an answer begins, the first ones and the last ones; and characters that are read for it. */
const tried = { first: 20, last: 20, characters: 4_194_304 } as const;

/** The whole, or what follows the lines that a command says before its answer. */
function jsonAtEnd(said: string): unknown {
	const begins = linesWithJson(said);
	let read = 0;
	for (const begin of new Set([0, ...begins.slice(0, tried.first), ...begins.slice(-tried.last)])) {
		read += said.length - begin;
		if (begin > 0 && read > tried.characters) continue;
		try {
			return JSON.parse(said.slice(begin));
		} catch {
			// It begins further on, or there is none.
		}
	}
	return undefined;
}

function linesWithJson(said: string): number[] {
	const begins: number[] = [];
	for (let end = said.indexOf("\n"); end !== -1; end = said.indexOf("\n", end + 1)) {
		BEGINS.lastIndex = end + 1;
		if (BEGINS.test(said)) begins.push(end + 1);
	}
	return begins;
}

/** The command puts what the tool answered into a record about the call. */
function unwrapped(name: string, json: unknown): unknown {
	const { tool, result } = recordOf(json);
	return tool === name && result !== undefined ? result : json;
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function wordsOf(value: unknown): string {
	return typeof value === "string" ? value : JSON.stringify(value);
}

function failed(name: string, what: string, words: string): ToolError {
	const last = words.length > LAST_WORDS ? `…${words.slice(-LAST_WORDS).toWellFormed()}` : words;
	return new ToolError("TOOL_FAILED", `the command failed to do ${name}: ${what}${last && `. It said: ${last}`}`);
}
