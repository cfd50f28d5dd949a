/** `flowctl`: from words to an exit code. Whatever is heavy is loaded by the handler that needs it. */
import { OperationFailed, UserError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import packageJson from "../package.json" with { type: "json" };
import { type Command, columns, commonOptions, exitCodes, helpOf, optionLines, parseOptions, usageOf } from "./command.ts";
import { diffCommand } from "./commands/diff.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { downCommand } from "./commands/down.ts";
import { failoverCommand } from "./commands/failover.ts";
import { importSqliteCommand } from "./commands/import-sqlite.ts";
import { logsCommand } from "./commands/logs.ts";
import { previewCommand } from "./commands/preview.ts";
import { reloadCommand } from "./commands/reload.ts";
import { renderCommand } from "./commands/render.ts";
import { scaleCommand } from "./commands/scale.ts";
import { statusCommand } from "./commands/status.ts";
import { tokenCommand } from "./commands/token.ts";
import { upCommand } from "./commands/up.ts";
import type { Io } from "./io.ts";

/** In the order of the overview: one's own machine, then the cloud. */
const groups: readonly { readonly title: string; readonly commands: readonly Command[] }[] = [
	{
		title: "On this machine",
		commands: [
			upCommand,
			statusCommand,
			logsCommand,
			reloadCommand,
			scaleCommand,
			failoverCommand,
			tokenCommand,
			importSqliteCommand,
			downCommand,
			doctorCommand,
		],
	},
	{ title: "Stacks, offline", commands: [previewCommand, diffCommand, renderCommand] },
];

const commands = groups.flatMap((group) => group.commands);

/** Options of `flowctl` without a command. */
const ownOptions = { ...commonOptions, version: { type: "boolean", summary: "the version of this project" } } as const;

/**
 * Runs one command line.
 *
 * @param argv what follows `flowctl`.
 * @returns the exit code: see {@link exitCodes}. Nothing is thrown.
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
	const detailed = argv.includes("--verbose") || Boolean(io.env.FLOWCTL_DEBUG);
	const { stackTraceLimit } = Error;
	// The SDK takes a stack trace for every promise, which is half of a run. Nobody is shown one without asking.
	if (!detailed) Error.stackTraceLimit = 0;
	try {
		return await dispatch(argv, io);
	} catch (error) {
		const isTold = error instanceof UserError || error instanceof OperationFailed;
		io.stderr.write(isTold ? `${error.message}\n` : brokenMessage(error, detailed));
		return error instanceof UserError ? exitCodes.mistake : exitCodes.broken;
	} finally {
		Error.stackTraceLimit = stackTraceLimit;
	}
}

async function dispatch(argv: readonly string[], io: Io): Promise<number> {
	const at = argv.findIndex((word) => !word.startsWith("-"));
	if (at < 0) return withoutCommand(argv, io);
	const word = argv[at] as string;
	const rest = argv.toSpliced(at, 1);
	if (word === "help") return help(rest, io);
	const found = commandNamed(word);
	const { args, options } = parseOptions(rest, { ...found.options, ...commonOptions }, `flowctl help ${found.name}`);
	if (options.help) {
		io.stdout.write(helpOf(found));
		return exitCodes.done;
	}
	checkArguments(found, args);
	return found.run({ args, options, io });
}

function withoutCommand(argv: readonly string[], io: Io): number {
	const { options } = parseOptions(argv, ownOptions, "flowctl --help");
	io.stdout.write(options.version ? `${packageJson.version}\n` : overview());
	return exitCodes.done;
}

function help(argv: readonly string[], io: Io): number {
	const { args } = parseOptions(argv, commonOptions, "flowctl --help");
	io.stdout.write(args[0] === undefined ? overview() : helpOf(commandNamed(args[0])));
	return exitCodes.done;
}

function commandNamed(word: string): Command {
	const found = commands.find(({ name }) => name === word);
	if (found) return found;
	const names = commands.map(({ name }) => name);
	const meant = nearest(word, names);
	throw new UserError(`unknown command "${word}"`, [
		{
			at: word,
			what: "is not a command",
			fix: `${meant ? `did you mean "${meant}"? ` : ""}commands: ${names.join(", ")}; see: flowctl --help`,
		},
	]);
}

function checkArguments({ name, args: wanted }: Command, args: readonly string[]): void {
	const usage = usageOf({ name, args: wanted });
	const missing = wanted[args.length];
	if (missing && !missing.optional) {
		throw new UserError("the command line cannot be used", [
			{ at: `<${missing.name}>`, what: `is missing: ${missing.summary}`, fix: `give it: ${usage}` },
		]);
	}
	const extra = args[wanted.length];
	if (extra !== undefined && !wanted.at(-1)?.repeated) {
		throw new UserError("the command line cannot be used", [
			{ at: extra, what: "is one argument too many", fix: `usage: ${usage} [options]` },
		]);
	}
}

/** So that the commands of all groups are in line. */
const WIDTH = Math.max(...commands.map((each) => usageOf(each, "").length));

function overview(): string {
	return [
		"flowctl <command> [options]",
		"  Agentic Flow: the whole topology on this machine, and the stacks that put it on AWS.",
		...groups.flatMap((group) => [
			"",
			group.title,
			...columns(group.commands.map((each) => [usageOf(each, "").padEnd(WIDTH), each.summary] as const)),
		]),
		"",
		...columns([["help <command>".padEnd(WIDTH), "what a command does, its arguments and options"]]),
		"",
		"Options",
		...optionLines(ownOptions),
		"",
		"Exit codes",
		...columns([
			["0", "done"],
			["1", "it did not work, or a fault of ours: the message says which"],
			["2", "a mistake in settings, files or the command line"],
			["3", "differences, with diff --expect-no-changes"],
		]),
		"",
	].join("\n");
}

function brokenMessage(error: unknown, detailed: boolean): string {
	const message = error instanceof Error ? error.message : String(error);
	const lines = [
		`flowctl broke: ${message}`,
		"  This is a fault of ours, not of your settings or files.",
		`  Please report it to this repository, with the command line, this message and the version: ${packageJson.version}`,
	];
	if (!detailed) lines.push("  --verbose shows where it happened");
	else if (error instanceof Error && error.stack) lines.push(error.stack);
	return `${lines.join("\n")}\n`;
}
